"""`taskferry doctor --relay`: a relay as its users reach it, by URL, and as its operator has it, by file."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from ..amounts import counted
from .doctor_checks import Look, former, of_python, open_secrets, private_file
from .doctor_telemetry import telemetry_of

if TYPE_CHECKING:
    from ..settings import RelaySettings

__all__ = ["of_database", "of_url"]

#: Programs read these names: they stay.
_LOOK_NAMES: Final = {"websocket": "WebSocket", "longpoll": "long-polling"}
#: How far off a clock is worth a word, and how far others refuse what is signed.
_OFF_MS: Final = (10_000, 300_000)
#: The log is copied into the database every 32 MB, unless somebody reads for long.
LOG_BYTES: Final = 512_000_000
#: A backup that is older is no longer the day's.
BACKUP_S: Final = 36 * 3_600


def of_url(url: str, authorities: Path | None = None) -> Iterator[Look]:
    """A relay from here: its certificate, both transports, the clock, and what it says of itself."""
    from ..daemon.relay_names import url_problem
    from .doctor_network import relay_from_here

    if problem := url_problem(url):
        yield Look("relay", "fail", problem, "Name it as in: taskferry doctor --relay https://relay.example")
        return
    reached = list(relay_from_here(url, clock=False, authorities=authorities))
    yield from reached
    if any(look.level == "fail" for look in reached):
        return
    yield from _sessions(url, authorities)
    yield from _says(url, authorities)


def _sessions(url: str, authorities: Path | None) -> Iterator[Look]:
    from ..relay_probe import TRANSPORTS, probe
    from .doctor_network import is_proxied

    seen = [probe(url, transport, authorities) for transport in TRANSPORTS]
    is_polled = is_proxied(_http(url)) and any(one.opened for one in seen)
    for one in seen:
        name = _LOOK_NAMES[one.transport]
        if one.opened:
            yield Look(name, "ok", f"a session opens in {one.took_ms} ms")
        elif one.code == "rate-limited":
            yield Look(name, "warn", "The relay counts too many tries from here.", "Look again in an hour.")
        elif one.code:
            remedy = (
                "See the relay's --origins: they have to name this very address."
                if (one.code == "wrong-origin")
                else "Its operator's log says more."
            )
            yield Look(name, "fail", f"The relay refuses: {one.reason}", remedy)
        elif is_polled:
            # One of the two is enough for a daemon, and what is in the way stands here.
            yield Look(name, "warn", f"No session opens: {one.reason}", _OF_OUR_PROXY[one.transport])
        else:
            yield Look(name, "fail", f"No session opens: {one.reason}", _OF_PROXY[one.transport])
    ahead = [one.clock_ahead_ms for one in seen if one.opened]
    if ahead:
        yield _clock(ahead[-1])


_OF_OUR_PROXY: Final = {
    "websocket": "Daemons here poll until the proxy that is set lets tunnels (CONNECT) and upgrades through.",
    "longpoll": "Daemons here go by WebSocket. Where that fails, polling needs the proxy that is set.",
}
_OF_PROXY: Final = {
    "websocket": "The proxy before it has to pass GET /v1/ws with its upgrade. Until then daemons poll.",
    "longpoll": "The proxy before the relay has to pass /v1/link, bodies of 2 MiB, answers that take 25 s.",
}


def _clock(ahead_ms: int) -> Look:
    off = abs(ahead_ms)
    text = f"{off / 1000:.1f} s {'ahead of' if ahead_ms > 0 else 'behind'} the relay's"
    if off >= _OFF_MS[1]:
        remedy = "Others refuse what is signed so far off. Set the clock that is wrong."
        return Look("clock", "fail", text, remedy)
    if off >= _OFF_MS[0]:
        return Look("clock", "warn", text, "Let both machines set their clocks by the network (NTP).")
    return Look("clock", "ok", text)


def _says(url: str, authorities: Path | None) -> Iterator[Look]:
    import json
    import ssl

    import httpx

    from taskferry_transports.port import ProxyUnusable

    from .asking import look_at
    from .render import clean

    page = f"{_http(url).rstrip('/')}/status"
    try:
        seen = look_at(page, ssl.create_default_context(cafile=authorities), accept="application/json")
        said = json.loads(seen.answer.body)
        word, sentence, release = (clean(said[name]) for name in ("status", "sentence", "version"))
    except (httpx.HTTPError, ProxyUnusable, ValueError, RecursionError, KeyError, TypeError):
        yield Look("status", "warn", "Its /status page is not shown.", "Let the proxy pass all paths.")
        return
    text = f"{sentence} (version {release})"
    if word == "well":
        yield Look("status", "ok", text)
    else:
        yield Look("status", "warn", text, "Its operator sees more with: taskferry relay ops")


# --- by its database --------------------------------------------------------------------------------------


def of_database(database: Path, config: Path | None, backup: Path | None) -> Iterator[Look]:
    """A relay's files, settings and public address, on its own machine."""
    from ..settings import SettingsError, load_relay

    yield from of_python()
    try:
        settings = load_relay({"db": str(database)}, os.environ, config)
    except SettingsError as error:
        yield Look("configuration", "fail", str(error), "Mend that setting.")
        return
    yield from open_secrets(settings)
    yield from _files(database)
    yield from former(database)
    yield from _store(database)
    yield from _backup(backup)
    yield from _addresses(settings)
    yield from telemetry_of(settings)


def _files(database: Path) -> Iterator[Look]:
    from ..disk import disk_of

    if not database.exists():
        text = f"There is no database at {database}."
        yield Look("database", "fail", text, "Name the relay's file; it is made by: taskferry relay")
        return
    wrong = [
        look for path in sorted(database.parent.glob(f"{database.name}*")) for look in private_file(path)
    ]
    yield from wrong
    if not wrong:
        yield Look("file modes", "ok", "the database and what lies beside it are this user's alone")
    folder = stat.S_IMODE(database.parent.stat().st_mode)
    if folder & 0o022:
        text = f"{database.parent} has mode {folder:04o}: others may put files there."
        yield Look("folder", "fail", text, f"Run: chmod go-w {database.parent}")
    disk = disk_of(database)
    text = f"{disk.free // 1_000_000:,} MB are free"
    if disk.is_short:
        yield Look(
            "disk space", "warn", text, "Free some, or move the database; mail is refused when it is full."
        )
    else:
        yield Look("disk space", "ok", text)
    text = f"{disk.log / 1_000_000:,.1f} MB"
    if disk.log > LOG_BYTES:
        remedy = "Some program reads the database for long: a backup that hangs, or a shell of SQLite."
        yield Look("write-ahead log", "warn", text, remedy)
    else:
        yield Look("write-ahead log", "ok", text)


def _store(database: Path) -> Iterator[Look]:
    from taskferry_stores.port import StoreError
    from taskferry_stores.sqlite import peek_relay

    from ..relay.soundness import look_at

    if not database.exists():
        return
    try:
        with peek_relay(database) as store:
            seen = look_at(store, lambda _: None)
    except StoreError as error:
        yield Look("database", "fail", str(error))
        return
    for words in seen.faults:
        remedy = "Put a backup back: taskferry relay restore FILE --replace"
        yield Look("database", "fail", f"It is not sound: {words}.", remedy)
    if not seen.faults:
        accounts = counted(seen.accounts, "account", "accounts")
        text = f"sound, schema {seen.schema}, {seen.size / 1_000_000:.1f} MB, {accounts}"
        yield Look("database", "ok", text)


def _backup(backup: Path | None) -> Iterator[Look]:
    from taskferry_stores.port import StoreError
    from taskferry_stores.sqlite import read_manifest

    if backup is None:
        remedy = "Name the newest with --backup FILE; take one with: taskferry relay backup FILE"
        yield Look("backup", "warn", "Which backup is the newest is not known here.", remedy)
        return
    again = "Take one, from a timer of the system: taskferry relay backup FILE"
    try:
        manifest = read_manifest(backup) if backup.exists() else None
    except StoreError as error:
        yield Look("backup", "fail", str(error), again)
        return
    if manifest is None:
        yield Look("backup", "fail", f"There is no backup with a manifest at {backup}.", again)
        return
    hours = (time.time() - manifest.taken_at / 1000) / 3_600
    text = f"{counted(round(hours), 'hour', 'hours')} old, schema {manifest.schema}"
    if hours * 3_600 > BACKUP_S:
        yield Look("backup", "warn", text, again)
    else:
        yield Look("backup", "ok", f"{text}; see whether it is whole: taskferry relay check {backup}")


def _addresses(settings: RelaySettings) -> Iterator[Look]:
    from taskferry_transports.loopback import is_loopback

    host, port = settings.addr
    local = is_loopback(host)
    if not settings.origins:
        if local:
            yield Look("origins", "ok", "none are set: programs of this machine alone use this relay")
        else:
            remedy = "Set TASKFERRY_RELAY_ORIGINS, for instance to wss://relay.example."
            yield Look("origins", "fail", f"None are set, and {host} is open to others.", remedy)
        return
    yield from _public(settings)
    if local and not settings.trusted_proxies:
        text = "None is trusted, so all who come through a proxy count as one neighbour."
        yield Look("proxy", "warn", text, "Set TASKFERRY_RELAY_TRUSTED_PROXIES to the proxy's address.")
    elif settings.trusted_proxies:
        yield Look("proxy", "ok", f"trusted: {', '.join(sorted(settings.trusted_proxies))}")
    if not local and not any(is_loopback(proxy) for proxy in settings.trusted_proxies):
        text = f"The relay listens at {host}:{port}, without TLS of its own."
        yield Look("listening", "warn", text, "Let it listen on 127.0.0.1, behind a proxy with TLS.")
    for origin in sorted({_http(origin) for origin in settings.origins}):
        for look in of_url(origin):
            yield Look(f"{look.check} at {urlsplit(origin).netloc}", look.level, look.text, look.remedy)


def _http(origin: str) -> str:
    scheme, colon, rest = origin.partition("://")
    return {"ws": "http", "wss": "https"}.get(scheme, scheme) + colon + rest


def _public(settings: RelaySettings) -> Iterator[Look]:
    hosts = {urlsplit(origin).netloc for origin in settings.origins}
    if settings.public_url is not None and urlsplit(settings.public_url).netloc not in hosts:
        text = f"Links lead to {settings.public_url}, which none of --origins names."
        remedy = "People who follow an invite there set up a daemon that is refused. Name it in both."
        yield Look("public URL", "fail", text, remedy)
    else:
        shown = settings.public_url or "from the first of --origins"
        yield Look("public URL", "ok", shown)
    open_ones = [o for o in settings.origins if o.startswith(("ws:", "http:"))]
    if open_ones:
        text = f"{open_ones[0]} is without TLS; daemons off this machine do not dial it."
        yield Look("origins", "warn", text, "Name wss:// and https:// addresses.")
    else:
        yield Look("origins", "ok", ", ".join(settings.origins))
