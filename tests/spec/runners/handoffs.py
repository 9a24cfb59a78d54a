"""Exports, verified offline."""

from taskferry_protocol.handoff import verify_handoff
from tests.spec.runners.inputs import raw


def run_handoff(vector):
    """What a verifier prints of an export."""
    report = verify_handoff(raw(vector["input"]))
    gaps = [[gap.role.value, n] for gap in report.view.gaps for n in range(gap.first, gap.last + 1)]
    assert vector["decoded"] == {
        "task": report.task.hex(),
        "accounts": sorted(account.hex() for account in report.accounts),
        "state": report.view.state and report.view.state.value,
        "gaps": gaps,
    }


RUNNERS = {"handoff": run_handoff}
