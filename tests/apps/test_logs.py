"""What gets into a log: the fields that are named, and no other; and what becomes of one that fails."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

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


GONE = """
from taskferry_apps.logs import get_logger, set_up_logs
set_up_logs("info")
for _ in range(1000):
    get_logger().info("something happened", code="a-code")
print("went on")
"""


@pytest.mark.parametrize("place", ["a full disk", "a reader that is gone"])
def test_a_log_that_cannot_be_written_stops_nothing(place):
    """Its lines are lost, and the program goes on."""
    if place == "a full disk":
        if not Path("/dev/full").exists():
            pytest.skip("there is no /dev/full here")
        errors = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, errors = os.pipe()
        os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-c", GONE], stdout=subprocess.PIPE, stderr=errors, check=False
        )
    finally:
        os.close(errors)
    assert (done.stdout, done.returncode) == (b"went on\n", 0)
