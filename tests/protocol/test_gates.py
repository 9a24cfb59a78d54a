"""What an owner decides ahead: modes, policies, gates and standing rules, as pure functions."""

import attrs
import pytest

from taskferry_protocol.gates import (
    AgentMode,
    Deed,
    Policy,
    Verdict,
    approval_state,
    deadline_stands,
    rule_fits,
    verdict_on,
    waits_for_owner,
)
from taskferry_protocol.ids import AccountId, AgentRef, Hash, Instant, sha256
from taskferry_protocol.records import ApprovalRecord, ApprovalState, RuleRecord, Trust

NOW = Instant(1_700_000_000_000)
ALICE, LOOKALIKE = AccountId(sha256(b"alice")), AccountId(sha256(b"a1ice"))
RULE = RuleRecord(Hash(sha256(b"rule")), ALICE, "", "", 0, None, "{}", NOW)
LEAD = AgentRef(ALICE, "lead")


@pytest.mark.parametrize(
    ("mode", "deed", "delegation", "verdict"),
    [
        (AgentMode.OPEN, Deed.CONNECTION, None, Verdict.ALLOW),
        (AgentMode.OPEN, Deed.TASK, None, Verdict.ALLOW),
        (AgentMode.OPEN, Deed.TASK, Policy.ALWAYS, Verdict.ALLOW),
        (AgentMode.OPEN, Deed.TASK, Policy.ASK, Verdict.ASK),
        (AgentMode.OPEN, Deed.TASK, Policy.NEVER, Verdict.REFUSE),
        (AgentMode.OPEN, Deed.CONNECTION, Policy.NEVER, Verdict.ALLOW),
        (AgentMode.OPEN, Deed.WORD, Policy.NEVER, Verdict.ALLOW),
        (AgentMode.GUARDED, Deed.CONNECTION, None, Verdict.ASK),
        (AgentMode.GUARDED, Deed.TASK, Policy.ALWAYS, Verdict.ASK),
        (AgentMode.GUARDED, Deed.TASK, Policy.NEVER, Verdict.REFUSE),
        (AgentMode.GUARDED, Deed.WORD, None, Verdict.ALLOW),
        *((AgentMode.READ_ONLY, deed, Policy.ALWAYS, Verdict.REFUSE) for deed in Deed),
    ],
)
def test_the_stricter_of_mode_and_policy_counts(mode, deed, delegation, verdict):
    """Read-only sends nothing; guarded asks before tasks and connections; a policy may only narrow that."""
    assert verdict_on(deed, mode, delegation) is verdict


@pytest.mark.parametrize("mode", list(AgentMode))
@pytest.mark.parametrize("gate", [True, False])
def test_a_task_waits_by_grant_or_by_mode(mode, gate):
    """The gate of a grant holds in every mode, and a guarded agent's tasks wait whatever the grant says."""
    assert waits_for_owner(mode, gate) is (gate or mode is AgentMode.GUARDED)


@pytest.mark.parametrize("trust", list(Trust))
def test_a_rule_for_all_agents_needs_an_account_that_a_person_vouched_for(trust):
    """A wildcard fits verified and invited accounts only; an exact name fits the account it was made for."""
    vouched = trust in {Trust.VERIFIED, Trust.INVITED}
    assert rule_fits(RULE, LEAD, "coder", trust, NOW) is vouched
    exact = attrs.evolve(RULE, peer="lead")
    assert rule_fits(exact, LEAD, "coder", trust, NOW)
    assert not rule_fits(exact, AgentRef(ALICE, "lead2"), "coder", trust, NOW)


@pytest.mark.parametrize("peer", ["", "lead"])
@pytest.mark.parametrize("trust", list(Trust))
def test_no_rule_fits_another_account_whatever_it_is_called(peer, trust):
    """A rule is bound to an account id: a look-alike, or a relay's substitute, fits none."""
    rule = attrs.evolve(RULE, peer=peer)
    assert not rule_fits(rule, AgentRef(LOOKALIKE, "lead"), "coder", trust, NOW)


def test_a_rule_ends():
    """Its own agent, its time and its removal bound a rule."""
    verified = Trust.VERIFIED
    assert rule_fits(attrs.evolve(RULE, mine="coder"), LEAD, "coder", verified, NOW)
    assert not rule_fits(attrs.evolve(RULE, mine="other"), LEAD, "coder", verified, NOW)
    until = attrs.evolve(RULE, until=NOW)
    assert rule_fits(until, LEAD, "coder", verified, Instant(NOW - 1))
    assert not rule_fits(until, LEAD, "coder", verified, NOW)
    assert not rule_fits(attrs.evolve(RULE, removed_at=NOW), LEAD, "coder", verified, NOW)


@pytest.mark.parametrize("state", [state for state in ApprovalState if state is not ApprovalState.EXPIRED])
def test_a_question_is_over_with_its_time(state):
    """What was asked or approved and not used is expired then; what was used or denied stays so."""
    subject = Hash(sha256(b"subject"))
    later = Instant(NOW + 10)
    asked = ApprovalRecord(subject, subject, "a", "shell", "x", "", None, state, NOW, later)
    assert approval_state(asked, Instant(NOW + 9)) is state
    over = {ApprovalState.ASKED, ApprovalState.APPROVED}
    assert approval_state(asked, later) is (ApprovalState.EXPIRED if state in over else state)


MINUTE = 60_000
ASKED_FOR = Instant(NOW + 60 * MINUTE)


@pytest.mark.parametrize(
    ("again", "waited", "stands"),
    [
        (0, 0, True),
        (0, 59, True),
        (0, 60, False),
        (10, 10, True),
        (11, 10, True),
        (12, 10, False),
        (10, 0, False),
        (-1, 10, True),
        (-2, 10, False),
        (60, 60, False),
    ],
)
def test_a_deadline_stands_for_a_later_one_by_what_was_waited(again: int, waited: int, stands: bool) -> None:
    """In minutes: the same, or later by as long as the agent waited; never another, never one that passed."""
    given, now = Instant(ASKED_FOR + again * MINUTE), Instant(NOW + waited * MINUTE)
    assert deadline_stands(ASKED_FOR, given, NOW, now) is stands


def test_no_deadline_stands_for_none_alone() -> None:
    """Having one, or none, is a difference."""
    assert deadline_stands(None, None, NOW, NOW)
    assert not deadline_stands(None, ASKED_FOR, NOW, NOW)
    assert not deadline_stands(ASKED_FOR, None, NOW, NOW)
