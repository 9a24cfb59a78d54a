"""Many programs at one daemon at once: whether each is told of everything that is its own, once."""
