"""Training recipes: what they may say, how they are read, and those that ship."""
