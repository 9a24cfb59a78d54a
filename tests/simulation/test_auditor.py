"""The auditor finds what is wrong: in doctored books, and in acknowledgements that come too early."""

from __future__ import annotations

import attrs
import pytest
import trio

from taskferry_apps.daemon.sending_many import Sending
from taskferry_protocol.frame_types import AckFrame
from taskferry_protocol.frames import encode_frame
from taskferry_protocol.ids import Hash
from taskferry_protocol.tasks import TaskState

from . import running
from .auditor import Books, audit
from .ledger import Ledger
from .observer import Observer
from .test_worlds import BURST, CALM
from .trace import Trace


def _forgotten(books: dict[str, Books]) -> dict[str, Books]:
    return {**books, "alice1": attrs.evolve(books["alice1"], messages=())}


def _not_there(books: dict[str, Books]) -> dict[str, Books]:
    return {**books, "bob1": attrs.evolve(books["bob1"], messages=())}


def _not_on_each(books: dict[str, Books]) -> dict[str, Books]:
    return {**books, "bob2": attrs.evolve(books["bob1"], messages=())}


def _no_copy(books: dict[str, Books]) -> dict[str, Books]:
    return {**books, "alice2": attrs.evolve(books["alice1"], messages=())}


def _twice(books: dict[str, Books]) -> dict[str, Books]:
    return {**books, "bob1": attrs.evolve(books["bob1"], messages=books["bob1"].messages * 2)}


def _wrong_row(books: dict[str, Books]) -> dict[str, Books]:
    rows = tuple(attrs.evolve(row, state="completed") for row in books["bob1"].rows)
    return {**books, "bob1": attrs.evolve(books["bob1"], rows=rows)}


def _unsent(books: dict[str, Books]) -> dict[str, Books]:
    return {"bob1": books["bob1"]}


def _disagreeing(books: dict[str, Books]) -> dict[str, Books]:
    held = books["bob1"].tasks
    shown = {
        task: attrs.evolve(
            one,
            view=attrs.evolve(
                one.view,
                taken=tuple(attrs.evolve(line, state=TaskState.FAILED) for line in one.view.taken),
            ),
        )
        for task, one in held.items()
    }
    return {**books, "bob1": attrs.evolve(books["bob1"], tasks=shown)}


def _overlooked(books: dict[str, Books]) -> dict[str, Books]:
    return {**books, "bob1": attrs.evolve(books["bob1"], overlooked=(Hash(bytes(32)),))}


@pytest.mark.parametrize(
    ("doctor", "said"),
    [
        (_forgotten, "was accepted and is gone"),
        (_not_there, "is said to be delivered, and bob has nothing of it"),
        (_not_on_each, "is said to be delivered, and bob1 has nothing of it"),
        (_no_copy, "is said to be delivered, and alice1 has no copy of it"),
        (_twice, "2 times"),
        (_wrong_row, "its events come to"),
        (_unsent, "which nobody sent"),
        (_disagreeing, "hold the same events"),
        (_overlooked, "still refuses 00000000, which is allowed"),
    ],
)
def test_a_doctored_book_is_found_out(doctor, said, monkeypatch):
    """Each promise is broken once, on paper, and each breach is named."""
    monkeypatch.setattr(running, "audit", lambda town, books: audit(town, doctor(books)))
    assert any(said in breach for breach in running.run_plan(CALM).breaches)


def _resent(books: dict[str, Books]) -> dict[str, Books]:
    said = next(row for row in books["alice1"].messages if row.type == "message")
    again = attrs.evolve(said, hash=Hash(bytes(32)))
    return {**books, "alice1": attrs.evolve(books["alice1"], messages=(*books["alice1"].messages, again))}


def _other(books: dict[str, Books]) -> dict[str, Books]:
    rows = tuple(attrs.evolve(row, hash=Hash(bytes(32))) for row in books["alice1"].messages)
    return {**books, "alice1": attrs.evolve(books["alice1"], messages=rows)}


@pytest.mark.parametrize(("doctor", "said"), [(_resent, "2 times"), (_other, ", and has not")])
def test_a_key_that_did_not_hold_is_found_out(doctor, said, monkeypatch):
    """What was asked for under a key was sent twice, or as another message than was said."""
    monkeypatch.setattr(running, "audit", lambda town, books: audit(town, doctor(books)))
    found = [breach for breach in running.run_plan(BURST).breaches if "alice1" in breach]
    assert any(said in breach for breach in found), found


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        (lambda outcomes: outcomes[:-1], "answers to"),
        (lambda outcomes: (*outcomes[1:], outcomes[0]), "with the id of"),
        (lambda outcomes: tuple(KeyError() for _ in outcomes), "with KeyError"),
    ],
)
def test_answers_to_many_that_stand_in_the_wrong_place_are_found_out(lie, said, monkeypatch):
    """Each answer is about the message in its place, and there are as many."""
    many = Sending.many

    async def lying(self, caller, messages):
        return lie(await many(self, caller, messages))

    monkeypatch.setattr(Sending, "many", lying)
    assert any(said in breach for breach in running.run_plan(BURST).breaches)


def test_an_acknowledgement_before_the_commit_is_found_out():
    """What a daemon says to hold, and its disk does not, is a broken promise at that moment."""

    async def main() -> list[str]:
        ledger = Ledger()
        observer = Observer(Trace(trio.current_time), ledger, lambda machine: 4)
        for offset in (4, 5):
            list(observer.up("bob1", encode_frame(AckFrame(offset))))
        return ledger.broken

    assert trio.run(main) == ["bob1 acknowledged its mailbox up to 5 and holds it up to 4"]
