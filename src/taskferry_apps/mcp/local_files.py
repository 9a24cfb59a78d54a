"""Files on this machine that an agent may send, and where those that it is given are written.

A peer may have talked the agent into any path. So a path stays beneath a root that the owner named, step by
step and through no symbolic link; nothing hidden, nothing that looks like a secret, nothing of TaskFerry's
own is sent; only plain files are. Nor is anything written among TaskFerry's own. Blocking, and importing
little: the pipe uses it, too.
"""

from __future__ import annotations

import errno
import os
import stat
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ..client.errors import FileTrouble

__all__ = ["MOST_BYTES", "MOST_FILES", "LocalFiles", "usable_root"]

#: What one envelope carries is 256 KiB; padding and the rest of the message need their share.
MOST_BYTES: Final = 190_000
MOST_FILES: Final = 32
#: Where files are written if nobody says where.
FOLDER: Final = "taskferry-files"
_LONGEST: Final = 4_096
#: Names and endings of what programs keep their secrets in.
_SECRET_NAMES: Final = frozenset(
    {"credentials", "credentials.json", "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "owner.token", "shadow"}
)
_SECRET_ENDINGS: Final = (
    ".asc",
    ".gpg",
    ".jks",
    ".kdbx",
    ".key",
    ".keystore",
    ".p12",
    ".pem",
    ".pfx",
    ".ppk",
    ".token",
)
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK, opening a pipe would wait for its other end.
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def usable_root(path: Path) -> bool:
    """Whether a working directory may serve as a root without its owner's word: not all of a disk."""
    return path != Path(path.anchor) and path.is_dir()


class LocalFiles:
    """`roots` are what agents reach, the first of them that where files are written; `private` are not sent.

    Without roots nothing can be sent, and what is given is written into `spare`, if there is one.
    """

    def __init__(
        self, roots: Sequence[Path], private: Sequence[Path] = (), spare: Path | None = None
    ) -> None:
        own = [path.resolve() for path in private]
        # By the name that was given, too: a shell names its working directory as it came there.
        self._roots = [
            (root.resolve(), Path(os.path.normpath(root.absolute())))
            for root in roots
            if not any(root.resolve().is_relative_to(path) for path in own)
        ]
        self._private = [_identity(path) for path in own if path.is_dir()]
        self._spare = spare

    # --- sending -------------------------------------------------------------------------------------------

    def read(self, paths: Sequence[str]) -> list[tuple[str, bytes]]:
        """Plain name and content of each file. Raises FileTrouble."""
        if len(paths) > MOST_FILES:
            raise FileTrouble(f"At most {MOST_FILES} files go with one message.")
        found: list[tuple[str, bytes]] = []
        left = MOST_BYTES
        for path in paths:
            name, content = self._read(path, left)
            left -= len(content)
            found.append((name, content))
        return found

    def _read(self, path: str, most: int) -> tuple[str, bytes]:
        root, steps = self._place(path)
        if not steps:
            raise FileTrouble(f"{_shown(path)} is a folder, not a file.")
        _refuse_secrets(path, steps)
        with _opened(root) as top, self._walked(top, steps[:-1], path) as folder:
            try:
                opened = os.open(steps[-1], _FILE, dir_fd=folder)
            except OSError as error:
                raise _trouble(path, error) from None
            try:
                content = _plain(path, opened, most + 1)
            finally:
                os.close(opened)
        if len(content) > most:
            raise FileTrouble(
                f"With {_shown(path)} the files have more than {MOST_BYTES:,} bytes together.",
                "Send fewer, or make them smaller.",
            )
        return steps[-1], content

    # --- keeping -------------------------------------------------------------------------------------------

    def save(self, directory: str, label: str, files: Sequence[tuple[str, bytes]]) -> list[str]:
        """Write files into `directory`, or one made for `label`, and give their paths. Raises FileTrouble.

        Names have to be plain. A file that is there with the same content is left as it is; one with another
        is an error.
        """
        folder = self._folder(directory, label)
        return [_kept(folder, name, content) for name, content in files]

    def _folder(self, directory: str, label: str) -> Path:
        if not directory and not self._roots and self._spare is not None:
            self._spare.mkdir(mode=0o700, parents=True, exist_ok=True)
            return _made(self._spare, (label,), _refuse_nothing)
        root, steps = self._place(directory or f"{FOLDER}/{label}")
        if directory:
            _refuse_hidden(directory, steps)
        folder = _made(root, steps, lambda opened: self._refuse_private(opened, directory or FOLDER))
        if not directory:
            _keep_out_of_git(root / FOLDER)
        return folder

    # --- paths ---------------------------------------------------------------------------------------------

    def _place(self, path: str) -> tuple[Path, tuple[str, ...]]:
        """The root that a path is under, and the steps below it. Raises FileTrouble."""
        if not self._roots:
            raise FileTrouble(
                "This server reaches no files.",
                "Give the content as text; or tell your owner to run: taskferry mcp --root DIR",
            )
        if not path or len(path) > _LONGEST or "\0" in path:
            raise FileTrouble(f"{_shown(path)} is no path.")
        # Normal form by text alone: a link is refused on the way, not followed to see where `..` leads.
        given = Path(os.path.normpath(path if os.path.isabs(path) else self._roots[0][0] / path))
        for root, named in self._roots:
            for name in (root, named):
                if given.is_relative_to(name):
                    return root, given.relative_to(name).parts
        raise FileTrouble(
            f"{_shown(path)} is outside of the folders that your owner has named.",
            f"Use a path under {self._roots[0][0]}.",
        )

    @contextmanager
    def _walked(self, top: int, steps: Sequence[str], path: str) -> Iterator[int]:
        """The folder at the end of some steps, none of which is a link or private."""
        here = os.dup(top)
        try:
            self._refuse_private(here, path)
            for step in steps:
                try:
                    below = os.open(step, _DIRECTORY, dir_fd=here)
                except OSError as error:
                    raise _trouble(path, error) from None
                os.close(here)
                here = below
                self._refuse_private(here, path)
            yield here
        finally:
            os.close(here)

    def _refuse_private(self, folder: int, path: str) -> None:
        found = os.fstat(folder)
        if (found.st_dev, found.st_ino) in self._private:
            raise FileTrouble(f"{_shown(path)} is TaskFerry's own: keys and credentials stand there.")


def _plain(path: str, opened: int, most: int) -> bytes:
    """Up to `most` bytes of a plain file. Raises FileTrouble for anything else."""
    found = os.fstat(opened)
    if not stat.S_ISREG(found.st_mode):
        raise FileTrouble(f"{_shown(path)} is no plain file.")
    if found.st_nlink > 1:
        # A second name for a file elsewhere is as good as a symbolic link.
        raise FileTrouble(f"{_shown(path)} has several names (hard links).", "Copy it, and send the copy.")
    with os.fdopen(os.dup(opened), "rb") as stream:
        try:
            return stream.read(most)
        except OSError as error:
            raise _trouble(path, error) from None


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _shown(path: str) -> str:
    return repr(path[:200])


def _trouble(path: str, error: OSError) -> FileTrouble:
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return FileTrouble(
            f"{_shown(path)} goes through a symbolic link, or through what is no folder.",
            "Name the file itself.",
        )
    return FileTrouble(f"{_shown(path)} cannot be used: {error.strerror}.")


def _plain_name(step: str) -> str:
    """A name as a file system may read it: some leave letters out that show nothing, and have no capitals."""
    return "".join(letter for letter in step if unicodedata.category(letter) != "Cf").casefold()


def _refuse_hidden(path: str, steps: Sequence[str]) -> None:
    if any(_plain_name(step).startswith(".") for step in steps):
        raise FileTrouble(f"{_shown(path)} is hidden (a name begins with a dot).", "Use another folder.")


def _refuse_secrets(path: str, steps: Sequence[str]) -> None:
    _refuse_hidden(path, steps)
    name = _plain_name(steps[-1])
    if name in _SECRET_NAMES or name.endswith(_SECRET_ENDINGS):
        raise FileTrouble(
            f"{_shown(path)} looks like a secret, so it is not sent.",
            "If it is none, send a copy named otherwise.",
        )


@contextmanager
def _opened(root: Path) -> Iterator[int]:
    try:
        opened = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _trouble(str(root), error) from None
    try:
        yield opened
    finally:
        os.close(opened)


def _refuse_nothing(opened: int) -> None:
    """For a folder that stands where TaskFerry's own are."""


def _made(root: Path, steps: Sequence[str], refuse: Callable[[int], None]) -> Path:
    """A folder beneath a root; what is missing is made, for its owner alone; no link on the way.

    `refuse` raises FileTrouble for an open folder into or below which nothing is written.
    """
    here = root
    with _opened(root) as top:
        above = os.dup(top)
        try:
            refuse(above)
            for step in steps:
                here = here / step
                try:
                    os.mkdir(step, 0o700, dir_fd=above)
                except FileExistsError:
                    pass
                below = os.open(step, _DIRECTORY, dir_fd=above)
                os.close(above)
                above = below
                refuse(above)
        except OSError as error:
            raise _trouble(str(here), error) from None
        finally:
            os.close(above)
    return here


def _kept(folder: Path, name: str, content: bytes) -> str:
    path = folder / name
    if Path(name).name != name or name in (".", ".."):
        raise FileTrouble(f"{_shown(name)} is no plain name.")
    try:
        opened = os.open(path, _NEW, 0o600)
    except FileExistsError:
        if not _holds(path, content):
            raise FileTrouble(f"{path} is there already, with other content.", "Name a directory.") from None
        return str(path)
    except OSError as error:
        raise FileTrouble(f"{path} cannot be written: {error.strerror}.") from None
    try:
        with os.fdopen(opened, "wb") as stream:
            stream.write(content)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise FileTrouble(f"{path} cannot be written: {error.strerror}.") from None
    return str(path)


def _holds(path: Path, content: bytes) -> bool:
    try:
        with os.fdopen(os.open(path, _FILE), "rb") as stream:
            plain = stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
            return plain and stream.read(len(content) + 1) == content
    except OSError:
        return False


def _keep_out_of_git(folder: Path) -> None:
    """What peers sent is not to be committed by accident."""
    try:
        with os.fdopen(os.open(folder / ".gitignore", _NEW, 0o600), "wb") as stream:
            stream.write(b"*\n")
    except OSError:
        pass
