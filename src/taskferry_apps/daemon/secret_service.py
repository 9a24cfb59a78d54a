"""Secrets in the system's secret store, through keyring: Secret Service, KWallet, or the macOS keychain.

Every call is bounded in time: a store may ask somebody who is not there to unlock it.
Sole importer of keyring and secretstorage.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Final, TypeVar

from .secret_port import SecretsUnavailable

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

__all__ = ["KeyringSecrets", "find_backend", "find_open_backend"]

T = TypeVar("T")

#: How long a store that was chosen may take: its owner may have to type a password.
ASKED_S: Final = 60.0
#: How long a store may take that might be there.
PROBED_S: Final = 4.0
SERVICE: Final = "taskferry"
#: Backends that keep secrets for the user who is logged in. Others write files, or forget.
_TRUSTED: Final = (
    "keyring.backends.SecretService",
    "keyring.backends.libsecret",
    "keyring.backends.kwallet",
    "keyring.backends.macOS",
)


def within(seconds: float, call: Callable[[], T]) -> T:
    """What `call` gives. Raises SecretsUnavailable when it takes longer, or fails."""
    answer: Future[T] = Future()

    def work() -> None:
        try:
            answer.set_result(call())
        except BaseException as error:  # noqa: BLE001 - a thread's one boundary: it is told apart below
            answer.set_exception(error)

    # A thread that hangs in a prompt must not keep the program from ending.
    threading.Thread(target=work, daemon=True).start()
    if not wait((answer,), timeout=seconds).done:
        raise SecretsUnavailable(
            f"The system's secret store did not answer within {seconds:.0f} seconds; it may be waiting for "
            "somebody to unlock it."
        )
    error = answer.exception()
    if error is not None:
        if isinstance(error, SecretsUnavailable):
            raise error
        # What a backend says may quote what it was given.
        raise SecretsUnavailable(
            f"The system's secret store cannot be used ({type(error).__name__}); it may be locked or gone."
        ) from None
    return answer.result()


def _may_have_one() -> bool:
    """Whether it is worth looking, without importing anything."""
    if sys.platform == "darwin":
        return True
    bus = os.environ.get("DBUS_SESSION_BUS_ADDRESS") or os.path.exists(f"/run/user/{os.getuid()}/bus")
    return bool(bus)


def _look() -> KeyringBackend:
    try:
        import keyring
        from keyring.backends.chainer import ChainerBackend
    except ImportError:
        raise SecretsUnavailable(
            "What speaks to the system's secret store is not installed: pip install 'taskferry[keyring]'."
        ) from None
    found = keyring.get_keyring()
    inner = found.backends if isinstance(found, ChainerBackend) else [found]
    for backend in inner:
        if type(backend).__module__ in _TRUSTED:
            return backend
    raise SecretsUnavailable("There is no secret store of the system's here.")


def _look_for_open() -> KeyringBackend:
    backend = _look()
    _require_unlocked(backend)
    return backend


def _require_unlocked(backend: KeyringBackend) -> None:
    if not type(backend).__module__.endswith("SecretService"):
        return
    import secretstorage

    connection = secretstorage.dbus_init()
    try:
        # Asking for a secret would open a window; this does not.
        if secretstorage.get_default_collection(connection).is_locked():
            raise SecretsUnavailable("The system's secret store is locked.")
    finally:
        connection.close()


def find_backend(seconds: float = ASKED_S) -> KeyringBackend:
    """The system's secret store, locked or not. Raises SecretsUnavailable."""
    return _find(_look, seconds)


def find_open_backend(seconds: float = PROBED_S) -> KeyringBackend:
    """The system's secret store, if nobody has to be asked to unlock it. Raises SecretsUnavailable."""
    return _find(_look_for_open, seconds)


def _find(look: Callable[[], KeyringBackend], seconds: float) -> KeyringBackend:
    if not _may_have_one():
        raise SecretsUnavailable("There is no secret store of the system's here.")
    return within(seconds, look)


class KeyringSecrets:
    """The secrets of one data directory, told apart from others by `directory`."""

    kind: Final = "keyring"

    def __init__(self, backend: KeyringBackend, directory: str, seconds: float = ASKED_S) -> None:
        self._backend = backend
        self._directory = directory
        self._seconds = seconds

    def where(self, name: str) -> str:
        """What the store calls a secret, for its owner."""
        return f"{SERVICE} {self._user(name)} in the system's secret store"

    def _user(self, name: str) -> str:
        return f"{self._directory}/{name}"

    def read(self, name: str) -> bytes | None:
        """A secret, None if there is none. Raises SecretsUnavailable."""
        text = within(self._seconds, lambda: self._backend.get_password(SERVICE, self._user(name)))
        return None if text is None else text.encode()

    def write(self, name: str, content: bytes) -> None:
        """Keep a secret, and see that it is there. Raises SecretsUnavailable."""
        text = content.decode("ascii")
        within(self._seconds, lambda: self._backend.set_password(SERVICE, self._user(name), text))
        if self.read(name) != content:
            raise SecretsUnavailable("The system's secret store did not keep what it was given.")

    def erase(self, name: str) -> None:
        """Forget a secret. Raises SecretsUnavailable."""
        if self.read(name) is not None:
            within(self._seconds, lambda: self._backend.delete_password(SERVICE, self._user(name)))
