"""`taskferry relay account`: look at accounts, stop one, and let it go on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from .daemon_link import is_json_wanted, json_option, print_json
from .groups import Group
from .outcome import CommandFailed, Exit
from .relay_store import OnStore, on_store_at_hand

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeVar

    from taskferry_protocol.records.operations import AccountLine, MailboxLine
    from taskferry_stores.port import RelayStore

    from ..relay.account_office import AccountFound, AccountOffice

    T = TypeVar("T")

__all__ = ["account"]


@click.group(cls=Group)
def account() -> None:
    """Look at accounts, suspend one, and release it.

    A suspended account has no session: its daemon is told so, with the reason, and asks again every few
    minutes. Mail that was accepted is kept until it expires. A relay that runs follows within a second.

    \b
    Examples:
      taskferry relay account list --suspended
      taskferry relay --db /srv/relay.db account suspend mallory --reason spam
      taskferry relay account release mallory
    """


@account.command("list")
@click.option("--prefix", default="", metavar="TEXT", help="Only names that begin so.")
@click.option("--suspended", "state", flag_value="suspended", help="Only those that you have suspended.")
@click.option("--held", "state", flag_value="held", help="Only those whose log has forked.")
@click.option("--limit", type=click.IntRange(1, 1_000), default=50, show_default=True, help="How many.")
@click.option("--cursor", default="", help="Where to go on, from an earlier answer.")
@json_option
def list_accounts(prefix: str, state: str | None, limit: int, cursor: str) -> None:
    """List accounts by name, with what waits for them."""
    from taskferry_protocol.records.operations import AccountQuery, Standing

    query = AccountQuery(prefix.removeprefix("@"), Standing(state or "all"))
    found = _in_office(lambda office: office.listed(query, cursor, limit + 1))
    lines = found[:limit]
    following = lines[-1].name if len(found) > limit else ""
    if is_json_wanted():
        print_json(
            {"accounts": [_shown(line) for line in lines], "cursor": following, "more": bool(following)}
        )
        return
    from .render import ago, clean, short, table

    table(
        ["name", "state", "waiting", "oldest", "account", "reason"],
        (
            [
                f"@{clean(line.name)}",
                _state(line),
                str(line.waiting),
                ago(_time(line.oldest)),
                short(line.account.hex()),
                clean(line.suspension.reason) if line.suspension is not None else "",
            ]
            for line in lines
        ),
        empty="No such accounts here." if prefix or state else "No account has begun here yet.",
    )
    if following:
        click.echo(f"\nMore: --cursor {following}")


@account.command()
@click.argument("who")
@json_option
def show(who: str) -> None:
    """Show one account, by name or whole id: its state, its devices and what waits for them."""
    found = _in_office(lambda office: office.find(who))
    if is_json_wanted():
        print_json(_shown(found.line) | {"devices": _devices(found)})
        return
    from .render import ago, clean, facts, short, table

    line = found.line
    held = "its keys have signed two histories" if line.held == "forked" else clean(line.held)
    facts(
        [
            ("name", f"@{clean(line.name)}"),
            ("account", line.account.hex()),
            ("state", _state(line)),
            ("why", clean(line.suspension.reason) if line.suspension is not None else held),
            ("since", ago(_time(line.suspension.at)) if line.suspension is not None else ""),
            ("agents", ", ".join(sorted(found.log.state.agents)) or "none"),
            ("statements", str(found.log.position.length)),
        ]
    )
    click.echo()
    table(
        ["device", "name", "state", "waiting", "oldest"],
        (
            [
                short(device["id"]),
                clean(device["label"]),
                str(device["state"]),
                str(device["waiting"]),
                ago(device["oldest_at"]),
            ]
            for device in _devices(found)
        ),
        empty="It has no devices.",
    )


@account.command()
@click.argument("who")
@click.option("--reason", required=True, help="Why, in one line. The account's owner reads it.")
@json_option
def suspend(who: str, reason: str) -> None:
    """Suspend the account WHO: its sessions end, new ones and new mail for it are refused."""
    try:
        held = _in_office(lambda office: office.suspend(who, reason))
    except ValueError as error:
        raise click.UsageError(f"--reason is {error}.") from None
    if is_json_wanted():
        print_json({"ok": True, "account": held.account.hex(), "reason": held.reason, "at": _time(held.at)})
        return
    click.echo(f"Suspended. To let it go on: taskferry relay account release {who}")


@account.command()
@click.argument("who")
@json_option
def release(who: str) -> None:
    """Release the account WHO: it goes on where it was, and gets what was kept for it."""
    lifted = _in_office(lambda office: office.release(who))
    if not lifted:
        raise CommandFailed(
            f"{who} is not suspended. See: taskferry relay account list --suspended", Exit.NOT_FOUND
        )
    if is_json_wanted():
        print_json({"ok": True})
        return
    click.echo("Released. Its daemon comes back by itself, within five minutes.")


def _in_office(work: Callable[[AccountOffice], Awaitable[T]]) -> T:
    from ..relay.account_office import AccountOffice, NoAccount
    from ..system import now

    async def on(store: RelayStore) -> T:
        return await work(AccountOffice(store, now, "command line"))

    run: OnStore[T] = on
    try:
        return on_store_at_hand(run)
    except NoAccount as unknown:
        raise CommandFailed(
            f"There is no account {str(unknown)!r} here. See: taskferry relay account list", Exit.NOT_FOUND
        ) from None


def _state(line: AccountLine) -> str:
    return "suspended" if line.suspension is not None else "held" if line.held else "active"


def _time(at: int | None) -> str:
    if at is None:
        return ""
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _shown(line: AccountLine) -> dict[str, object]:
    return {
        "account": line.account.hex(),
        "name": line.name,
        "state": _state(line),
        "held": line.held,
        "reason": line.suspension.reason if line.suspension is not None else "",
        "suspended_at": _time(line.suspension.at) if line.suspension is not None else None,
        "waiting": line.waiting,
        "waiting_bytes": line.waiting_bytes,
        "oldest_at": _time(line.oldest) or None,
    }


def _devices(found: AccountFound) -> list[dict[str, object]]:
    boxes: dict[bytes, MailboxLine] = {box.device: box for box in found.mailboxes}
    devices: list[dict[str, object]] = []
    for id, device in found.log.state.devices.items():
        box = boxes.get(id)
        devices.append(
            {
                "id": id.hex(),
                "label": device.record.label,
                "state": device.status.value,
                "waiting": box.count if box is not None else 0,
                "waiting_bytes": box.bytes if box is not None else 0,
                "oldest_at": _time(box.oldest) or None if box is not None else None,
            }
        )
    return devices
