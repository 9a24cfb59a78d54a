"""A long run: thousands of devices at one relay, tasks of every kind, devices that come and go."""
