"""Every vector of `spec/vectors/`, one test each."""

import json
from pathlib import Path

import pytest

from taskferry_protocol.errors import RemoteProtocolError
from tests.spec.runners import RUNNERS

VECTORS = Path(__file__).parents[2] / "spec" / "vectors"
PATHS = sorted(VECTORS.rglob("*.json"))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: str(path.relative_to(VECTORS).with_suffix("")))
def test_vector(path):
    """The implementation gives the vector's code, and what it accepts comes out as the vector says."""
    vector = json.loads(path.read_text("utf-8"))
    try:
        RUNNERS[vector["kind"]](vector)
    except RemoteProtocolError as error:
        code = error.code.value
    else:
        code = "accept"
    assert code == vector["expect"], vector["comment"]
