"""Plugins for other programs, and bringing them in."""
