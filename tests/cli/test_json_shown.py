"""JSON that commands print: the daemon's values, and nothing in them acts on a terminal."""

from __future__ import annotations

import json

import pytest

from taskferry_apps.cli.daemon_link import print_json
from taskferry_apps.cli.outcome import CommandFailed, report_failures

ACTS = "\x1b[2J\x7f\x9b31m\x85\u200b\u2028\u2029\u202e\u2066\u061c\ufeff\U000e0041"


def test_no_value_acts_on_a_terminal_or_goes_unseen(capsys: pytest.CaptureFixture[str]) -> None:
    """What acts, turns text around or shows nothing is written as JSON's escapes: the value is the same."""
    said = {"title": f"caf\u00e9 \U0001f600 {ACTS}", ACTS: 1}
    print_json(said)
    printed = capsys.readouterr().out
    assert json.loads(printed) == said
    assert not set(ACTS) & set(printed) - set("[2J31m")


def test_a_failure_that_quotes_others_does_not_act_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever wrote the words in it: a relay, a peer, or a file."""
    with pytest.raises(SystemExit), report_failures():
        raise CommandFailed(f"It does not hold: {ACTS}\nTry another.")
    said = capsys.readouterr().err
    assert not set(ACTS) & set(said.replace("taskferry: ", "")) - set("[2J31m")
    assert said.endswith("\nTry another.\n")
