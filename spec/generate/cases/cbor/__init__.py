"""The generic decoder."""
