"""What `taskferry doctor` sees by itself: Python, settings, files, the database of a daemon that is down."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from ..amounts import counted
from .outcome import CommandFailed
from .secrets import KEPT, kept_kind

if TYPE_CHECKING:
    from ..settings import DaemonSettings, RelaySettings

__all__ = ["Look", "files", "former", "of_python", "open_secrets", "private_file", "settings_of", "stored"]

#: Below this a daemon cannot work for long.
FREE_BYTES: Final = 100_000_000
#: How the source of a setting begins that stands in a file.
_FILE: Final = "file "


@attrs.frozen
class Look:
    """What was looked at; ok, warn or fail; what was found; and what to do about it, "" for nothing.

    `is_usual`: it is as it always is where nobody chose otherwise, and to people only counted.
    """

    check: str
    level: str
    text: str
    remedy: str = ""
    is_usual: bool = attrs.field(default=False, kw_only=True)


def of_python() -> Iterator[Look]:
    """The versions of what this runs on."""
    from taskferry_stores.sqlite.version import NEEDED, PRESENT

    version = ".".join(map(str, sys.version_info[:3]))
    yield Look("Python", "ok", version)
    present, needed = (".".join(map(str, numbers)) for numbers in (PRESENT, NEEDED))
    if PRESENT >= NEEDED:
        yield Look("SQLite", "ok", present)
    else:
        yield Look("SQLite", "fail", present, f"{needed} or newer is needed: install a newer Python.")


def settings_of(data: Path, config: Path | None) -> tuple[DaemonSettings | None, list[Look]]:
    """The daemon's settings as they come from here, each with where it was set; None if one is unusable."""
    from ..settings import SettingsError, load_daemon
    from ..shown_settings import shown_settings

    try:
        settings = load_daemon({"data": str(data)}, os.environ, config)
    except SettingsError as error:
        return None, [Look("configuration", "fail", str(error), "Mend that setting.")]
    looks = []
    for one in shown_settings(settings):
        source = "--data, TASKFERRY_DATA, or the default" if one.name == "data" else one.source
        told = f"{one.value} ({source})"
        looks.append(Look(f"setting {one.name}", "ok", told, is_usual=source == "default"))
    return settings, [*looks, *open_secrets(settings)]


def open_secrets(settings: DaemonSettings | RelaySettings) -> Iterator[Look]:
    """Files of settings that hold a secret, and that every user of this machine may read."""
    held: dict[Path, list[str]] = {}
    for field in attrs.fields(type(settings)):
        source = settings.sources.get(field.name, "")
        if field.metadata.get("secret") and source.startswith(_FILE):
            held.setdefault(Path(source.removeprefix(_FILE)), []).append(field.name)
    password = getattr(settings, "smtp_password_file", None)
    if password is not None:
        held.setdefault(password, []).append("the mail server's password")
    for path, names in held.items():
        try:
            mode = path.stat().st_mode
        except OSError:
            # It is not there, or for others than who looks.
            continue
        # A group of its own is a way to let a service read it.
        if mode & 0o007:
            text = f"{path} holds {', '.join(names)}, and every user of this machine may read it."
            yield Look("settings file", "fail", text, f"Run: chmod o-rwx {path}")


def files(data: Path) -> Iterator[Look]:
    """The data directory: whether it can be written, its room, whose its files are, and who may read them."""
    if not data.exists():
        text = f"{data} does not exist yet."
        yield Look("data directory", "fail", text, "Start the daemon, which makes it: taskferry up")
        return
    if os.access(data, os.W_OK | os.X_OK):
        yield Look("data directory", "ok", str(data))
    else:
        yield Look("data directory", "fail", f"{data} cannot be written.", "Run as its owner.")
    free = shutil.disk_usage(data).free
    text = f"{free // 1_000_000:,} MB are free"
    if free >= FREE_BYTES:
        yield Look("disk space", "ok", text)
    else:
        yield Look("disk space", "fail", text, f"Free some: {FREE_BYTES // 1_000_000} MB or more are wanted.")
    keys = data / "keys"
    secrets = [keys, *(sorted(keys.iterdir()) if keys.is_dir() else ())]
    found = [*secrets, data / "owner.token", *sorted(data.glob("*.db*"))]
    wrong = [look for path in found if path.exists() for look in private_file(path)]
    yield from wrong
    if not wrong:
        yield Look("file modes", "ok", "secrets and database are this user's alone")
    try:
        yield Look("secret store", "ok", f"keys are kept {KEPT[kept_kind()]}")
    except CommandFailed as error:
        yield Look("secret store", "fail", str(error))


def former(database: Path) -> Iterator[Look]:
    """The copies of a database from before an update."""
    from ..former_copies import told_copies

    for told in told_copies(database):
        remedy = "Nothing is to be done; copy it elsewhere if you may need it for longer."
        yield Look("former database", "ok", told, remedy)


def private_file(path: Path) -> Iterator[Look]:
    """What is wrong with whose a file is, and who may read it."""
    about = path.stat()
    mode = stat.S_IMODE(about.st_mode)
    if about.st_uid != os.geteuid():
        yield Look("file owner", "fail", f"{path} belongs to another user.", f"Run: chown $USER {path}")
    if mode & 0o077:
        text = f"{path} has mode {mode:04o}: others may read it, and what it holds may be known."
        yield Look("file modes", "fail", text, f"Run: chmod go-rwx {path}")


def stored(settings: DaemonSettings) -> tuple[str, list[Look]]:
    """The relay's URL and how the database is, read without the daemon."""
    from taskferry_protocol.audit import ChainBroken, follow
    from taskferry_protocol.audit_cuts import require_told
    from taskferry_protocol.records import Order, Place
    from taskferry_stores.port import StoreError
    from taskferry_stores.sqlite import peek_daemon

    relay = settings.relay or ""
    if not settings.database.exists():
        return relay, [Look("database", "warn", "There is none yet.", "It is made by: taskferry up")]
    looks: list[Look] = []
    try:
        with peek_daemon(settings.database) as store:
            raw = store.setting("relay")
            relay = relay or (raw.decode() if raw is not None else "")
            report, chain = store.report(), store.audit_chain()
            if report.verdict == "ok":
                size = report.size / 1_000_000
                looks.append(Look("database", "ok", f"sound, schema {report.version}, {size:.1f} MB"))
            else:
                text = f"It is damaged: {report.verdict}."
                looks.append(Look("database", "fail", text, "Restore a backup."))
            rows = []
            after: Place | None = Place(chain.base.n)
            while after is not None:
                page = store.audit_rows(None, after, 1_000, Order.OLDEST_FIRST)
                rows += [(row.raw, row.kind, row.place) for row in page.items]
                after = page.next
        require_told(chain, follow(chain, rows, still=True))
        entries = counted(chain.head.n - chain.base.n, "entry", "entries")
        looks.append(Look("audit log", "ok", f"holds, {entries}"))
    except ChainBroken as broken:
        text = f"It does not hold. {broken}"
        remedy = "Somebody, or a fault, has changed the database. Compare it with an export."
        looks.append(Look("audit log", "fail", text, remedy))
    except StoreError as error:
        looks.append(Look("database", "fail", str(error)))
    return relay, looks
