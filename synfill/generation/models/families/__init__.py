"""What the models of one pipeline family have in common: one family a file."""
