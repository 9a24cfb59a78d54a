"""`taskferry doctor`: check this installation and say what is wrong, with the remedy."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from ..amounts import counted
from .daemon_link import daemon_options, data_directory, is_json_wanted, json_option, local_client, print_json
from .doctor_checks import Look, files, former, of_python, settings_of, stored
from .outcome import CommandFailed, Exit

__all__ = ["doctor"]

_COLOURS: Final = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@click.option("--config", type=click.Path(path_type=Path), envvar="TASKFERRY_CONFIG", help="A TOML file.")
@click.option("--relay", "of", help="Look at a relay instead: its URL, or, on its own machine, its database.")
@click.option("--backup", type=click.Path(path_type=Path), help="With a relay's database: its newest backup.")
@json_option
@daemon_options
def doctor(config: Path | None, of: str | None, backup: Path | None) -> None:
    """Check this installation, and say of each thing how it is and what to do. Exit code 1 if one fails.

    It looks at the configuration and where each value comes from (values that nobody set are counted; --json
    has them), at files and their modes, at the relay and
    its certificate from here, and, if the daemon answers, at what it sees: clock, account log, queues,
    quarantine, identities, alarms, database and audit log. While it is down, the database is read from here.

    With --relay URL it reaches a relay as daemons do: its certificate, a session by each transport, the
    clock, and what it says of itself. With --relay FILE it looks at a relay on the operator's machine: files,
    database, disk, backup, addresses and proxy, and each public address as others reach it.

    \b
    Examples:
      taskferry doctor
      taskferry doctor --json
      taskferry doctor --relay https://relay.example
      taskferry doctor --relay /srv/relay.db --backup /backup/relay.db
    """
    found: list[Look] = []
    for look in _looks(config) if of is None else _of_relay(of, config, backup):
        found.append(look)
        if not is_json_wanted():
            _draw(look)
    if is_json_wanted():
        print_json(
            [
                {
                    "check": look.check,
                    "ok": look.level != "fail",
                    "level": look.level,
                    "text": look.text,
                    "remedy": look.remedy,
                }
                for look in found
            ]
        )
    if any(look.level == "fail" for look in found):
        raise SystemExit(Exit.FAILED)


def _draw(look: Look) -> None:
    from .render import clean, fitted

    _say_progress("")
    level = f"{look.level:<5}"
    said = fitted(f"{level}{clean(look.check)}: {clean(look.text)}", " " * len(level))
    click.echo(click.style(level, fg=_COLOURS.get(look.level)) + said[len(level) :])
    if look.remedy:
        click.echo(fitted(f"      {clean(look.remedy)}", "      "))


def _say_progress(text: str) -> None:
    """What is being looked at, on a terminal, in a line that the next one replaces."""
    if sys.stderr.isatty() and not is_json_wanted():
        click.echo(f"\r\x1b[K{text}", nl=False, err=True)


def _of_relay(of: str, config: Path | None, backup: Path | None) -> Iterator[Look]:
    from .doctor_relay import of_database, of_url

    if "://" in of:
        from ..settings import SettingsError, load_daemon

        try:
            authorities = load_daemon({}, os.environ, config).relay_ca
        except SettingsError as error:
            raise CommandFailed(str(error), Exit.USAGE) from None
        _say_progress(f"reaching {of} …")
        yield from of_url(of, authorities)
    else:
        _say_progress("reading the whole database …")
        yield from of_database(Path(of), config, backup)
    _say_progress("")


def _looks(config: Path | None) -> Iterator[Look]:
    data = data_directory()
    yield from of_python()
    settings, looks = settings_of(data, config)
    yield from looks if is_json_wanted() else _without_usual(looks)
    yield from files(data)
    if settings is not None:
        yield from former(settings.database)
    _say_progress("asking the daemon, which reads its whole database …")
    seen = _daemon()
    yield from seen.looks
    url = seen.relay
    if not seen.answers and settings is not None:
        _say_progress("reading the database …")
        url, looks = stored(settings)
        yield from looks
    if url:
        from .doctor_network import relay_from_here

        _say_progress(f"reaching {url} …")
        yield from relay_from_here(
            url, clock=not seen.answers, authorities=settings.relay_ca if settings else None
        )
    _say_progress("")


def _without_usual(looks: list[Look]) -> Iterator[Look]:
    """What was set, and how many others there are: among twenty lines nobody finds the one that was."""
    yield from (look for look in looks if not look.is_usual)
    if usual := sum(look.is_usual for look in looks):
        settings = counted(usual, "setting has its default", "settings have their default")
        yield Look("configuration", "ok", f"{settings} (all: --json)")


class _Seen:
    """What the daemon told, if it did."""

    def __init__(self) -> None:
        self.answers = False
        self.relay = ""
        self.looks: list[Look] = []


def _daemon() -> _Seen:
    from .render import clean
    from .values import object_in, objects

    seen = _Seen()
    try:
        with local_client() as daemon:
            answer = daemon.health()
            if "set_up" not in answer:
                text = "It answers, but tells no more without a credential."
                seen.looks.append(Look("daemon", "fail", text, "Name its folder with --data."))
                return seen
            findings = objects(daemon.get("/doctor"), "findings")
    except CommandFailed as error:
        told, _, step = str(error).partition(". ")
        seen.looks.append(
            Look("daemon", "fail", f"{told.rstrip('.')}.", step or "See its log, or start it: taskferry up")
        )
        return seen
    seen.answers = True
    seen.relay = clean(object_in(answer, "relay").get("url") or "")
    seen.looks.append(
        Look("daemon", "ok", f"answers at {daemon.url}, version {clean(answer.get('version'))}")
    )
    seen.looks += [
        Look(*(clean(finding.get(name) or "") for name in ("check", "level", "text", "remedy")))
        for finding in findings
    ]
    return seen
