"""The one place that names the relay's concrete parts: SQLite, the guarded server, the system's signals."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import attrs
import trio

from taskferry_protocol.audit import RelayAuditKind, audit_note
from taskferry_protocol.limits import LINKING_LETTER_BYTES
from taskferry_protocol.records import AppendAudit, Generation
from taskferry_stores.port import RelayStore, StoreError, StoreLocked
from taskferry_stores.sqlite import open_relay_store, open_relay_store_beside
from taskferry_transports.guarded_server import BoundServer, CannotListen, GuardConfig, serve
from taskferry_transports.longpoll_server import LongPollLimits
from taskferry_transports.loopback import is_loopback

from .. import system
from ..former_copies import remove_in_time
from ..garbage import collect_seldom
from ..logs import end_logs, get_logger, set_up_logs
from ..settings import RelaySettings
from ..signals import stop_at_signals
from ..telemetry.opening import CannotExport, exporter_for, spans_for
from ..terminal import columns_of, fitted_to
from .addresses import both_origins, local_origins, public_address
from .app import LONGPOLL_PATH, OPS_PATH, Surface, create_app
from .core import Policy, Relay
from .entrance import SignUp
from .failures import first_failure
from .limits import RelayLimits, mailbox_limits
from .mail import MailSecurity, MailServer, SmtpMailer
from .mail_room import MailRoom
from .meetings import MEETINGS_PATH
from .ops_door import OpsDoor, OpsPolicy
from .pages import Pages
from .pages.ops import Shown
from .pages.sign_up import BODY_BYTES, SIGN_UP_PATHS
from .reloading import Reloading
from .sign_up_desk import Offer, SignUpDesk
from .sign_ups import Allowance
from .telemetry import collector_of
from .witness import log_envelope

if TYPE_CHECKING:
    from ..telemetry.exporter import Exporter

__all__ = ["CannotStart", "run", "run_on_store", "run_restored", "serve_relay"]

T = TypeVar("T")

Reread = Callable[[], RelaySettings]

GENERATION_BYTES = 16
#: What the server needs besides its connections: the store, the signals, the standard streams.
SPARE_DESCRIPTORS = 256

_LOG = get_logger()


class CannotStart(Exception):
    """The relay cannot start as things stand; the text is one plain sentence for its operator."""


class SettingMissing(CannotStart):
    """Settings ask for one that is not there, or for what is not done: trying again changes nothing."""


def run(settings: RelaySettings, reread: Reread | None = None) -> int:
    """Run a relay until SIGTERM or SIGINT. 0 after a good stop, else one sentence on standard error.

    That comes with 2 where a setting has to be changed first, and with 1 for any other trouble. `reread`
    gives the settings as they are written now, and is asked at SIGHUP; it raises SettingsError.
    """
    return _run(_main, settings, reread)


def run_restored(settings: RelaySettings, reread: Reread | None = None) -> int:
    """As `run`, on a database that was put back from an older copy.

    Its mailboxes begin a new generation first, so that daemons read them again and offer again what was lost.
    """
    return _run(_main_restored, settings, reread)


def _run(
    main: Callable[[RelaySettings, Reread | None], Awaitable[None]],
    settings: RelaySettings,
    reread: Reread | None,
) -> int:
    set_up_logs(settings.log, settings.log_format)
    collect_seldom()
    failure: Exception | None = None
    try:
        trio.run(main, settings, reread)
    except* (StoreError, CannotListen, CannotStart, CannotExport) as failures:
        failure = first_failure(failures)
    finally:
        end_logs()
    if failure is None:
        return 0
    elsewhere = ""
    if isinstance(failure, StoreLocked):
        elsewhere = " Another file is named with --db."
    elif isinstance(failure, CannotListen):
        elsewhere = " Another address is named with --addr."
    said = f"taskferry relay: {failure}{elsewhere}"
    sys.stderr.write(fitted_to(columns_of(sys.stderr), said) + "\n")
    return 2 if isinstance(failure, SettingMissing) else 1


async def _main(settings: RelaySettings, reread: Reread | None) -> None:
    _make_folder(settings.database.parent)
    generation = Generation(system.entropy(GENERATION_BYTES))
    stop = trio.Event()
    async with (
        open_relay_store(
            settings.database, generation=generation, most_bytes=settings.limits.database_bytes
        ) as store,
        trio.open_nursery() as nursery,
    ):
        await nursery.start(stop_at_signals, stop)
        nursery.start_soon(remove_in_time, settings.database, system.now)
        await serve_relay(settings, store, stop, reread=reread)
        nursery.cancel_scope.cancel()
    _LOG.info("stopped")


async def _main_restored(settings: RelaySettings, reread: Reread | None) -> None:
    generation = Generation(system.entropy(GENERATION_BYTES))
    async with open_relay_store(settings.database, generation=generation) as store:
        await store.renew_generation(generation)
        note = audit_note(RelayAuditKind.RESTORED, "database", {"from": "an older copy"}, system.now())
        await store.commit([AppendAudit(note)])
    _LOG.info("a new generation has begun", reason="the database is an older copy")
    await _main(settings, reread)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise CannotStart(
            f"The folder {folder} cannot be made: {error.strerror}. Name another place with --data or --db."
        ) from error


def run_on_store(settings: RelaySettings, work: Callable[[RelayStore], Awaitable[T]]) -> T:
    """Do an operator's work on the relay's store, whether or not it runs. Raises StoreError, CannotStart."""

    async def main() -> T:
        _make_folder(settings.database.parent)
        generation = Generation(system.entropy(GENERATION_BYTES))
        try:
            async with open_relay_store(settings.database, generation=generation) as store:
                return await work(store)
        except StoreLocked:
            async with open_relay_store_beside(settings.database) as store:
                return await work(store)

    return trio.run(main)


async def serve_relay(
    settings: RelaySettings,
    store: RelayStore,
    stop: trio.Event,
    *,
    reread: Reread | None = None,
    task_status: trio.TaskStatus[BoundServer] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve a relay on `store` until `stop` is set and its links have been seen off.

    Raises CannotListen, CannotStart, CannotExport, and the store's errors.
    """
    host, port = settings.addr
    guard = attrs.evolve(_guard(host, port, settings.limits), trusted_proxies=settings.trusted_proxies)
    if not settings.origins and not is_loopback(host):
        raise SettingMissing(
            f"Say how daemons reach this relay, since {host} is open to others: "
            "set TASKFERRY_RELAY_ORIGINS, for instance to wss://relay.example."
        )
    witness = log_envelope if settings.log == "debug" else None
    allowance = _allowance(settings)
    policy = Policy(
        (),
        _sign_up(settings),
        allowance,
        limits=mailbox_limits(settings.limits),
        bounds=settings.limits,
        witness=witness,
        client_tokens=tuple(settings.client_tokens.values()),
    )
    spans = spans_for(settings, "TASKFERRY_RELAY_OTEL_ENDPOINT")
    relay = Relay(store, policy, spans=spans)
    mailer = mailer_of(settings)
    mail = None if mailer is None else MailRoom(mailer, relay.audit)
    pages = Pages()
    desk = SignUpDesk(
        store,
        _offer(settings),
        mail,
        lambda: pages.address,
        allowance,
        now=system.now,
        entropy=system.entropy,
    )
    door = OpsDoor(_ops_policy(settings), store, relay.audit, system.now, system.entropy)
    surface = _surface(settings, policy, door)
    app, longpoll, gauges = create_app(relay, store, system.entropy, pages, desk, surface)

    def take(read: RelaySettings) -> None:
        set_up_logs(read.log, read.log_format)
        relay.entrance.allow(read.client_tokens.values(), _allowance(read))
        desk.limit(_allowance(read))
        door.policy = _ops_policy(read)

    async with trio.open_nursery() as behind:
        await behind.start(relay.run)
        await behind.start(longpoll.run)
        if mail is not None:
            await behind.start(mail.run)
        if reread is not None:
            await behind.start(_watch_hangups, Reloading(settings, reread, take))
        exporter: Exporter | None = None
        if spans is not None:
            collect = collector_of(relay, store, policy.limits, settings)
            exporter = exporter_for(settings, "taskferry-relay", spans, collect)
            await behind.start(exporter.run)
        async with trio.open_nursery() as serving:
            bound: BoundServer = await serving.start(serve, app, guard)
            # Which port the system chose is known only now; nobody can have dialled an origin before.
            relay.reachable_at(both_origins(settings.origins or local_origins(bound)))
            pages.reachable_at(public_address(settings, bound))
            gauges.connections = lambda: len(bound.connections)
            relay.audit.note(RelayAuditKind.STARTED, bound.urls[0], state=_sign_up(settings).value)
            _LOG.info("listening", url=bound.urls[0], pid=os.getpid(), state=_sign_up(settings).value)
            task_status.started(bound)
            await stop.wait()
            _LOG.info("stopping", count=relay.online)
            if mail is not None:
                await mail.finish()
            await relay.drain()
            if exporter is not None:
                await exporter.finish()
            bound.draining.set()
        behind.cancel_scope.cancel()


async def _watch_hangups(
    reloading: Reloading, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    with trio.open_signal_receiver(signal.SIGHUP) as signals:
        reloading.catch_up()
        task_status.started()
        async for _ in signals:
            # The file is small, and whoever edits it waits for what comes of it.
            reloading.reload()


def _allowance(settings: RelaySettings) -> Allowance:
    return Allowance.of(settings.signups_per_hour, settings.signups_per_site, settings.signups_per_provider)


def _ops_policy(settings: RelaySettings) -> OpsPolicy:
    """To whom the operator's pages and numbers are shown."""
    behind_proxy = bool(settings.origins) or settings.public_url is not None
    tells_apart = any(is_loopback(proxy) for proxy in settings.trusted_proxies)
    return OpsPolicy(settings.ops_origin, settings.ops_token, neighbours=tells_apart or not behind_proxy)


def _surface(settings: RelaySettings, policy: Policy, door: OpsDoor) -> Surface:
    """What is shown, and to whom."""
    # The same words as on the command line.
    from ..cli.relay_audit_words import relay_sentence

    return Surface(
        door,
        Shown(
            policy.limits,
            policy.sign_up.value,
            settings.signups_per_hour,
            str(settings.database),
            relay_sentence,
            settings.limits,
            settings.sources.get("limits", "default"),
        ),
        settings.community,
    )


def _guard(host: str, port: int, limits: RelayLimits) -> GuardConfig:
    """The server's limits: as many connections as file descriptors can be had for."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = limits.connections + SPARE_DESCRIPTORS
    most = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return GuardConfig(
        bind=(f"[{host}]:{port}" if ":" in host else f"{host}:{port}",),
        max_connections=max(1, most - SPARE_DESCRIPTORS),
        max_connections_per_peer=limits.connections_per_address,
        max_frame=limits.frame_bytes,
        receive_buffer=limits.receive_bytes,
        receive_frames=limits.receive_frames,
        max_head=limits.head_bytes,
        max_body=limits.body_bytes,
        bodies_total=limits.held_bodies_bytes,
        frames_total=limits.held_frames_bytes,
        tls_timeout=limits.handshake_s,
        head_timeout=limits.handshake_s,
        body_timeout=limits.body_s,
        message_timeout=limits.message_s,
        idle_timeout=limits.idle_s,
        send_timeout=limits.send_s,
        handler_timeout=limits.handler_s,
        body_limits=(
            (LONGPOLL_PATH, LongPollLimits().max_body),
            (MEETINGS_PATH, LINKING_LETTER_BYTES),
            *((path, BODY_BYTES) for path in (*SIGN_UP_PATHS, OPS_PATH)),
        ),
    )


def _sign_up(settings: RelaySettings) -> SignUp:
    """Who may begin an account: whoever has a ticket, where everybody can get one by mail alone."""
    policy = SignUp(settings.lets_in)
    return SignUp.TICKET if policy is SignUp.OPEN and settings.smtp is not None else policy


def _offer(settings: RelaySettings) -> Offer:
    """How people come by tickets."""
    match SignUp(settings.lets_in):
        case SignUp.CLOSED:
            return Offer.NONE
        case SignUp.TICKET:
            return Offer.OPERATOR
    return Offer.AT_ONCE if settings.smtp is None else Offer.BY_MAIL


def mailer_of(settings: RelaySettings) -> SmtpMailer | None:
    """What sends the relay's mail; None where no mail server is set. Raises CannotStart."""
    if settings.smtp is None:
        return None
    if settings.smtp_from is None:
        raise SettingMissing(
            "Say whom mail is from: set TASKFERRY_RELAY_SMTP_FROM, for instance to relay@relay.example."
        )
    try:
        password = ""
        if settings.smtp_password_file is not None:
            password = settings.smtp_password_file.read_text().partition("\n")[0]
        server = MailServer(
            *settings.smtp,
            settings.smtp_from,
            MailSecurity(settings.smtp_security),
            settings.smtp_user,
            password,
            settings.smtp_ca,
        )
        return SmtpMailer(server, system.now)
    except OSError as error:
        raise CannotStart(
            f"Mail cannot be set up ({error}): see TASKFERRY_RELAY_SMTP_PASSWORD_FILE and _SMTP_CA."
        ) from error
    except ValueError as error:
        raise SettingMissing(f"Mail cannot be set up: {error}; use starttls or tls.") from error
