"""A layer between SQLite and the disk: this process's SQLite asks here before it writes.

Python's sqlite3 offers no such place, so the layer is put into the very library that it uses, through ctypes.
SQLite's own functions open, read, lock and share memory; only what changes files comes by here.
"""

from __future__ import annotations

import ctypes
import os
import sqlite3
from collections.abc import Callable
from ctypes import CFUNCTYPE, POINTER, addressof, c_char_p, c_int, c_int64, c_void_p
from pathlib import Path
from typing import Any, Protocol

import attrs

__all__ = ["Hooks", "Inner", "NoLayer", "Shim", "shim"]

_NAME = b"taskferry-faults"

_OPEN = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, POINTER(c_int))
_DELETE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int)
_CLOSE = CFUNCTYPE(c_int, c_void_p)
_MOVE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_TRUNCATE = CFUNCTYPE(c_int, c_void_p, c_int64)
_SYNC = CFUNCTYPE(c_int, c_void_p, c_int)
_SIZE = CFUNCTYPE(c_int, c_void_p, POINTER(c_int64))
_MAP = CFUNCTYPE(c_int, c_void_p, c_int, c_int, c_int, c_void_p)

#: What databases and their logs are opened with; other files are SQLite's scratch paper.
_LASTING = 0x00000100 | 0x00000800 | 0x00080000


class NoLayer(Exception):
    """The SQLite of this Python cannot be reached; the text says why."""


class _Methods(ctypes.Structure):
    """`sqlite3_io_methods`: what can be done with an open file."""

    _fields_ = (
        ("version", c_int),
        *(
            (name, c_void_p)
            for name in (
                *("close", "read", "write", "truncate", "sync", "size", "lock", "unlock", "reserved"),
                *("control", "sector", "traits", "map", "map_lock", "barrier", "unmap", "fetch", "unfetch"),
            )
        ),
    )


class _Vfs(ctypes.Structure):
    """`sqlite3_vfs`, as far as its third version."""

    _fields_ = (
        ("version", c_int),
        ("file_bytes", c_int),
        ("longest_path", c_int),
        ("following", c_void_p),
        ("name", c_char_p),
        ("data", c_void_p),
        *(
            (name, c_void_p)
            for name in (
                *("open", "delete", "access", "full_path", "dl_open", "dl_error", "dl_symbol", "dl_close"),
                *(
                    "randomness",
                    "sleep",
                    "time",
                    "last_error",
                    "time_ms",
                    "set_call",
                    "get_call",
                    "next_call",
                ),
            )
        ),
    )


class Inner:
    """What SQLite itself does with files of one kind; every function gives SQLite's result code."""

    def __init__(self, methods: _Methods) -> None:
        self.close: Callable[[int], int] = _CLOSE(methods.close)
        self.read: Callable[[int, Any, int, int], int] = _MOVE(methods.read)
        self.write: Callable[[int, Any, int, int], int] = _MOVE(methods.write)
        self.truncate: Callable[[int, int], int] = _TRUNCATE(methods.truncate)
        self.sync: Callable[[int, int], int] = _SYNC(methods.sync)
        # A log's file shares no memory.
        self.map: Callable[[int, int, int, int, int | None], int] = _MAP(methods.map or 0)
        self._size = _SIZE(methods.size)

    def content(self, file: int) -> bytes:
        """All of an open file."""
        size = c_int64()
        if self._size(file, size):
            raise OSError("the file's size is not known")
        if not size.value:
            return b""
        buffer = ctypes.create_string_buffer(size.value)
        if self.read(file, buffer, size.value, 0):
            raise OSError("the file cannot be read")
        return buffer.raw


class Hooks(Protocol):
    """Who is asked before files of a folder are changed. Each answer is SQLite's result code."""

    def opening(self, path: Path, fresh: bool) -> int:
        """A file is about to be opened; `fresh` if it is not there yet."""

    def opened(self, path: Path, fresh: bool, content: bytes, log: bool) -> None:
        """It was; `log` if it is a journal or write-ahead log."""

    def write(self, path: Path, offset: int, data: bytes, go: Callable[[bytes], int]) -> int:
        """Bytes are about to be written; `go` writes as many of them as it is given."""

    def truncate(self, path: Path, size: int, go: Callable[[], int]) -> int:
        """A file is about to be cut."""

    def sync(self, path: Path, go: Callable[[], int]) -> int:
        """A file is about to be synchronised."""

    def share(self, path: Path, go: Callable[[], int]) -> int:
        """Memory, which is a file as well, is about to be shared for a database."""

    def delete(self, path: Path, durably: bool, go: Callable[[], int]) -> int:
        """A file is about to be removed; `durably` if its folder is synchronised afterwards."""


@attrs.frozen
class _Open:
    path: Path
    hooks: Hooks
    inner: Inner


class Shim:
    """The layer. There is one in a process, and it is never taken away: connections point into it."""

    def __init__(self) -> None:
        import _sqlite3

        try:
            library = ctypes.CDLL(getattr(_sqlite3, "__file__", None))
            library.sqlite3_vfs_find.restype = c_void_p
            library.sqlite3_vfs_find.argtypes = [c_char_p]
            library.sqlite3_vfs_register.argtypes = [c_void_p, c_int]
            library.sqlite3_sourceid.restype = c_char_p
        except (OSError, AttributeError) as error:
            raise NoLayer("This Python's SQLite is linked in where ctypes does not find it.") from error
        with sqlite3.connect(":memory:") as connection:
            (source,) = connection.execute("SELECT sqlite_source_id()").fetchone()
        connection.close()
        if library.sqlite3_sourceid() != source.encode():
            raise NoLayer("ctypes finds another SQLite than the one that this Python uses.")
        self._library = library
        self._system: int = library.sqlite3_vfs_find(None)
        theirs = _Vfs.from_address(self._system)
        self._inner_open: Callable[[int, int | None, int, int, Any], int] = _OPEN(theirs.open)
        self._inner_delete: Callable[[int, int, int], int] = _DELETE(theirs.delete)
        self._tables: dict[int, tuple[_Methods, Inner]] = {}
        self._files: dict[int, _Open] = {}
        self._folders: dict[Path, Hooks] = {}
        self.trouble: list[BaseException] = []
        """What went wrong in the layer itself; SQLite was told of an error of the disk."""
        self._callbacks = {
            "close": _CLOSE(self._guarded(self._close)),
            "write": _MOVE(self._guarded(self._write)),
            "truncate": _TRUNCATE(self._guarded(self._truncate)),
            "sync": _SYNC(self._guarded(self._sync)),
            "map": _MAP(self._guarded(self._map)),
        }
        self._open_back, self._delete_back = (
            _OPEN(self._guarded(self._open)),
            _DELETE(self._guarded(self._delete)),
        )
        self._ours = _Vfs.from_buffer_copy(theirs)
        self._ours.name, self._ours.following = _NAME, None
        self._ours.open = ctypes.cast(self._open_back, c_void_p).value
        self._ours.delete = ctypes.cast(self._delete_back, c_void_p).value

    def watch(self, folder: Path, hooks: Hooks) -> None:
        """From now on, ask `hooks` about the databases below `folder`."""
        if not self._folders:
            self._library.sqlite3_vfs_register(addressof(self._ours), 1)
        self._folders[folder.resolve()] = hooks

    def forget(self, folder: Path) -> None:
        """Files of `folder` that are opened from now on are nobody's."""
        del self._folders[folder.resolve()]
        if not self._folders:
            self._library.sqlite3_vfs_register(self._system, 1)

    def open_below(self, folder: Path) -> list[Path]:
        """The files of `folder` that are open."""
        root = folder.resolve()
        return [file.path for file in tuple(self._files.values()) if file.path.is_relative_to(root)]

    # --- called by SQLite, in whatever thread it runs

    def _guarded(self, call: Callable[..., int]) -> Callable[..., int]:
        """The call; an exception would be printed and taken for success."""

        def guarded(*arguments: Any) -> int:
            try:
                return call(*arguments)
            except BaseException as error:  # noqa: BLE001 - nothing may pass into C
                self.trouble.append(error)
                return sqlite3.SQLITE_IOERR

        return guarded

    def _hooks_of(self, path: Path) -> Hooks | None:
        roots = [root for root in self._folders if path.is_relative_to(root)]
        return self._folders[max(roots, key=lambda root: len(root.parts))] if roots else None

    def _open(self, vfs: int, name: int | None, file: int, flags: int, given: Any) -> int:
        path = Path(os.fsdecode(ctypes.string_at(name))) if name and flags & _LASTING else None
        hooks = self._hooks_of(path) if path is not None else None
        if path is None or hooks is None:
            return self._inner_open(self._system, name, file, flags, given)
        fresh = not path.exists()
        code = hooks.opening(path, fresh)
        if code:
            # SQLite closes a file only if it was told what can be done with it.
            c_void_p.from_address(file).value = None
            return code
        code = self._inner_open(self._system, name, file, flags, given)
        if code:
            return code
        table, inner = self._table(c_void_p.from_address(file).value or 0)
        c_void_p.from_address(file).value = addressof(table)
        self._files[file] = _Open(path, hooks, inner)
        hooks.opened(path, fresh, inner.content(file), not flags & 0x00000100)
        return code

    def _table(self, original: int) -> tuple[_Methods, Inner]:
        """A copy of a table of functions with ours in it, and what stood there."""
        if original not in self._tables:
            theirs = _Methods.from_address(original)
            ours = _Methods.from_buffer_copy(theirs)
            for name, callback in self._callbacks.items():
                if getattr(theirs, name):
                    setattr(ours, name, ctypes.cast(callback, c_void_p).value)
            self._tables[original] = (ours, Inner(theirs))
        return self._tables[original]

    def _close(self, file: int) -> int:
        return self._files.pop(file).inner.close(file)

    def _write(self, file: int, data: int, size: int, offset: int) -> int:
        held = self._files[file]

        def go(content: bytes) -> int:
            return held.inner.write(file, content, len(content), offset) if content else sqlite3.SQLITE_OK

        return held.hooks.write(held.path, offset, ctypes.string_at(data, size), go)

    def _truncate(self, file: int, size: int) -> int:
        held = self._files[file]
        return held.hooks.truncate(held.path, size, lambda: held.inner.truncate(file, size))

    def _sync(self, file: int, flags: int) -> int:
        held = self._files[file]
        return held.hooks.sync(held.path, lambda: held.inner.sync(file, flags))

    def _map(self, file: int, page: int, size: int, extend: int, out: int | None) -> int:
        held = self._files[file]
        return held.hooks.share(held.path, lambda: held.inner.map(file, page, size, extend, out))

    def _delete(self, vfs: int, name: int, durably: int) -> int:
        path = Path(os.fsdecode(ctypes.string_at(name)))
        hooks = self._hooks_of(path)
        if hooks is None:
            return self._inner_delete(self._system, name, durably)
        return hooks.delete(path, bool(durably), lambda: self._inner_delete(self._system, name, durably))


_SHIMS: list[Shim] = []


def shim() -> Shim:
    """The layer of this process. Raises NoLayer."""
    if not _SHIMS:
        _SHIMS.append(Shim())
    return _SHIMS[0]
