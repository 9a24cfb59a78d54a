"""`taskferry status`: the daemon's state and its link to the relay."""

from __future__ import annotations

import click

from .daemon_link import daemon_options, data_directory, is_json_wanted, json_option, local_client, print_json
from .outcome import CommandFailed, Exit

__all__ = ["status"]

_KEPT = {"files": "in files that only you may read", "keyring": "in the system's secret store"}
_MANAGE = {
    "none": "not on this device",
    "open": "here, without a passphrase",
    "locked": "locked by your passphrase; see: taskferry manage unlock",
    "unlocked": "unlocked for a while",
}
#: What `taskferry approvals` lists, in its words.
_ASKED = (
    ("questions", "question of an agent", "questions of your agents"),
    ("requests", "request for a connection", "requests for a connection"),
    ("tasks", "task at the gate", "tasks at the gate"),
    ("stopped", "pair of agents stopped by a breaker", "pairs of agents stopped by a breaker"),
)


@click.command()
@json_option
@daemon_options
def status() -> None:
    """Show who you are here, how the relay is reached, and what waits for you."""
    from .values import objects

    with local_client() as daemon:
        answer = daemon.health()
        # Before set-up, and without a credential, there are none to ask for.
        agents = objects(daemon.get("/agents"), "agents") if answer.get("set_up") else []
    if is_json_wanted():
        print_json({**answer, "agents": agents})
        return
    from ..former_copies import told_copies
    from .render import ago, clean, facts
    from .values import object_in, texts

    if "set_up" not in answer:
        raise CommandFailed(
            "The daemon runs, and tells no more without a credential. Name its data directory with --data, "
            "or a credential with --token.",
            Exit.REFUSED,
        )
    if not answer.get("set_up") and answer.get("handle_owner"):
        click.echo(
            f"The daemon runs, and has no keys of the account @{clean(answer.get('handle_owner'))} yet."
        )
        click.echo("Next: taskferry recover")
        return
    if not answer.get("set_up"):
        click.echo("The daemon runs and has no account yet. Next: taskferry setup OWNER --relay URL")
        click.echo("For one that you have on another machine: taskferry device link --relay URL")
        click.echo("For one whose machines are lost: taskferry recover OWNER --relay URL")
        return
    relay = object_in(answer, "relay")
    facts(
        [
            ("owner", f"@{clean(answer.get('handle_owner'))}"),
            ("account", clean(answer.get("account"))),
            ("fingerprint", clean(answer.get("fingerprint"))),
            ("device", clean(answer.get("device"))),
            ("relay", clean(relay.get("url"))),
            ("link", _link(relay)),
            ("since", ago(relay.get("since"))),
            ("waiting here", str(relay.get("queued") or "")),
            ("last trouble", clean(relay.get("last_error") or "")),
            ("note", clean(relay.get("notice") or "")),
            ("secrets", _KEPT.get(str(answer.get("secrets")), "")),
            ("account key", _MANAGE.get(str(answer.get("manage")), "")),
            ("version", clean(answer.get("version"))),
        ]
    )
    for agent in agents:
        click.echo(f"{clean(agent.get('handle'))} is {_activity(agent)}")
    if clean(relay.get("last_error")).startswith("name-taken"):
        url = clean(relay.get("url"))
        click.echo(f"\nTake another name, with the same keys: taskferry setup OWNER --relay {url}")
    if answer.get("waiting") is not None:
        _tell_what_waits(object_in(answer, "waiting"))
    for owner in texts(answer, "changed_peers"):
        handle = clean(owner)
        text = f"The identity of {handle} is in question: taskferry peer show {handle}"
        click.secho(f"! {text}", fg="red", bold=True)
    for copy in told_copies(data_directory() / "daemon.db"):
        click.echo(clean(copy))
    for alarm in texts(answer, "alarms"):
        click.secho(f"! {clean(alarm)}", fg="red", bold=True)
    if texts(answer, "alarms"):
        click.echo("Next: taskferry alarms list")


def _tell_what_waits(counts: dict[str, object]) -> None:
    waiting = [_counted(counts, *words) for words in _ASKED if counts.get(words[0])]
    if waiting:
        click.secho(f"! Waiting for you: {', '.join(waiting)}", fg="yellow", bold=True)
        click.echo("Next: taskferry approvals")
    elif not counts.get("identities") and not counts.get("alarms"):
        click.echo("Nothing waits for you.")
    if counts.get("quarantined"):
        items = _counted(counts, "quarantined", "item", "items")
        click.echo(f"In quarantine, without effect: {items}. See: taskferry quarantine list")


def _counted(counts: dict[str, object], key: str, one: str, many: str) -> str:
    from .render import clean

    return f"{clean(counts[key])} {one if counts[key] == 1 else many}"


def _activity(agent: dict[str, object]) -> str:
    from .render import ago, clean

    since = ago(agent.get("since"))
    if agent.get("status") == "offline":
        return f"offline; last run {since}" if since else "offline; no program has run it yet"
    bound = agent.get("runtimes")
    programs = "1 program" if bound == 1 else f"{bound} programs"
    return f"{clean(agent.get('status'))} with {programs} bound ({since})"


def _link(relay: dict[str, object]) -> str:
    from ..transport_words import transport_word
    from .render import clean

    if relay.get("connected"):
        return f"connected by {clean(transport_word(str(relay.get('transport'))))}"
    return "not reached; what you send waits here"
