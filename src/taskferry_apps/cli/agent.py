"""`taskferry agent`: the identities that others connect to."""

from __future__ import annotations

import click

from .agent_mode import mode, policy, tell
from .daemon_link import daemon_options, is_json_wanted, json_option, local_client, print_json
from .groups import Group
from .runtimes import runtimes, unbind

__all__ = ["agent"]


@click.group(cls=Group)
def agent() -> None:
    """Create, describe and list your agents.

    \b
    Examples:
      taskferry agent create writer --tagline "Reports on documents"
      taskferry agent edit writer --tagline "Reports on papers"
      taskferry agent list
      taskferry agent mode writer guarded
      taskferry agent withdraw writer
    """


agent.add_command(mode)
agent.add_command(policy)
agent.add_command(tell)
agent.add_command(runtimes)
agent.add_command(unbind)


@agent.command()
@click.argument("name")
@click.option("--display-name", default="", help="What people read; by default the name.")
@click.option("--tagline", default="", help="One line on what it is for.")
@click.option("--description", default="", help="More on what it can do.")
@click.option(
    "--capability", "capabilities", multiple=True, help="A word on what it can do; repeat for more."
)
@click.option("--public", is_flag=True, help="Let the relay list it in its directory.")
@json_option
@daemon_options
def create(
    name: str, display_name: str, tagline: str, description: str, capabilities: tuple[str, ...], public: bool
) -> None:
    """Create the agent NAME, known to others as @OWNER/NAME.

    \b
    Example:
      taskferry agent create writer --capability writing --capability review
    """
    from .values import object_in

    with local_client() as daemon:
        answer = daemon.post(
            "/agents",
            {
                "handle": name,
                "display_name": display_name or name.rpartition("/")[2],
                "tagline": tagline,
                "description": description,
                "capabilities": list(capabilities),
                "public_profile": public,
                "new": True,
            },
        )
        relay = object_in(daemon.health(), "relay")
    if is_json_wanted():
        print_json(answer)
        return
    from .render import clean, fitted

    handle = clean(object_in(answer, "agent").get("handle") or name)
    if not relay.get("connected"):
        click.echo(
            fitted(
                f"{handle} is made here; the relay is not reached now, and hears of it when it is. "
                "See: taskferry status"
            )
        )
        return
    click.echo(f"{handle} is ready. Others reach it with:\n  taskferry connect THEIR-AGENT {handle}")


@agent.command()
@click.argument("name")
@click.option("--display-name", help='What people read; "" for none.')
@click.option("--tagline", help="One line on what it is for.")
@click.option("--description", help="More on what it can do.")
@click.option(
    "--capability",
    "capabilities",
    multiple=True,
    help='A word on what it can do, instead of those before; repeat for more, "" for none.',
)
@click.option("--public/--private", default=None, help="Whether the relay may list it in its directory.")
@json_option
@daemon_options
def edit(
    name: str,
    display_name: str | None,
    tagline: str | None,
    description: str | None,
    capabilities: tuple[str, ...],
    public: bool | None,
) -> None:
    """Change what is said of the agent NAME: its card.

    What is left out stays as it is. The owners that it is connected with hear of it.

    \b
    Examples:
      taskferry agent edit writer --tagline "Reports on papers"
      taskferry agent edit writer --capability review --public
    """
    from urllib.parse import quote

    from .values import object_in

    given: dict[str, object] = {
        "display_name": display_name,
        "tagline": tagline,
        "description": description,
        "capabilities": [word for word in capabilities if word] if capabilities else None,
        "public_profile": public,
    }
    changes = {field: value for field, value in given.items() if value is not None}
    if not changes:
        raise click.UsageError("Say what to change; see: taskferry agent edit --help")
    with local_client() as daemon:
        owner, slash, own = name.rpartition("/")
        if slash and owner != f"@{daemon.health().get('client_id')}":
            raise click.UsageError(f"{name} is another owner's; yours are listed by: taskferry agent list")
        answer = daemon.patch(f"/agents/{quote(own, safe='')}", changes)
    if is_json_wanted():
        print_json(answer)
        return
    from .render import clean, facts
    from .values import texts

    card = object_in(answer, "agent")
    click.echo(f"The card of {clean(card.get('handle'))}, version {clean(card.get('version'))}, says:")
    facts(
        [
            ("name", clean(card.get("display_name"))),
            ("tagline", clean(card.get("tagline"))),
            ("description", clean(card.get("description"))),
            ("can do", ", ".join(map(clean, texts(card, "capabilities")))),
            ("shown to", "everybody" if card.get("public") else "whom it is connected with"),
        ]
    )


@agent.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@daemon_options
def withdraw(name: str, yes: bool) -> None:
    """Withdraw the agent NAME: no machine of yours serves it any more.

    At once, on all your machines, its credentials, programs, wakes, invites and rules end, and so do its
    connections, of which the peers are told. Its messages and tasks stay readable; nothing more is done in
    them. An agent that is made under the same name later gets none of this.

    \b
    Example:
      taskferry agent withdraw writer
    """
    from urllib.parse import quote

    from .render import clean

    with local_client() as daemon:
        owner, slash, own = name.rpartition("/")
        if slash and owner != f"@{daemon.health().get('client_id')}":
            raise click.UsageError(f"{name} is another owner's; yours are listed by: taskferry agent list")
        if not yes:
            click.confirm(
                f"Withdraw {clean(own)}, and end its connections and credentials?", abort=True, err=True
            )
        answer = daemon.delete(f"/agents/{quote(own, safe='')}")
    if is_json_wanted():
        print_json(answer)
        return
    ended = answer.get("ended")
    many = "connection or request" if ended == 1 else "connections and requests"
    click.echo(f"{clean(own)} is withdrawn. Ended: {clean(ended)} {many}, and all its credentials.")


@agent.command("list")
@json_option
@daemon_options
def list_agents() -> None:
    """List your agents."""
    with local_client() as daemon:
        answer = daemon.get("/agents")
    if is_json_wanted():
        print_json(answer)
        return
    from .render import ago, clean, table
    from .values import objects

    table(
        ["agent", "state", "since", "name", "tagline", "public", "last active"],
        (
            [
                clean(item.get("handle")),
                clean(item.get("status")),
                ago(item.get("since")),
                clean(item.get("display_name"), most=24),
                clean(item.get("tagline"), most=40),
                "yes" if item.get("public") else "no",
                ago(item.get("last_seen_at")) or "never",
            ]
            for item in objects(answer, "agents")
        ),
        empty="No agents yet. Create one: taskferry agent create NAME",
    )
