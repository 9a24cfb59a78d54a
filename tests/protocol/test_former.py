"""An agent that was withdrawn and the next one of its name are two, by the logs that an envelope quotes."""

from __future__ import annotations

import attrs
import pytest

from taskferry_protocol.errors import RejectCode
from taskferry_protocol.former import agent_then, made_since
from taskferry_protocol.former_names import former, is_former, shown_agent
from taskferry_protocol.ids import AgentRef
from taskferry_protocol.inbound import Apply
from taskferry_protocol.messages import ConnectionEnded, Content, TextMessage

from .deliveries import code_of, decided, decided_on
from .owners import Owner
from .world import CONV, World, receipted

TEXT = Content(TextMessage("still there?"), CONV)


def anew(owner: Owner, agent: str) -> None:
    """Withdrawn, and made again under the same name."""
    owner.serve(agent)
    owner.serve(agent, owner.laptop)


def test_what_was_said_to_a_former_agent_is_not_said_to_the_next() -> None:
    """It was sealed by a log in which another had the name; sealed by the new one it comes in."""
    world = World()
    late = world.sealed(TEXT)
    anew(world.bob, "tester")
    assert code_of(decided(world, late)) is RejectCode.UNKNOWN_AGENT
    assert isinstance(decided_on(world, TEXT), Apply)


def test_what_a_former_agent_said_is_no_word_of_the_next() -> None:
    """Its device serves the next one as well, and might have spoken for it."""
    world = World()
    late = world.sealed(TEXT)
    anew(world.alice, "coder")
    assert code_of(decided(world, late)) is RejectCode.UNKNOWN_AGENT
    assert isinstance(decided_on(world, TEXT), Apply)


def test_an_agent_that_other_devices_serve_is_the_same() -> None:
    """Also where none serves it that did when something was said to it, and where others were made."""
    world = World()
    late = world.sealed(TEXT)
    world.alice.serve("coder", world.alice.laptop)
    anew(world.bob, "other")
    world.bob.serve("tester", world.bob.laptop)
    assert isinstance(decided(world, late), Apply)


@pytest.mark.parametrize("content", [Content(ConnectionEnded(b"statement", ""), CONV), receipted()])
def test_ends_and_receipts_count_whoever_has_the_name_now(content: Content) -> None:
    """They say themselves what they are about."""
    world = World()
    late = world.sealed(content)
    anew(world.alice, "coder")
    anew(world.bob, "tester")
    assert isinstance(decided(world, late), Apply)


def test_which_agent_of_a_name_was_meant_is_told_by_the_length_of_the_log(ann: Owner) -> None:
    """From its making until the next one's; before the first, the first is meant."""
    agent = AgentRef(ann.log.account, "writer")
    lengths = [ann.log.state.length]
    for _ in range(2):
        anew(ann, "writer")
        lengths += [ann.log.state.length]
    ann.serve("writer")
    lengths += [ann.log.state.length]
    anew(ann, "other")
    then = [agent_then(ann.log, agent, length).name for length in lengths]
    assert then == ["writer", "writer~1", "writer", "writer"]
    assert [made_since(ann.log, "writer", length) for length in lengths] == [False, True, False, False]
    stranger = attrs.evolve(agent, account=World().bob.log.account)
    assert agent_then(ann.log, stranger, lengths[1]) == stranger


def test_a_former_agents_name_is_nobodys_name() -> None:
    """It stands beside names in lists, and is told in words to people."""
    agent = AgentRef(World().bob.log.account, "tester")
    gone = former(agent, 2)
    assert (is_former(gone.name), is_former(agent.name), gone.device) == (True, False, None)
    device = AgentRef.to_device(agent.account, World().bob.laptop.id)
    assert not is_former(device.name)
    assert [shown_agent(one.name) for one in (gone, agent)] == ["tester (former agent 2)", "tester"]
    assert shown_agent("@bob/tester~2") == "@bob/tester (former agent 2)"
    assert [shown_agent(text) for text in ("@bob/tester", "@bob", "tester~0")] == [
        "@bob/tester",
        "@bob",
        "tester~0",
    ]
