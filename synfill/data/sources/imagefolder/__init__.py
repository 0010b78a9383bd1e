"""Folders of image files as a source."""
