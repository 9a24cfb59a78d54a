"""`taskferry rules`: what you have decided ahead about one other owner's agents."""

from __future__ import annotations

import click

from .daemon_link import daemon_options, is_json_wanted, json_option, local_client, print_json, say
from .durations import Moment
from .groups import Group
from .identifiers import Identifier
from .permission_options import permission_options, permission_words, permissions_given

__all__ = ["rules"]


@click.group(cls=Group)
def rules() -> None:
    """Decide ahead: accept an owner's agents, and let some tasks a day through the human gate.

    \b
    Examples:
      taskferry rules add --accept '@alice/*' --tasks-per-day 5 --until 30d
      taskferry rules list
      taskferry rules remove 3f9c01ab
    """


@rules.command()
@click.option(
    "--accept",
    "pattern",
    required=True,
    metavar="PATTERN",
    help="@owner/agent, or @owner/* for all agents of an owner whom you have verified.",
)
@click.option("--agent", default="", help="For this agent of yours; for all of them by default.")
@click.option(
    "--tasks-per-day",
    type=click.IntRange(0, 10_000),
    default=0,
    help="How many tasks in any 24 hours reach your agent without you.",
)
@click.option("--until", type=Moment(), help="When the rule ends: 30m, 2h, 3d, or a time.")
@permission_options
@json_option
@daemon_options
def add(pattern: str, agent: str, tasks_per_day: int, until: str | None) -> None:
    """Accept what fits PATTERN from now on. The other options say what those who are accepted may send.

    The rule is bound to the account that has the name now: nobody else fits it, whatever they are called.

    \b
    Examples:
      taskferry rules add --accept '@alice/*' --tasks-per-day 5 --until 30d
      taskferry rules add --accept @carol/builder --agent writer --classes message
    """
    body: dict[str, object] = {"accept": pattern, "tasks_per_day": tasks_per_day}
    if agent:
        body["agent"] = agent
    if until is not None:
        body["until"] = until
    changes = permissions_given()
    if changes:
        body["permissions"] = changes
    with local_client() as daemon:
        answer = daemon.post("/rules", body)
    if is_json_wanted():
        print_json(answer)
        return
    from .render import clean, sentence_lines, short
    from .values import object_in

    rule = object_in(answer, "rule")
    click.echo(f"Rule {short(rule.get('id'))}: {clean(rule.get('accept'))} is accepted from now on.")
    for sentence in permission_words(object_in(rule, "permissions"), "Who is accepted", "your agent", "you"):
        for line in sentence_lines(sentence, "  "):
            click.echo(line)
    if tasks_per_day:
        tasks = (
            "1 task in any 24 hours goes"
            if tasks_per_day == 1
            else f"{tasks_per_day} tasks in any 24 hours go"
        )
        click.echo(f"  {tasks} to your agent without waiting for you.")
    if rule.get("waits_for"):
        click.echo(f"It waits for {clean(rule.get('waits_for'))}.")


def _tasks(rule: dict[str, object]) -> str:
    if not rule.get("tasks_per_day"):
        return "none"
    return f"{rule.get('tasks_today')} of {rule.get('tasks_per_day')}"


@rules.command("list")
@json_option
@daemon_options
def list_rules() -> None:
    """List the rules, and how often each was used."""
    with local_client() as daemon:
        answer = daemon.get("/rules")
    if is_json_wanted():
        print_json(answer)
        return
    from .render import ago, clean, short, table
    from .values import objects

    table(
        ["id", "accepts", "for", "tasks a day", "used", "ends", "note"],
        (
            [
                short(rule.get("id")),
                clean(rule.get("accept")),
                clean(rule.get("agent") or "all"),
                _tasks(rule),
                clean(rule.get("used")),
                ago(rule.get("until")) or "never",
                f"waits for {clean(rule.get('waits_for'))}" if rule.get("waits_for") else "",
            ]
            for rule in objects(answer, "rules")
        ),
        empty="No rules: you decide on everything yourself.",
    )


@rules.command()
@click.argument("id", type=Identifier())
@json_option
@daemon_options
def remove(id: str) -> None:
    """End the rule ID. What it has accepted stays.

    \b
    Example:
      taskferry rules remove 3f9c01ab
    """
    with local_client() as daemon:
        answer = daemon.delete(f"/rules/{id}")
    say(answer, "Removed. What comes from now on waits for you.")
