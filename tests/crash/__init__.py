"""Crash trials: real processes killed with SIGKILL under traffic, and then everything counted."""
