"""A trained classifier on disk: saved, loaded, asked."""
