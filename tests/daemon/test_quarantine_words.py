"""What an owner reads of an item in quarantine: why it has no effect, and what can be done about it."""

from __future__ import annotations

import pytest

from taskferry_apps.daemon.quarantine_words import next_step
from taskferry_protocol.messages import TextMessage

from .forger import forging
from .worlds import OWNER

PEER = "@alice/requester"


@pytest.mark.parametrize("code", ["bad-wrap", "no-wrap", "bad-commit"])
@pytest.mark.parametrize(
    ("cls", "words"),
    [
        ("message", "Ask @alice/requester to send it again"),
        ("task", "brings it again by itself"),
        ("artifact", "brings it again by itself"),
        ("connection", "taskferry connections"),
        ("receipt", "nothing needs to be done"),
        ("account", "nothing needs to be done"),
    ],
)
def test_what_nothing_here_opens_says_what_comes_of_it(code, cls, words):
    """By what it is: only a plain message has to be asked for."""
    step = next_step(code, cls, PEER, is_barred=False)
    assert step.startswith("Nothing here opens it: it was sealed for a key that a restore has lost")
    assert words in step


def test_other_items_name_a_step_where_there_is_one():
    """Where the reason says all, nothing is added; and nobody is to be asked who is not known."""
    assert "taskferry permissions" in next_step("not-permitted", "task", PEER, is_barred=True)
    assert next_step("account-held", "message", PEER, is_barred=False).endswith(f"taskferry peer show {PEER}")
    assert next_step("bad-signature", "message", PEER, is_barred=False) == ""
    assert next_step("bad-wrap", "message", "", is_barred=False) == ""


async def test_an_item_that_no_key_opens_names_its_sender_and_the_next_step():
    """As the pages and the command line are told it."""
    async with forging() as (forger, bob):
        sealed = await forger.seal(TextMessage("for another key"))
        await forger.hand_over(sealed.envelope.raw, bytes(80))
        (item,) = await bob.quarantine(OWNER, "", 5)
        assert (item.code, item.peer) == ("bad-wrap", PEER)
        assert f"Ask {PEER} to send it again" in item.next_step
