"""One thing that waits for its owner, in full: ours stands at the margin, what others wrote behind a bar."""

from __future__ import annotations

from collections.abc import Mapping

import click

from ..amounts import counted
from ..trust_words import trust_words
from .permission_options import permission_words
from .quoting import Quoter
from .render import ago, clean, facts, sentence_lines, short
from .values import object_in, objects, texts

__all__ = ["draw_question", "draw_request", "draw_task"]

_BEHIND = "What others wrote stands behind a bar; everything else is TaskFerry's."


def draw_request(item: Mapping[str, object], quoter: Quoter) -> None:
    """A request for a connection."""
    click.secho(f"{clean(item.get('peer'))} asks to be connected with {clean(item.get('mine'))}", bold=True)
    facts([("sender", trust_words(clean(item.get("trust")))), ("until", ago(item.get("expires_at")))])
    quoter.show("Note", item.get("note"))


def draw_task(item: Mapping[str, object], whole: Mapping[str, object], quoter: Quoter) -> None:
    """A task that came, as its agent will read it."""
    mine, peer = clean(item.get("mine")), clean(item.get("peer"))
    click.secho(f"A task from {peer} for {mine}, which sees none of it yet", bold=True)
    facts(
        [
            ("sender", _who(mine, peer, whole)),
            ("fingerprint", clean(whole.get("fingerprint"))),
            *_limits(whole),
            ("sent", f"{ago(whole.get('created_at'))}, as its sender says"),
            ("arrived", ago(item.get("arrived_at"))),
        ]
    )
    _permission(whole, "given", peer, mine)
    _words(whole, quoter, clean(item.get("task_id")))
    click.echo(f"Approve it, and {mine} reads exactly this.")


def draw_question(item: Mapping[str, object], whole: Mapping[str, object], quoter: Quoter) -> None:
    """What an agent asks; of a task that it wants to send, all that would go."""
    agent = clean(item.get("agent"))
    if whole:
        peer = clean(whole.get("peer"))
        click.secho(f"Your agent {agent} wants to send {peer} a task", bold=True)
        facts(
            [
                ("to", _who(agent, peer, whole)),
                ("fingerprint", clean(whole.get("fingerprint"))),
                *_limits(whole),
                ("sha256", clean(whole.get("sha256"))),
                ("asked", ago(item.get("asked_at"))),
                ("until", ago(item.get("expires_at"))),
            ]
        )
        _permission(whole, "received", agent, peer)
        _words(whole, quoter, clean(item.get("id")))
        click.echo("Approve it, and exactly this may be sent, once.")
        return
    click.secho(f"Your agent {agent} asks", bold=True)
    about = item.get("task_id")
    facts(
        [
            ("class", clean(item.get("class"))),
            ("for task", f"{short(about)}; see: taskferry task show {short(about)}" if about else ""),
            ("asked", ago(item.get("asked_at"))),
            ("until", ago(item.get("expires_at"))),
        ]
    )
    quoter.show("What", item.get("what"))
    quoter.show("Why", item.get("why"))


def _who(mine: str, peer: str, whole: Mapping[str, object]) -> str:
    if mine.partition("/")[0] == peer.partition("/")[0]:
        return "another agent of yours"
    return trust_words(clean(whole.get("trust")))


def _limits(whole: Mapping[str, object]) -> list[tuple[str, str]]:
    budget, revisions = whole.get("budget"), whole.get("revisions")
    return [
        ("deadline", ago(whole.get("deadline")) or "none"),
        ("revisions", f"at most {revisions}" if revisions else "none"),
        ("budget", counted(budget, "message", "messages") if isinstance(budget, int) else "the usual one"),
    ]


def _permission(whole: Mapping[str, object], key: str, sender: str, receiver: str) -> None:
    connection = object_in(whole, "connection")
    if sender.partition("/")[0] == receiver.partition("/")[0]:
        return
    click.echo()
    click.secho("What was agreed", bold=True)
    if not connection:
        click.echo("  The two are not connected any more: nothing more would come of it.")
        return
    decides = "you" if key == "given" else "its owner"
    for sentence in permission_words(object_in(connection, key), sender, receiver, decides):
        for line in sentence_lines(sentence, "  "):
            click.echo(line)
    if key == "given" and not object_in(object_in(connection, key), "terms").get("human_gate", True):
        for line in sentence_lines(
            "It waits all the same: for the agent's mode, or for a gate since opened.", "  "
        ):
            click.echo(line)
    click.echo(f"  See: taskferry permissions show {short(connection.get('id'))}")


def _words(whole: Mapping[str, object], quoter: Quoter, id: str) -> None:
    click.echo()
    quoter.show("Title", whole.get("title"))
    brief = str(whole.get("brief") or "")
    quoter.show(f"Brief, {counted(len(brief), 'character', 'characters')}", brief)
    if not brief:
        click.echo("It has no brief.")
    requirements = texts(whole, "requirements")
    for number, requirement in enumerate(requirements, 1):
        quoter.show(f"Requirement {number} of {len(requirements)}", requirement)
    parts = objects(whole, "parts")
    for number, part in enumerate(parts, 1):
        _part(part, number, len(parts), quoter, id)
    click.secho(f"\n{_BEHIND}", dim=True)


def _part(part: Mapping[str, object], number: int, among: int, quoter: Quoter, id: str) -> None:
    kind, size = clean(part.get("kind")), part.get("size")
    head = f"Attached {number} of {among}: {kind}, {size:,} bytes" if isinstance(size, int) else ""
    click.secho(head, bold=True)
    quoter.show("  its name", part.get("name"))
    if kind in {"text", "json"}:
        quoter.show("  its text", part.get(kind))
        return
    quoter.show("  its media type", part.get("media"))
    click.echo(f"  sha256 {clean(part.get('sha256'))}")
    click.echo(f"  Look at it: taskferry approvals save {short(id)} {number} -o FILE")
