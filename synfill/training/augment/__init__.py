"""What is done to images on their way into the network."""
