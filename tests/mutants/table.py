"""All mutants, and the tests that a layer is asked by when those of the mutant itself notice nothing."""

from __future__ import annotations

from .around import AROUND
from .last_word import LAST_WORD
from .late import LATE
from .mutant import Mutant
from .protocol import PROTOCOL

__all__ = ["MUTANTS", "WIDER"]

MUTANTS: tuple[Mutant, ...] = (*PROTOCOL, *AROUND, *LATE, *LAST_WORD)

WIDER: dict[str, tuple[str, ...]] = {
    "protocol": ("tests/spec/test_vectors.py", "tests/protocol", "tests/harness"),
    "stores": ("tests/stores", "tests/relay/test_delivery.py", "tests/daemon/test_process.py"),
    "transports": ("tests/transports",),
    "relay": ("tests/relay",),
    "daemon": ("tests/daemon", "tests/devices"),
    "apps": ("tests/apps", "tests/mcp", "tests/cli"),
}
