"""The demonstration: a relay, two daemons, and two rule-based agents that speak only the local API."""
