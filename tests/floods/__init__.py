"""A relay under attack, as real processes: what it holds, how honest owners fare, what attackers are told."""
