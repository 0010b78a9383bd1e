"""What is measured of a classifier: one file a subject, pure functions of what it said."""
