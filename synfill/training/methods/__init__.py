"""Named lists of stages."""
