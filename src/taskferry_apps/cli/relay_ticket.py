"""`taskferry relay ticket`: an operator's tickets, for one new account each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

import click

from .daemon_link import is_json_wanted, json_option, print_json
from .durations import Moment
from .groups import Group
from .identifiers import Identifier
from .outcome import CommandFailed, Exit
from .relay_store import OnStore, on_store, on_store_at_hand, relay_settings

if TYPE_CHECKING:
    from taskferry_protocol.records import TicketRecord
    from taskferry_stores.port import RelayStore

    from ..relay.operator import Made, TicketOffice

__all__ = ["ticket"]

T = TypeVar("T")

_LONGEST = timedelta(days=366)


@click.group(cls=Group)
def ticket() -> None:
    """Make, list and withdraw tickets. Each lets one new account in.

    They work on the relay's database, whether the relay runs or not: name it as the relay does, by --db
    before the word `ticket`, by TASKFERRY_RELAY_DB or in the file; and run them as the relay's user.

    \b
    Examples:
      taskferry relay ticket create --name alice --expires 3d
      taskferry relay --db /var/lib/taskferry/relay.db ticket list
    """


@ticket.command()
@click.option("--name", default="", help="The owner name that it is for and that is kept for it; else any.")
@click.option("--expires", type=Moment(), default="7d", help="Until when it is good, as in 7d or 12h.")
@click.option("--note", default="", help="Whom it is for, to be seen in the list.")
@json_option
def create(name: str, expires: str, note: str) -> None:
    """Make a ticket. It is shown once."""
    from taskferry_protocol.ids import is_name

    owner = name.removeprefix("@")
    if owner and not is_name(owner):
        raise click.UsageError("--name is 1 to 32 of a-z, 0-9, _ and -, beginning with a letter or digit.")
    lifetime = datetime.fromisoformat(expires) - datetime.now(UTC)
    if lifetime > _LONGEST:
        raise click.UsageError("--expires lies within a year.")
    if len(note) > 200:
        raise click.UsageError("--note has at most 200 characters.")
    settings = relay_settings()

    async def work(office: TicketOffice) -> Made:
        return await office.create(owner, note, int(lifetime.total_seconds() * 1000))

    made = _in_office(work)
    from taskferry_protocol.setup_links import SetupLink

    from ..relay.addresses import public_address

    where = public_address(settings, None)
    link = SetupLink(where.authority, made.ticket).format()
    if is_json_wanted():
        print_json(_shown(made.record, "") | {"ticket": made.ticket, "link": link})
        return
    named = owner or "NAME"
    path = f" --relay {where.url}" if where.path else ""
    click.echo(f"\n    {link}\n")
    click.echo("Shown this once. Give it to its owner by a way that others do not read. On that machine:")
    click.echo(f"\n    taskferry setup {named}{path} '{link}'\n")
    if settings.public_url is None and not settings.origins:
        click.echo("The link names this machine. For others, name the relay's address: --public-url URL.")


@ticket.command("list")
@json_option
def list_tickets() -> None:
    """List the tickets, without their secrets."""

    async def work(office: TicketOffice) -> list[tuple[TicketRecord, str]]:
        return await office.listed()

    listed = _in_office(work, on_store_at_hand)
    if is_json_wanted():
        print_json({"tickets": [_shown(record, account) for record, account in listed]})
        return
    from .render import ago, clean, short, table

    table(
        ["id", "for", "state", "made", "until", "note"],
        (
            [
                short(record.digest.hex()),
                f"@{clean(record.name)}" if record.name else "any name",
                _state(record, account),
                ago(_time(record.created_at)),
                "" if record.account is not None else ago(_time(record.expires_at)),
                clean(record.note, most=48),
            ]
            for record, account in listed
        ),
        empty="No tickets. Make one: taskferry relay ticket create",
    )


@ticket.command()
@click.argument("id", type=Identifier())
@json_option
def revoke(id: str) -> None:
    """Withdraw the unused ticket ID: nobody comes in by it, and its name is free."""

    async def work(office: TicketOffice) -> TicketRecord | None:
        return await office.revoke(id)

    gone = _in_office(work, on_store_at_hand)
    if gone is None:
        raise CommandFailed(
            f"There is no single unused ticket {id}. See: taskferry relay ticket list", Exit.NOT_FOUND
        )
    if is_json_wanted():
        print_json(_shown(gone, ""))
        return
    click.echo("Withdrawn. Whoever shows it is refused from now on.")


def _in_office(work: Callable[[TicketOffice], Awaitable[T]], run: Callable[[OnStore[T]], T] = on_store) -> T:
    """The work's result, on the relay's store; what the store refuses ends the command."""
    from taskferry_stores.port import ConflictKind, StoreConflict

    from ..relay.operator import TicketOffice
    from ..system import entropy, now

    async def office(store: RelayStore) -> T:
        return await work(TicketOffice(store, now, entropy))

    try:
        return run(office)
    except StoreConflict as conflict:
        words = {
            ConflictKind.NAME_TAKEN: "That name belongs to an account here.",
            ConflictKind.RESERVED: "That name is kept for a ticket; see: taskferry relay ticket list",
        }
        raise CommandFailed(words.get(conflict.kind, f"{conflict}."), Exit.REFUSED) from None


def _state(record: TicketRecord, account: str) -> str:
    if record.account is not None:
        return f"used by @{account}"
    return "open" if datetime.now(UTC).timestamp() * 1000 < record.expires_at else "over"


def _time(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _shown(record: TicketRecord, account: str) -> dict[str, object]:
    return {
        "id": record.digest.hex(),
        "name": record.name,
        "note": record.note,
        "state": _state(record, account).partition(" ")[0],
        "account_name": account,
        "created_at": _time(record.created_at),
        "expires_at": _time(record.expires_at),
        "used_at": None if record.used_at is None else _time(record.used_at),
    }
