"""Ways to mix the images of a batch in pairs, one a file."""
