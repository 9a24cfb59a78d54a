"""`taskferry doctor`: check this installation and say what is wrong, with the remedy."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from .daemon_link import daemon_options, data_directory, is_json_wanted, json_option, local_client, print_json
from .outcome import CommandFailed, Exit

__all__ = ["doctor"]

Finding = tuple[str, bool, str]
"""What was looked at, whether it is well, and what was found or what to do."""


@click.command()
@json_option
@daemon_options
def doctor() -> None:
    """Check this installation: Python, data directory, secrets, daemon, relay. Exit code 1 if one fails."""
    findings = [*_python(), *_data(data_directory()), *_daemon()]
    if is_json_wanted():
        print_json([{"check": what, "ok": well, "text": text} for what, well, text in findings])
    else:
        for what, well, text in findings:
            click.secho("ok    " if well else "wrong ", fg="green" if well else "red", nl=False)
            click.echo(f"{what}: {text}")
    if not all(well for _, well, _ in findings):
        raise SystemExit(Exit.FAILED)


def _python() -> Iterator[Finding]:
    from taskferry_stores.sqlite.version import NEEDED, PRESENT

    version = ".".join(map(str, sys.version_info[:3]))
    yield "Python", sys.version_info >= (3, 11), f"{version} (3.11 or newer is needed)"
    present, needed = (".".join(map(str, numbers)) for numbers in (PRESENT, NEEDED))
    yield "SQLite", PRESENT >= NEEDED, f"{present} ({needed} or newer is needed)"


def _data(data: Path) -> Iterator[Finding]:
    if not data.exists():
        yield "data directory", False, f"{data} does not exist yet; start the daemon: taskferry up"
        return
    free = shutil.disk_usage(data).free
    yield "data directory", os.access(data, os.W_OK), f"{data}"
    yield "free space", free > 100_000_000, f"{free // 1_000_000:,} MB (100 MB or more is wanted)"
    keys = data / "keys"
    for path in [keys, *(keys.iterdir() if keys.is_dir() else ()), data / "owner.token"]:
        if path.exists():
            mode = stat.S_IMODE(path.stat().st_mode)
            private = not mode & 0o077
            remedy = "" if private else f"; others may read it. Run: chmod go-rwx {path}"
            yield "secret", private, f"{path} has mode {mode:04o}{remedy}"
    yield "secrets", True, "kept in files that only this user may read, not in the system's secret store"


def _daemon() -> Iterator[Finding]:
    from .render import clean
    from .values import object_in

    try:
        with local_client() as daemon:
            answer = daemon.health()
    except CommandFailed as error:
        yield "daemon", False, str(error)
        return
    if "set_up" not in answer:
        yield (
            "daemon",
            False,
            "answers, but tells no more without a credential; name its folder with --data",
        )
        return
    yield "daemon", True, f"answers, version {clean(answer.get('version'))}"
    if not answer.get("set_up"):
        yield "account", False, "none yet; make one: taskferry setup OWNER --relay URL"
        return
    yield "account", True, f"@{clean(answer.get('handle_owner'))}"
    relay = object_in(answer, "relay")
    if relay.get("connected"):
        yield "relay", True, f"{clean(relay.get('url'))} by {clean(relay.get('transport'))}"
    else:
        trouble = clean(relay.get("last_error") or "no connection yet")
        yield (
            "relay",
            False,
            f"{clean(relay.get('url'))}: {trouble}; what is sent waits here and goes out later",
        )
