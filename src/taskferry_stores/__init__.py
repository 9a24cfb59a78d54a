"""Places that keep the truth for a relay or a daemon; each obeys one small port."""
