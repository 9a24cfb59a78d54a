"""The same id, the same seq."""
