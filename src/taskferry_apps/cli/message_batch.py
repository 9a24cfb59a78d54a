"""`taskferry message batch`: a file of messages, each a JSON object in a line, sent many at a time."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Final

import click

from .daemon_link import daemon_options, is_json_wanted, json_option, local_client, print_json
from .outcome import CommandFailed, Exit

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..local_client import LocalClient

__all__ = ["batch"]

#: What the daemon takes in one request.
_MESSAGES: Final = 256
#: Half of what it takes, since what is sent may be written in more bytes than it was read in.
_BYTES: Final = 1_048_576
_SHOWN: Final = 20
#: How the daemon names a field of one of many messages.
_MEANT: Final = re.compile(r"messages\[(\d{1,3})\]\.?(.*)")


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option("--from", "mine", default="", metavar="MINE", help="Your agent, where a line names none.")
@click.option("--to", "peer", default="", metavar="PEER", help="The peer, where a line names none.")
@click.option("--again", is_flag=True, help="Send what was sent before, too.")
@json_option
@daemon_options
def batch(file: BinaryIO, mine: str, peer: str, again: bool) -> None:
    """Send each line of FILE (- reads standard input) as a message.

    A line is a JSON object with `text`, and `from`, `to`, `reply_to`, `cause` or `key` as needed. All lines
    are read before the first is sent. A line that is refused keeps no other back. Within a day, repeating
    the command sends nothing twice.

    \b
    Examples:
      taskferry message batch news.jsonl --from requester
      jq -c '{to: .agent, text: .note}' notes.json |
        taskferry message batch - --from requester
    """
    messages = _read(file, {"from": mine, "to": peer}, again=again)
    results: list[dict[str, object]] = []
    try:
        with local_client() as daemon, _bar(len(messages)) as advance:
            for part in _parts(messages):
                results += _send(daemon, part, len(results))
                advance(len(part))
    except CommandFailed as failed:
        told = _so_far(failed, results, len(messages), again=again)
        raise CommandFailed(f"{failed} {told}".rstrip(), failed.code) from None
    refused = [result for result in results if result.get("ok") is not True]
    if is_json_wanted():
        print_json({"sent": len(results) - len(refused), "failed": len(refused), "results": results})
    else:
        _show(results, refused)
    if refused:
        raise click.exceptions.Exit(Exit.REFUSED)


def _read(file: BinaryIO, otherwise: dict[str, str], *, again: bool) -> list[dict[str, object]]:
    messages: list[dict[str, object]] = []
    met: Counter[str] = Counter()
    for number, line in enumerate(file, 1):
        try:
            message = json.loads(line)
        except ValueError:
            raise CommandFailed(f"Line {number:,} is no JSON. Nothing was sent.", Exit.USAGE) from None
        if not isinstance(message, dict):
            raise CommandFailed(
                f"Line {number:,} is no JSON object such as "
                '{"to": "@bob/writer", "text": "Hello"}. Nothing was sent.',
                Exit.USAGE,
            )
        for field, value in otherwise.items():
            if value:
                message.setdefault(field, value)
            if field not in message:
                raise CommandFailed(
                    f"Line {number:,} has no `{field}`: name it there, or for all lines with --{field}. "
                    "Nothing was sent.",
                    Exit.USAGE,
                )
        if not again:
            message.setdefault("key", _key(message, met))
        messages.append(message)
    if not messages:
        raise CommandFailed("There is nothing to send: FILE has no lines.", Exit.USAGE)
    return messages


def _key(message: dict[str, object], met: Counter[str]) -> str:
    """One for each message, the same whenever the file is sent, wherever other lines are put."""
    said = hashlib.sha256(json.dumps(message, sort_keys=True).encode()).hexdigest()
    met[said] += 1
    return f"batch-{said}-{met[said]}"


def _parts(messages: Sequence[dict[str, object]]) -> Iterator[list[dict[str, object]]]:
    part: list[dict[str, object]] = []
    size = 0
    for message in messages:
        length = len(json.dumps(message))
        if part and (len(part) == _MESSAGES or size + length > _BYTES):
            yield part
            part, size = [], 0
        part.append(message)
        size += length
    yield part


@contextmanager
def _bar(count: int) -> Iterator[Callable[[int], None]]:
    if not sys.stderr.isatty() or count <= _MESSAGES:
        yield lambda _: None
        return
    with click.progressbar(length=count, label="sending", file=sys.stderr) as bar:
        yield bar.update


def _send(daemon: LocalClient, part: list[dict[str, object]], before: int) -> list[dict[str, object]]:
    """What became of each of a part, by its line. Raises CommandFailed, ApiError, DaemonUnreachable."""
    from ..local_client import ApiError
    from .values import objects

    try:
        answer = daemon.post("/messages/batch", {"messages": part})
    except ApiError as error:
        named = _MEANT.fullmatch(error.field)
        if named is None:
            raise
        field = f"`{named[2]}`" if named[2] else "it"
        said = str(error).replace(error.field, field)
        where = f"Line {before + int(named[1]) + 1:,}"
        raise CommandFailed(
            f"{where}: {said}" if field in said else f"{where}, {field}: {said}", Exit.USAGE
        ) from None
    return [{"line": before + n, **result} for n, result in enumerate(objects(answer, "results"), 1)]


def _so_far(
    failed: CommandFailed, results: Sequence[Mapping[str, object]], count: int, *, again: bool
) -> str:
    if not results:
        # Where no answer came, nobody here knows.
        return "Nothing was sent." if failed.code is Exit.USAGE else ""
    sent = sum(result.get("ok") is True for result in results)
    step = "See `taskferry message list`." if again else "Run it again: nothing is sent twice."
    return f"{sent:,} of {count:,} were sent for certain. {step}"


def _show(results: Sequence[dict[str, object]], refused: Sequence[dict[str, object]]) -> None:
    from .render import clean, sentence_lines
    from .values import object_in

    click.echo(f"Sent {len(results) - len(refused):,} of {len(results):,}.")
    for result in refused[:_SHOWN]:
        error = object_in(result, "error")
        said = clean(f"{error.get('message')} {error.get('next')}")
        click.echo("\n".join(sentence_lines(f"Line {result['line']}: {said}", "  ")), err=True)
    if len(refused) > _SHOWN:
        click.echo(f"  {len(refused) - _SHOWN:,} more were refused; see them with --json.", err=True)
