"""The rules of TaskFerry, pure: no I/O, no clock and no randomness of its own."""
