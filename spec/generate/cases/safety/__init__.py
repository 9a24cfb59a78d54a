"""The code that two owners compare."""
