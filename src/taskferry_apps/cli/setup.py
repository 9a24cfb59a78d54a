"""`taskferry setup`: make the account and claim the name."""

from __future__ import annotations

import click

from .daemon_link import daemon_options, is_json_wanted, json_option, local_client, print_json

__all__ = ["setup"]


@click.command()
@click.argument("owner")
@click.option(
    "--relay", required=True, envvar="TASKFERRY_RELAY_HTTP", help="The relay, as in https://relay.example."
)
@click.option("--label", default="", help="What to call this device; by default the host's name.")
@json_option
@daemon_options
def setup(owner: str, relay: str, label: str) -> None:
    """Make your account under the name OWNER and claim that name at a relay.

    \b
    Examples:
      taskferry setup alice --relay https://relay.example
      taskferry setup alice --relay http://127.0.0.1:8080 --label laptop
    """
    with local_client() as daemon:
        body = {"owner": owner, "relay": relay}
        answer = daemon.post("/setup", body | ({"device_label": label} if label else {}))
        trouble = "" if answer.get("name_claimed") else _trouble(daemon.health())
    if is_json_wanted():
        print_json(answer)
        return
    from .render import clean, facts

    recovery = clean(answer.get("recovery_key") or "")
    facts(
        [
            ("owner", f"@{clean(answer.get('owner'))}"),
            ("account", clean(answer.get("account"))),
            ("device", clean(answer.get("device"))),
            (
                "name",
                "claimed at the relay" if answer.get("name_claimed") else f"not claimed yet: {trouble}",
            ),
        ]
    )
    if recovery:
        click.echo()
        click.secho("  Recovery key, shown this once:", bold=True)
        click.echo(f"\n    {recovery}\n")
        click.echo("  Write it down and keep it away from this machine: it regains the account")
        click.echo("  if all devices are lost.")
    if answer.get("name_claimed"):
        click.echo("\n  Next: taskferry agent create NAME")
        return
    name = f"@{clean(answer.get('owner'))}"
    click.echo("\n  Done: your keys and your account are made, on this machine.")
    click.echo(f"  Waits: the name {name} is yours once the relay has it. The daemon goes on trying;")
    click.echo("  see: taskferry status")
    click.echo(f"  To do: see that the relay runs. If {clean(relay)} is not its address, stop the daemon and")
    click.echo("  start it with the right one: taskferry up --relay URL")
    click.echo("\n  Meanwhile you can make your agents; others reach them when the relay is there:")
    click.echo("  taskferry agent create NAME")


def _trouble(health: dict[str, object]) -> str:
    """Why the relay is not reached, in a few words."""
    from .render import clean
    from .values import object_in

    return clean(object_in(health, "relay").get("last_error") or "the relay did not answer")
