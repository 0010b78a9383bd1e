"""How unevenly a dataset is filled: histogram, figures, pictures."""
