"""Bytes that are no UTF-8 text: arguments, input, file names, variables. One sentence each, and code 2."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cli.conftest import Shell

LATIN = "Grüße".encode("latin-1")
ODD = b"a\xff\xfe"


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (["task", "send", "requester", "@bob/writer", ODD], "The argument a"),
        (["task", "send", "requester", "@bob/writer", "t", b"--brief=" + ODD], "The value of --brief"),
        (["message", "send", "requester", "@bob/writer", ODD], "The argument a"),
        (["connect", "requester", "@bob/writer", "--note", ODD], "The value of --note"),
        (["agent", "create", ODD], "The argument a"),
        (["agent", "create", "other", "--tagline", ODD], "The value of --tagline"),
        (["token", "create", ODD], "The argument a"),
        (["task", "list", "--agent", ODD], "The value of --agent"),
        (["setup", ODD, "--relay", "http://127.0.0.1:9"], "The argument a"),
        (["task", "send", "requester", "@bob/writer", "t", "--file", b"r\xff.md"], "The value of --file"),
    ],
)
def test_arguments_that_are_no_text_are_refused(alice: Shell, words: list[str | bytes], where: str) -> None:
    """The sentence names the argument, or the option alone: what follows it may be a secret."""
    (alice.folder / os.fsdecode(b"r\xff.md")).write_text("a file\n")
    ran = alice(*words)
    assert ran.code == 2, ran.err
    assert ran.out == ""
    assert ran.err.startswith(f"taskferry: {where}")
    assert ran.err.endswith("is not UTF-8 text.\n")


@pytest.mark.parametrize(
    ("words", "other"),
    [
        (["task", "send", "requester", "@bob/writer", "t", "--brief", "-"], "--file"),
        (["message", "send", "requester", "@bob/writer", "-"], "file"),
        (["task", "submit", "12345678", "--text", "-"], "file"),
    ],
)
def test_input_that_is_no_text_is_refused_with_the_other_way(
    alice: Shell, words: list[str], other: str
) -> None:
    """Text must be UTF-8; how other bytes travel stands in the same sentence."""
    ran = alice(*words, stdin=LATIN)
    assert ran.code == 2
    assert "not UTF-8 text (byte 3 is not)" in ran.err
    assert other in ran.err
    # Where the locale has Python decode by itself, too.
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    assert alice.in_python(*words, stdin=LATIN, **plain).code == 2


def test_half_a_surrogate_pair_in_a_file_of_json_is_refused(alice: Shell) -> None:
    """JSON can say what no text holds."""
    (alice.folder / "half.json").write_text('"\\ud800"')
    ran = alice("task", "submit", "12345678", "--json-file", "half.json")
    assert ran.code == 2
    assert "is not UTF-8 text" in ran.err


@pytest.mark.parametrize("words", [["agent", "list"], ["status"], ["up", "--addr", "127.0.0.1:0"]])
@pytest.mark.parametrize("secret", [b"\xff\xfesecret", b"a\nsecret", " secret "])
def test_a_malformed_credential_is_called_so(alice: Shell, words: list[str], secret: str | bytes) -> None:
    """It is not taken for a daemon that does not answer, and it is not printed."""
    ran = alice(*words, TASKFERRY_LOCAL_API_TOKEN=secret)
    assert ran.code == 2, ran.err
    assert "credential" in ran.err or "local_api_token" in ran.err
    assert "printable text in one line" in ran.err
    assert "secret " not in ran.err.replace("secret is", "")


def test_a_damaged_owners_credential_is_called_so(alice: Shell, nobody: Shell) -> None:
    """For commands and for the daemon, with the remedy."""
    nobody.data.mkdir(mode=0o700)
    (nobody.data / "owner.token").touch(mode=0o600)
    (nobody.data / "owner.token").write_bytes(b"\xff\xfe")
    url = json.loads((alice.data / "daemon.json").read_text())["url"]
    for words, code in ((["agent", "list", "--url", url], 4), (["up", "--addr", "127.0.0.1:0"], 7)):
        ran = nobody(*words)
        assert ran.code == code
        assert "damaged" in ran.err
        assert "owner.token" in ran.err


def test_odd_file_names_work_where_they_stay_here(alice: Shell, tmp_path: Path) -> None:
    """A name that is no text can be read and shown; only sent it cannot be."""
    odd = os.fsencode(tmp_path) + b"/h\xff.cbor"
    Path(os.fsdecode(odd)).write_bytes(b"no handoff")
    ran = alice("verify", odd)
    assert ran.code == 6
    assert json.loads(alice("verify", odd, "--json").out)["ok"] is False
