"""Which images may go into a dataset."""
