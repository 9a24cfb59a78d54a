"""What every test shares: the Hypothesis profiles, chosen by the variable HYPOTHESIS_PROFILE, and Ctrl-C."""

import os
import signal

from hypothesis import HealthCheck, settings

# A loaded machine is no reason to fail, so neither deadlines nor slow generation count as failures.
_COMMON = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

settings.register_profile("default", _COMMON, max_examples=60)
# The same examples every time and none remembered: a red build stays red until the code is mended.
settings.register_profile("ci", _COMMON, max_examples=100, derandomize=True, database=None, print_blob=True)
settings.register_profile("thorough", _COMMON, max_examples=5_000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# A shell starts what it runs in the background deaf to Ctrl-C, and whoever is started from there is so, too.
# Programs that tests tell to stop that way must hear it, however the tests were started.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
