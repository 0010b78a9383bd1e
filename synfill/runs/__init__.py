"""An output folder: whose it is, what state it is in, and how its files get there."""
