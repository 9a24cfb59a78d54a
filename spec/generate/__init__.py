"""Writes `spec/vectors/`. Shares no code with any implementation, so that a bug cannot certify itself."""
