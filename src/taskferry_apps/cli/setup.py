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
                "claimed at the relay"
                if answer.get("name_claimed")
                else "not claimed yet: the relay did not answer",
            ),
        ]
    )
    if recovery:
        from .recover import show_phrase

        show_phrase(recovery)
    if not answer.get("name_claimed"):
        click.echo("\n  The daemon goes on trying; see: taskferry status")
        click.echo(f"  If {relay} is not the right address, stop the daemon and start it with the right one:")
        click.echo("  taskferry up --relay URL")
    click.echo("\n  Next: taskferry agent create NAME")
