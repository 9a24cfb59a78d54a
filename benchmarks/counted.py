"""`python -m benchmarks.counted FILE WORDS...`: the command line; each query adds a byte to FILE."""

from __future__ import annotations

import os
import sqlite3
import sys
from typing import Any

from taskferry_apps.cli.__main__ import main

QUERIES = ("SELECT ", "WITH ke")
_connect = sqlite3.connect


def _counting(log: int) -> Any:
    def connect(*words: Any, **named: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = _connect(*words, **named)
        connection.set_trace_callback(lambda said: os.write(log, b".") if said[:7] in QUERIES else None)
        return connection

    return connect


if __name__ == "__main__":
    file = sys.argv.pop(1)
    sqlite3.connect = _counting(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
    main()
