"""The sealed content."""
