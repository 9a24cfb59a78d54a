"""The ferry that most of these tests take."""

from __future__ import annotations

from pathlib import Path

import pytest

from .hosts import WAYS, Way, a_ferry

#: The SDK's own client leaves its HTTP library's generators to the garbage collector; trio complains.
_LEFT_BEHIND = r"ignore:Async generator '(httpx2|httpcore2|mcp)\.:ResourceWarning"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let that pass in these tests; what our own code leaves behind still fails them."""
    here = Path(__file__).parent
    files = {path for path in {item.path for item in items} if here in path.parents}
    for item in items:
        if item.path in files:
            item.add_marker(pytest.mark.filterwarnings(_LEFT_BEHIND))


@pytest.fixture
async def ferry(tmp_path: Path):
    """Alice and Bob, connected, with the doors of their MCP servers open."""
    async with a_ferry(tmp_path) as made:
        yield made


@pytest.fixture(params=WAYS, ids=str)
def way(request: pytest.FixtureRequest) -> Way:
    """Both transports, both versions of the protocol."""
    found = request.param
    assert isinstance(found, Way)
    return found
