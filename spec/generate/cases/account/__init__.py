"""Account logs."""
