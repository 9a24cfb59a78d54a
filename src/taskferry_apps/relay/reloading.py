"""What a running relay takes anew from its settings at SIGHUP, and what waits for a restart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from ..logs import get_logger
from ..settings import RelaySettings, SettingsError

__all__ = ["LIVE", "Difference", "Reloading", "difference"]

#: Each of these is read where it is used, and nothing that was decided by it has to be undone.
LIVE: Final = frozenset(
    {
        "client_tokens",
        "log",
        "log_format",
        "ops_token",
        "signups_per_hour",
        "signups_per_site",
        "signups_per_provider",
    }
)
_NO_SETTING: Final = frozenset({"sources"})

_LOG = get_logger()


@attrs.frozen
class Difference:
    """Names of settings that read otherwise now: those that hold at once, and those that need a restart."""

    live: tuple[str, ...]
    waiting: tuple[str, ...]


def difference(held: RelaySettings, read: RelaySettings) -> Difference:
    """What has changed. Pure."""
    names = [
        field.name
        for field in attrs.fields(RelaySettings)
        if field.name not in _NO_SETTING and _meant(held, field.name) != _meant(read, field.name)
    ]
    return Difference(
        tuple([name for name in names if name in LIVE]), tuple([name for name in names if name not in LIVE])
    )


def _meant(settings: RelaySettings, name: str) -> object:
    # Where it is not set, others decide it.
    return settings.lets_in if name == "signup" else getattr(settings, name)


class Reloading:
    """Reads the settings again and has those applied that can be."""

    def __init__(
        self,
        settings: RelaySettings,
        reread: Callable[[], RelaySettings],
        apply: Callable[[RelaySettings], None],
    ) -> None:
        self._started = self._held = settings
        self._reread = reread
        self._apply = apply

    def catch_up(self) -> None:
        """Take what was written since the program read its settings: it heeded no SIGHUP until now."""
        try:
            changed = difference(self._held, self._reread())
        except SettingsError:
            self.reload()
            return
        if changed.live or changed.waiting:
            self.reload()

    def reload(self) -> None:
        """Take what can be taken; a file that cannot be read changes nothing. What happened is logged."""
        try:
            read = self._reread()
        except SettingsError as error:
            _LOG.error("the settings were not taken, the former ones hold", reason=str(error))
            return
        taken, waiting = difference(self._held, read).live, difference(self._started, read).waiting
        if taken:
            self._held = attrs.evolve(self._held, **{name: getattr(read, name) for name in taken})
            self._apply(self._held)
        _LOG.info("the settings were read again", taken=list(taken), needs_restart=list(waiting))
