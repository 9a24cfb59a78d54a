"""What every test shares: the Hypothesis profiles, chosen by the variable HYPOTHESIS_PROFILE."""

import os

from hypothesis import HealthCheck, settings

# A loaded machine is no reason to fail, so neither deadlines nor slow generation count as failures.
_COMMON = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

settings.register_profile("default", _COMMON, max_examples=60)
# The same examples every time and none remembered: a red build stays red until the code is mended.
settings.register_profile("ci", _COMMON, max_examples=100, derandomize=True, database=None, print_blob=True)
settings.register_profile("thorough", _COMMON, max_examples=5_000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
