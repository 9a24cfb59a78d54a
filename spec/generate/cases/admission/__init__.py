"""The relay's decision."""
