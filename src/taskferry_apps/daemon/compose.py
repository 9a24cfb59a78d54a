"""The one place that names the daemon's concrete parts: SQLite, key files, dialers, the guarded server."""

from __future__ import annotations

import base64
import json
import os
import signal
import sys
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import trio

from taskferry_protocol.ids import sha256
from taskferry_stores.port import StoreError
from taskferry_stores.sqlite import open_daemon_store
from taskferry_transports.fallback import FallbackDialer
from taskferry_transports.guarded_server import BoundServer, CannotListen, serve
from taskferry_transports.longpoll_client import LongPollDialer, LongPollSettings
from taskferry_transports.websocket_client import WebSocketDialer, WebSocketSettings

from .. import system
from ..logs import get_logger, set_up_logs
from ..relay_client import origin_of
from ..settings import DaemonSettings, owner_token_path
from .core import FileVault
from .instance import open_instance
from .keys import DamagedKeys
from .link import Route, RouteTo
from .private_files import (
    DataInUse,
    UnsafeFile,
    hold_directory,
    make_private_directory,
    read_private,
    write_private,
)
from .service import Daemon

__all__ = ["routes", "run_daemon"]

SECRET_BYTES: Final = 32
_LOG = get_logger()


class CannotStart(Exception):
    """The daemon cannot start as things stand; the text is one plain sentence for its owner."""


def run_daemon(settings: DaemonSettings) -> int:
    """Run a daemon until SIGTERM or SIGINT. 0 after a good stop, else 1 and a sentence on standard error."""
    set_up_logs(settings.log)
    failure: BaseException | None = None
    try:
        make_private_directory(settings.data)
        with hold_directory(settings.data):
            trio.run(_main, settings)
    except* (StoreError, CannotListen, CannotStart, DataInUse, UnsafeFile, DamagedKeys) as failures:
        failure = _first(failures)
    except* OSError as failures:
        error = _first(failures)
        failure = CannotStart(
            f"The data directory {settings.data} cannot be used ({error}); name another one with --data."
        )
    if failure is None:
        return 0
    sys.stderr.write(f"taskferry up: {failure}\n")
    return 1


def _first(group: BaseException) -> BaseException:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group


def routes(nursery: trio.Nursery) -> RouteTo:
    """WebSocket to a relay's URL, or long-poll where no WebSocket gets through; tasks run in `nursery`."""

    def route_to(relay: str) -> Route:
        parts = urlsplit(relay)
        secure = parts.scheme in {"https", "wss"}
        base = f"{parts.netloc}{parts.path.rstrip('/')}"
        dialer = FallbackDialer(
            WebSocketDialer(nursery, WebSocketSettings(f"{'wss' if secure else 'ws'}://{base}/v1/ws")),
            LongPollDialer(nursery, LongPollSettings(f"{'https' if secure else 'http'}://{base}/v1/link")),
        )

        def notice() -> str:
            return dialer.reason if dialer.kind == "longpoll" else ""

        return Route(dialer, origin_of(relay), dialer.offered, notice)

    return route_to


def owner_secret(settings: DaemonSettings) -> str:
    """The owner's credential: as set, or from its file, which is made at the first start."""
    if settings.local_api_token is not None:
        return settings.local_api_token
    path = owner_token_path(settings.data)
    try:
        return read_private(path).decode().strip()
    except FileNotFoundError:
        raw = system.entropy(SECRET_BYTES)
        secret = "tfo_" + base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
        write_private(path, secret.encode() + b"\n")
        return secret


async def _main(settings: DaemonSettings) -> None:
    from .api import create_api, guard_config

    secret = owner_secret(settings)
    stop = trio.Event()
    async with open_daemon_store(settings.database) as store, trio.open_nursery() as nursery:
        await nursery.start(_watch_signals, stop)
        daemon = await Daemon.open(
            store,
            FileVault(settings.data),
            routes(nursery),
            owner_digest=sha256(secret.encode()),
            now=system.now,
            entropy=system.entropy,
            jitter=system.jitter,
            relay=settings.relay,
            instance=open_instance(settings.data, system.entropy, take_over=settings.take_over),
        )
        await nursery.start(daemon.run)
        async with trio.open_nursery() as serving:
            app = create_api(daemon, settings)
            bound: BoundServer = await serving.start(serve, app, guard_config(settings))
            _write_whereabouts(settings.data, bound.urls[0])
            _LOG.info("listening", url=bound.urls[0], pid=os.getpid())
            await stop.wait()
            bound.draining.set()
        nursery.cancel_scope.cancel()
    _LOG.info("stopped")


def _write_whereabouts(data: Path, url: str) -> None:
    """Where programs of this machine find the daemon."""
    content = json.dumps({"url": url, "pid": os.getpid()})
    write_private(data / "daemon.json", content.encode())


async def _watch_signals(
    stop: trio.Event, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async for _ in signals:
            stop.set()
