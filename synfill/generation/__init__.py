"""Requests in, images out."""
