"""From what a recipe says of its data to images in memory or in a stream."""
