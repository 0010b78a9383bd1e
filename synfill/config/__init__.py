"""What a user may write: settings, recipes, and what is wrong with them."""
