"""From a recipe to trained classifiers, their metrics, and the comparison of methods."""
