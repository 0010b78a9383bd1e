"""Cards and pictures, from what a run left on disk."""
