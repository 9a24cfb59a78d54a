"""`taskferry verify`: check an exported handoff with nothing but the file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .daemon_link import is_json_wanted, json_option, print_json
from .outcome import CommandFailed, Exit

if TYPE_CHECKING:
    from taskferry_protocol.handoff import HandoffReport
    from taskferry_protocol.ids import AgentRef, Instant

__all__ = ["handle_of", "report_json", "verify"]

#: The last second that a calendar has. Whoever made a file may claim later ones.
_LAST_S = 253_402_300_799


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def verify(file: Path) -> None:
    """Check the exported handoff FILE offline: signatures, keys, chains and the resulting state.

    It asks nobody. What it proves rests on the account ids that it prints: compare them with those that you
    know the two owners by. Exit code 6 if anything does not hold.

    \b
    Example:
      taskferry verify handoff.cbor
    """
    from taskferry_protocol.errors import RemoteProtocolError
    from taskferry_protocol.handoff import HANDOFF_BYTES, verify_handoff

    from .files import bounded_content

    # It may come from anybody, and in any size.
    raw = bounded_content(file, HANDOFF_BYTES)
    try:
        report = verify_handoff(raw)
    except RemoteProtocolError as error:
        if is_json_wanted():
            print_json({"ok": False, "code": error.code.value, "where": error.field, "text": error.text})
            raise SystemExit(Exit.NOT_VERIFIED) from None
        where = f" at {error.field}" if error.field else ""
        raise CommandFailed(
            f"{file} does not hold{where}: {error.text or error.code.value} ({error.code.value}).",
            Exit.NOT_VERIFIED,
        ) from None
    if is_json_wanted():
        print_json(report_json(report))
        return
    _draw(report)


def handle_of(report: HandoffReport, agent: AgentRef) -> str:
    """`@owner/name`, the owner being the name that the account's own log states."""
    log = report.accounts.get(agent.account)
    return f"@{log.state.name if log else agent.account.hex()[:10]}/{agent.name}"


def _time(instant: Instant) -> str:
    return (
        datetime.fromtimestamp(min(instant // 1000, _LAST_S), UTC)
        .isoformat(sep=" ", timespec="seconds")
        .removesuffix("+00:00")
    )


def report_json(report: HandoffReport) -> dict[str, object]:
    """The report for programs."""
    view = report.view
    return {
        "ok": True,
        "task": report.task.hex(),
        "exported_at": _time(report.exported_at),
        "state": view.display,
        "final": view.is_final,
        "requester": handle_of(report, report.requester),
        "worker": handle_of(report, report.worker),
        "accounts": {log.state.name: account.hex() for account, log in report.accounts.items()},
        "versions": [
            {"version": version.number, "hash": version.hash.hex(), "status": version.status.value}
            for version in view.versions
        ],
        "events": [
            {
                "type": line.event.type.value,
                "hash": line.event.hash.hex(),
                "n": line.event.link.n,
                "effect": line.effect.value,
                "state": line.state.value,
                "claimed_at": _time(line.event.created_at),
            }
            for line in view.taken
        ],
        "gaps": [str(gap) for gap in view.order.gaps],
        "checks": [{"what": check.what, "count": check.count} for check in report.checks],
    }


def _draw(report: HandoffReport) -> None:
    from .render import clean, facts, fitted, table

    view = report.view
    click.secho("The handoff holds.", fg="green", bold=True)
    facts(
        [
            ("task", report.task.hex()),
            ("state", view.display),
            ("requester", clean(handle_of(report, report.requester))),
            ("worker", clean(handle_of(report, report.worker))),
        ]
    )
    click.echo()
    for check in report.checks:
        click.echo(fitted(f"  {check.count:>4}  {check.what}", " " * 8))
    click.echo()
    table(
        ["n", "who", "what", "effect", "state", "claimed time"],
        (
            [
                str(line.event.link.n),
                line.event.role.value,
                line.event.type.value,
                line.effect.value,
                line.state.value,
                # Without its seconds the table fits 80 columns; --json has them.
                _time(line.event.created_at)[:16],
            ]
            for line in view.taken
        ),
        empty="No event could be taken: the request itself is missing.",
    )
    for gap in view.order.gaps:
        click.secho(f"! missing: {clean(gap)}", fg="yellow")
    click.echo(
        fitted("\nThis rests on these accounts; compare the ids with those that you know the owners by:")
    )
    for account, log in report.accounts.items():
        click.echo(fitted(f"  @{clean(log.state.name)}  {account.hex()}", "    "))
    click.echo("Times are claims of those who signed them.")
