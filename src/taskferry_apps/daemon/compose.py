"""The one place that names the daemon's concrete parts: SQLite, key files, dialers, the guarded server."""

from __future__ import annotations

import base64
import json
import os
import ssl
from functools import lru_cache
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import trio
from hypercorn.typing import ASGIFramework

from taskferry_protocol.ids import sha256
from taskferry_protocol.limits import DAY_MS
from taskferry_stores.port import StoreError, StoreLocked
from taskferry_stores.sqlite import SqliteDaemonStore, open_daemon_store
from taskferry_transports.fallback import FallbackDialer
from taskferry_transports.guarded_server import BoundServer, CannotListen, serve
from taskferry_transports.longpoll_client import LongPollDialer, LongPollSettings
from taskferry_transports.websocket_again import WebSocketAgain
from taskferry_transports.websocket_client import WebSocketDialer, WebSocketSettings

from .. import system
from ..credentials import is_credential
from ..former_copies import remove_in_time
from ..garbage import collect_seldom
from ..logs import end_logs, get_logger, set_up_logs
from ..origins import origin_of
from ..settings import DaemonSettings
from ..signals import stop_at_signals
from ..telemetry.opening import CannotExport, exporter_for, spans_for
from .backups import Copying, clear_copies
from .instance import open_instance
from .keys import DamagedKeys
from .link import Route, RouteTo
from .private_files import WHEREABOUTS, UnsafeFile, write_private
from .secret_choice import SecretsMisplaced, open_secrets
from .secret_port import OWNER, SecretStore, SecretsUnavailable
from .service import Daemon
from .telemetry import Followed, collector_of
from .vault import SecretVault

__all__ = ["routes", "run_held"]

SECRET_BYTES: Final = 32
_LAST_WORDS_S: Final = 0.2
#: The one that is used, and those where machines of the owner's meet.
_RELAYS: Final = 4
_LOG = get_logger()


_SECRETS: Final = (UnsafeFile, DamagedKeys, SecretsUnavailable, SecretsMisplaced)


class CannotStart(Exception):
    """The daemon cannot start as things stand; the text is one plain sentence for its owner."""


def run_held(settings: DaemonSettings) -> BaseException | None:
    """Run a daemon in the directory that is held until SIGTERM or SIGINT; why it failed, if it did.

    A refusal of the system's is given as the OSError that it is.
    """
    set_up_logs(settings.log, settings.log_format)
    failure: BaseException | None = None
    try:
        trio.run(_main, settings)
    except* (StoreError, CannotListen, CannotStart, CannotExport, *_SECRETS) as failures:
        failure = _first(failures)
    except* OSError as failures:
        failure = _first(failures)
    finally:
        end_logs()
    if isinstance(failure, StoreLocked):
        return CannotStart(f"{failure} Another file is named with --db.")
    if isinstance(failure, CannotListen):
        return CannotStart(f"{failure} Another address is named with --addr.")
    return failure


def _first(group: BaseException) -> BaseException:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group


def routes(nursery: trio.Nursery, authorities: Path | None = None) -> RouteTo:
    """WebSocket to a relay's URL, or long-poll where no WebSocket gets through; tasks run in `nursery`.

    `authorities` is a file of certificates to trust instead of the system's. Raises CannotStart if it cannot
    be used.
    """
    tls = _trusting(authorities)

    # One dialer for all sessions with a relay: it remembers what gets through.
    @lru_cache(_RELAYS)
    def route_to(relay: str) -> Route:
        parts = urlsplit(relay)
        secure = parts.scheme in {"https", "wss"}
        base = f"{parts.netloc}{parts.path.rstrip('/')}"
        longpoll = LongPollDialer(
            nursery, LongPollSettings(f"{'https' if secure else 'http'}://{base}/v1/link", tls)
        )
        websocket = WebSocketDialer(
            nursery, WebSocketSettings(f"{'wss' if secure else 'ws'}://{base}/v1/ws", tls)
        )
        again = WebSocketAgain(nursery, websocket.dial_tried, jitter=system.jitter)
        dialer = FallbackDialer(websocket, longpoll, apart=lambda: longpoll.by_proxy, again=again)

        def notice() -> str:
            return dialer.reason if dialer.kind == "longpoll" else ""

        return Route(dialer, origin_of(relay), dialer.offered, notice, tls, lambda: again.stands)

    return route_to


def _trusting(authorities: Path | None) -> ssl.SSLContext | None:
    """How relays have to prove themselves; None: by the system's authorities."""
    if authorities is None:
        return None
    try:
        return ssl.create_default_context(cafile=authorities)
    except OSError as error:
        raise CannotStart(
            f"The certificates in {authorities} cannot be used ({error}); "
            "name a PEM file in TASKFERRY_RELAY_CA."
        ) from error


def owner_secret(settings: DaemonSettings, secrets: SecretStore) -> str:
    """The owner's credential: as set, or as kept, which is made at the first start."""
    if settings.local_api_token is not None:
        return settings.local_api_token
    kept = secrets.read(OWNER)
    if kept is not None:
        secret = kept.decode(errors="surrogateescape").strip()
        if not is_credential(secret):
            raise CannotStart(
                f"The owner's credential in {settings.data} is damaged. Remove owner.token there and start "
                "again; a new one is made then."
            )
        return secret
    raw = system.entropy(SECRET_BYTES)
    secret = "tfo_" + base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    secrets.write(OWNER, secret.encode() + b"\n")
    return secret


async def _main(settings: DaemonSettings) -> None:
    from ..mcp.front import Front
    from .api import create_api, guard_config

    secrets = await trio.to_thread.run_sync(open_secrets, settings.data, settings.secrets)
    secret = await trio.to_thread.run_sync(owner_secret, settings, secrets)
    clear_copies(settings.data)
    stop = trio.Event()
    spans = spans_for(settings, "TASKFERRY_CLIENT_OTEL_ENDPOINT")
    async with open_daemon_store(settings.database) as store, trio.open_nursery() as nursery:
        await nursery.start(stop_at_signals, stop)
        nursery.start_soon(_end_with, store)
        nursery.start_soon(remove_in_time, settings.database, system.now)
        daemon = await Daemon.open(
            store,
            SecretVault(secrets),
            routes(nursery, settings.relay_ca),
            owner_digest=sha256(secret.encode()),
            now=system.now,
            entropy=system.entropy,
            jitter=system.jitter,
            uptime=system.uptime,
            relay=settings.relay,
            relay_token=settings.relay_token or "",
            copying=Copying(store.copy_to, settings.data),
            pause_ms=settings.request_pause_days * DAY_MS,
            limits=settings.breakers,
            bounds=settings.limits,
            instance=open_instance(settings.data, system.entropy, take_over=settings.take_over),
        )
        if spans is not None:
            followed = Followed(spans)
            daemon.numbers.tell(followed.took, followed)
        await nursery.start(daemon.run)
        if spans is not None:
            exporter = exporter_for(
                settings, "taskferry-daemon", spans, collector_of(daemon, settings, spans)
            )
            daemon.doctor.exporter = exporter
            await nursery.start(exporter.run)
        async with trio.open_nursery() as serving:
            app: ASGIFramework = create_api(daemon, settings, spans)
            if settings.mcp:
                app = front = Front(app, daemon, settings)
                nursery.start_soon(front.run)
            bound: BoundServer = await serving.start(serve, app, guard_config(settings))
            _write_whereabouts(settings.data, bound.urls[0])
            _LOG.info("listening", url=bound.urls[0], pid=os.getpid())
            if not (await daemon.status()).set_up:
                _LOG.info("no account here yet; see: taskferry status")
            collect_seldom()
            try:
                await stop.wait()
            finally:
                # Before the port is let go: whoever takes it then must not be taken for this daemon.
                (settings.data / WHEREABOUTS).unlink(missing_ok=True)
            if daemon.doctor.exporter is not None:
                await daemon.doctor.exporter.finish()
            bound.draining.set()
        nursery.cancel_scope.cancel()
    _LOG.info("stopped")


def _write_whereabouts(data: Path, url: str) -> None:
    """Where programs of this machine find the daemon."""
    content = json.dumps({"url": url, "pid": os.getpid()})
    write_private(data / WHEREABOUTS, content.encode())


async def _end_with(store: SqliteDaemonStore) -> None:
    """Raise why the store failed, once it has: before there is an account, nothing else may notice."""
    failure = await store.failed()
    # Whoever asked for what failed is still told so.
    await trio.sleep(_LAST_WORDS_S)
    raise failure
