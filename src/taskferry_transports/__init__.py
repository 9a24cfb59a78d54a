"""Ways to move opaque frames between a daemon and a relay; each obeys one small port."""
