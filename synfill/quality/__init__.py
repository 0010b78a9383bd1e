"""Which images may go into a dataset: one check a file."""
