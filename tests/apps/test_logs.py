"""What gets into a log: the fields that are named, and no other."""

import json
import subprocess
import sys

PROGRAM = """
from taskferry_apps.logs import get_logger, set_up_logs
set_up_logs("info")
get_logger().info("something happened", code="a-code", token="canary", text="canary")
"""


def test_field_that_nobody_has_named_stays_out():
    """A secret that somebody logs by mistake is not written; what is meant to be there is."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert "canary" not in done.stderr + done.stdout
    line = json.loads(done.stderr)
    assert (line["event"], line["code"], line["level"]) == ("something happened", "a-code", "info")
