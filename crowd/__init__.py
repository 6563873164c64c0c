"""Crowd: a task queue for image data sets that need many hands and expert eyes."""

__version__ = "0.1.0"
