"""The programs of TaskFerry: thin shells that carry out what the protocol decides."""
