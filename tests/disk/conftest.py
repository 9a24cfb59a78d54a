"""A disk that fails, for each test that asks for one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .disk import Disk, faulty_disk
from .vfs import NoLayer, shim


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk under the test's own folder; a failure names its seed."""
    try:
        shim()
    except NoLayer as reason:
        pytest.skip(str(reason))
    with faulty_disk(tmp_path, seed=1) as disk:
        yield disk
