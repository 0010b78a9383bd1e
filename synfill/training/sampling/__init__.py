"""Which images a stage sees, and in which order."""
