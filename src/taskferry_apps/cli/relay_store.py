"""An operator's commands on a relay's database, whether the relay runs or not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import click

from .outcome import CommandFailed, Exit

if TYPE_CHECKING:
    from taskferry_stores.port import RelayStore

    from ..settings import RelaySettings

__all__ = ["OnStore", "on_store", "on_store_at_hand", "relay_settings"]

T = TypeVar("T")

OnStore: TypeAlias = "Callable[[RelayStore], Awaitable[T]]"
"""Work on the relay's store."""


def relay_settings() -> RelaySettings:
    """The settings that the group `relay` has read."""
    settings: RelaySettings = click.get_current_context().ensure_object(dict)["relay_settings"]
    return settings


def on_store(work: OnStore[T]) -> T:
    """The work's result; a store that cannot be used ends the command. Raises StoreConflict."""
    from taskferry_stores.port import StoreConflict, StoreError

    from ..relay.compose import CannotStart, run_on_store

    try:
        return run_on_store(relay_settings(), work)
    except StoreConflict:
        raise
    except (StoreError, CannotStart) as error:
        raise CommandFailed(str(error), Exit.TROUBLE) from None


def on_store_at_hand(work: OnStore[T]) -> T:
    """As `on_store`, where a relay's database is; else the command ends, and none is made.

    Whoever looks for what is there and finds no database has mistyped its name.
    """
    from taskferry_stores.port import StoreError
    from taskferry_stores.sqlite import peek_relay

    database = relay_settings().database
    if not database.exists():
        raise CommandFailed(
            f"There is no database at {database}. Name the relay's with --db, right after the word `relay`.",
            Exit.NOT_FOUND,
        )
    try:
        with peek_relay(database):
            pass
    except StoreError as error:
        raise CommandFailed(str(error), Exit.TROUBLE) from None
    return on_store(work)
