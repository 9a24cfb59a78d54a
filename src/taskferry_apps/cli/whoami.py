"""`taskferry whoami`: who a credential is here."""

from __future__ import annotations

import click

from .daemon_link import daemon_options, is_json_wanted, json_option, local_client, print_json

__all__ = ["whoami"]


@click.command()
@json_option
@daemon_options
def whoami() -> None:
    """Show who you are to the daemon: your agents, this machine, and what is bound to your agents."""
    with local_client() as daemon:
        answer = daemon.get("/whoami")
    if is_json_wanted():
        print_json(answer)
        return
    from ..transport_words import transport_word
    from .render import clean, facts
    from .values import object_in, objects, texts

    relay = object_in(answer, "relay")
    by = clean(transport_word(str(relay.get("transport"))))
    link = f"connected by {by}" if relay.get("connected") else "not reached"
    facts(
        [
            ("owner", clean(answer.get("owner"))),
            ("credential", _credential(answer)),
            ("agents", ", ".join(map(clean, texts(answer, "agents"))) or "none yet"),
            ("device", clean(answer.get("device"))),
            ("daemon", clean(answer.get("version"))),
            ("relay", f"{clean(relay.get('url'))}, {link}"),
        ]
    )
    bound = [row for row in objects(answer, "runtimes") if row.get("status") != "offline"]
    for row in bound:
        click.echo(
            f"{clean(row.get('name'))} is bound to {clean(row.get('agent'))}, {clean(row.get('status'))}"
        )


def _credential(answer: dict[str, object]) -> str:
    from .render import clean

    if answer.get("credential") == "owner":
        return "the owner's own"
    return f"an agent's, called {clean(answer.get('label'))}" if answer.get("label") else "an agent's"
