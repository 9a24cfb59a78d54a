"""Why a connection could not be made, told in the system's words."""

from __future__ import annotations

import errno
import os

from taskferry_transports.reasons import reason_of

REFUSED = OSError(errno.ECONNREFUSED, "Error connecting to an address")
AWAY = OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))


def _wrapped(cause: BaseException) -> OSError:
    try:
        raise OSError("all attempts failed") from cause
    except OSError as error:
        return error


def test_the_systems_words_are_found_beneath_a_librarys():
    """A library says that all tries failed; why stands in what caused that."""
    assert reason_of(_wrapped(REFUSED)) == os.strerror(errno.ECONNREFUSED)


def test_of_several_tries_each_reason_is_told_once():
    """A name may have several addresses, of which each fails as it likes."""
    tries = ExceptionGroup("tries", [REFUSED, AWAY, REFUSED])
    words = f"{os.strerror(errno.ECONNREFUSED)}, {os.strerror(errno.ENETUNREACH)}"
    assert reason_of(_wrapped(tries)) == words


def test_without_words_of_the_systems_the_errors_own_are_told():
    """Its text, or where it has none its kind: never nothing."""
    assert reason_of(ValueError("label too long")) == "label too long"
    assert reason_of(ValueError()) == "ValueError"
