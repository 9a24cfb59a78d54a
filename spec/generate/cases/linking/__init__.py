"""Linking a device: letters, words and refusals."""
