"""`taskferry relay ops`: a one-time link into the operator's pages."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from .daemon_link import is_json_wanted, json_option, print_json
from .outcome import CommandFailed, Exit
from .relay_store import on_store_at_hand, relay_settings

if TYPE_CHECKING:
    from taskferry_protocol.ids import Instant
    from taskferry_stores.port import RelayStore

__all__ = ["ops"]


@click.command()
@json_option
def ops() -> None:
    """Make a link into the operator's pages, good once and for two minutes.

    Only who can write to the relay's database gets one, so run it as the relay's user. The pages answer on
    this machine, and where TASKFERRY_RELAY_OPS_ORIGIN says. From afar, without that, a tunnel leads here:

    \b
    Examples:
      taskferry relay --db /var/lib/taskferry/relay.db ops
      ssh -L 8080:127.0.0.1:8080 relay.example   (then open the link at home)
    """
    from ..relay.ops_door import make_sign_in
    from ..system import entropy, now

    async def work(store: RelayStore) -> tuple[str, Instant, str]:
        secret, until = await make_sign_in(store, now(), entropy)
        return secret, until, await _started_at(store)

    secret, until, started = on_store_at_hand(work)
    origin = relay_settings().ops_origin
    here = _loopback(started)
    places = [place for place in (here, _path_of_pages(origin)) if place is not None]
    if not places:
        raise CommandFailed(
            f"The relay last listened at {started or 'no address yet'}, which this machine's own names do "
            "not lead to. Start it at 127.0.0.1 or at 0.0.0.0, or set TASKFERRY_RELAY_OPS_ORIGIN.",
            Exit.TROUBLE,
        )
    links = [f"{place}/ops/sign-in?ticket={secret}" for place in places]
    if is_json_wanted():
        ends = datetime.fromtimestamp(until / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        print_json({"links": links, "expires_at": ends})
        return
    click.echo("Open this in a browser. It works once, and for two minutes:\n")
    for link in links:
        click.echo(f"    {link}")
    click.echo("\nWhoever has it first is in: do not pass it on.")


async def _started_at(store: RelayStore) -> str:
    """Where the relay listened when it last started; "" if it never did."""
    from taskferry_protocol.audit import RelayAuditKind, read_entry
    from taskferry_protocol.errors import RemoteProtocolError
    from taskferry_protocol.records import Order

    page = await store.audit_rows(RelayAuditKind.STARTED.value, None, 1, Order.NEWEST_FIRST)
    try:
        return read_entry(page.items[0].raw).note.subject if page.items else ""
    except RemoteProtocolError:
        return ""


def _loopback(started: str) -> str | None:
    """The address of this machine by which the relay is reached, None if it listens elsewhere alone."""
    from taskferry_transports.loopback import is_loopback

    parts = urlsplit(started)
    host, port = parts.hostname or "", parts.port
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    if not is_loopback(host) or port is None:
        return None
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _path_of_pages(origin: str | None) -> str | None:
    """Where the pages are at the operator's origin: behind whatever path the relay has there."""
    if origin is None:
        return None
    from ..relay.addresses import public_address

    return origin + public_address(relay_settings(), None).path
