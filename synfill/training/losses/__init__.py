"""What a stage minimizes."""
