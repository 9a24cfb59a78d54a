"""Targets that read text which people copy, type or receive: links, names, words, cursors, settings."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable
from pathlib import Path
from tempfile import gettempdir

from taskferry_apps.breaker_settings import read_limits, written_limits
from taskferry_apps.daemon.api.repeats import read_key
from taskferry_apps.daemon.link_faults import read_link, read_ticket
from taskferry_apps.daemon.listing import parse_task_cursor, task_cursor
from taskferry_apps.daemon.mail import parse_cursor
from taskferry_apps.daemon.names import parse_peer, parse_prefix
from taskferry_apps.daemon.port import DaemonRefusal
from taskferry_apps.demo.report import DRAFT, FULL, make_report, render_markdown
from taskferry_apps.phrase import WORDS, PhraseError, phrase_of, seed_of
from taskferry_apps.settings import SettingsError, load_daemon, load_relay
from taskferry_apps.visible import one_line, visible
from taskferry_protocol.cbor import encode
from taskferry_protocol.device_links import DeviceLink
from taskferry_protocol.errors import RemoteProtocolError
from taskferry_protocol.ids import Handle
from taskferry_protocol.invites import InviteLink, invite_code, read_invite_code
from taskferry_protocol.linking import read_place, show_place
from taskferry_protocol.search_words import WORD_CHARS, asked_words, indexed_words, is_met
from taskferry_protocol.setup_links import SetupLink

from .kinds import Refused, Target

__all__ = ["REFUSALS", "TEXTS", "TEXT_SEEDS"]

#: What may come out of these targets.
REFUSALS = (RemoteProtocolError, DaemonRefusal)


def _text(check: Callable[[str], None]) -> Target:
    return lambda data: check(data.decode("utf-8", "replace"))


def _names(text: str) -> None:
    try:
        assert str(Handle.parse(text)) == text
    except RemoteProtocolError:
        assert str(parse_peer(text)) in (text, f"@{text}")


def _links(text: str) -> None:
    kinds: tuple[type[InviteLink] | type[DeviceLink] | type[SetupLink], ...] = (
        InviteLink,
        DeviceLink,
        SetupLink,
    )
    taken = []
    for kind in kinds:
        try:
            link = kind.parse(text)
        except RemoteProtocolError:
            continue
        assert link.format() == text
        taken.append(link)
    assert len(taken) <= 1, "one text is two links"
    # What an owner is told of a bad link repeats nothing of it.
    read_link(text)
    assert (read_ticket(text) is not None) == any(isinstance(link, SetupLink) for link in taken)
    if not taken:
        raise Refused


def _codes(text: str) -> None:
    try:
        assert invite_code(read_invite_code(text)) == text
    except RemoteProtocolError:
        place = read_place(text)
        assert read_place(show_place(place)) == place


def _cursors(text: str) -> None:
    if text.isdigit() and text.isascii() and len(text) <= 18:
        assert parse_cursor(text) == int(text)
    elif "-" in text:
        cursor = parse_task_cursor(text)
        assert cursor is not None
        assert parse_task_cursor(task_cursor(cursor)) == cursor
    else:
        read_key(text)
        found = parse_prefix(text, "task")
        assert (found.hex() if isinstance(found, bytes) else found) == text.lower()
        assert isinstance(found, str) or len(text) == 64


def _search(text: str) -> None:
    asked = asked_words(text)
    words = indexed_words(encode({"body": {"text": text}}))
    assert all(0 < len(word) <= WORD_CHARS for word in words)
    if asked is None:
        raise Refused
    # A text is found by its own words, however it is written.
    assert is_met(asked, words)
    again = asked_words(" ".join(asked.words) + " ")
    assert again is not None
    assert set(again.words) <= words


def _shown(text: str) -> None:
    shown = visible(text)
    allowed = set("\n\t\u200c\u200d\ufe0e\ufe0f")
    for character in shown:
        assert character in allowed or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp")
    assert visible(shown) == shown, "what is shown is shown as it is"
    assert len(one_line(text, 40)) <= 40
    assert "\n" not in one_line(text, 40)


def _report(text: str) -> None:
    for how in (DRAFT, FULL):
        report = make_report(text, how)
        # Lines as Markdown counts them: none is counted twice, and none is left out.
        assert sum(section.words for section in report.sections) == len(text.split())
        render_markdown(report, "x")


def _breaker_limits(text: str) -> None:
    try:
        limits = read_limits(text)
    except ValueError as error:
        raise Refused from error
    assert read_limits(written_limits(limits)) == limits


def _phrase(text: str) -> None:
    try:
        seed = seed_of(text)
    except PhraseError as error:
        told = str(error)
        if any(word in told for _, word in error.unknown if len(word) > 9):
            raise AssertionError("a refusal repeats words of a phrase") from error
        raise Refused from error
    words = phrase_of(seed)
    assert len(words.split()) == WORDS
    assert seed_of(words) == seed


def _settings(data: bytes) -> None:
    file = Path(gettempdir()) / f"taskferry-fuzz-{os.getpid()}.toml"
    file.write_bytes(data)
    refused = 0
    try:
        for load in (load_relay, load_daemon):
            try:
                load({}, {}, file)
            except SettingsError:
                refused += 1
    finally:
        file.unlink()
    if refused == 2:
        raise Refused


TEXTS: dict[str, Target] = {
    "names": _text(_names),
    "links": _text(_links),
    "codes": _text(_codes),
    "cursors": _text(_cursors),
    "search-words": _text(_search),
    "shown-text": _text(_shown),
    "markdown": _text(_report),
    "breaker-limits": _text(_breaker_limits),
    "phrase": _text(_phrase),
    "settings": _settings,
}

_INVITE = (
    b"taskferry://relay.example:8443/invite/AAAAAAAAAAAAAAAAAAAAAA"
    b"#account=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA&secret=AAAAAAAAAAAAAAAAAAAAAA"
)

TEXT_SEEDS: dict[str, tuple[bytes, ...]] = {
    "names": (b"@alice/coder", b"alice/coder", b"@a-b_c/0", b"@alice", b"ALICE/coder"),
    "links": (
        _INVITE,
        b"taskferry://relay.example/setup#ticket=tft_abc.DEF~-_",
        b"taskferry://[::1]:8080/device#code=abcd-efgh-ijkm-npqr",
        b"taskferry://RELAY/invite/x",
    ),
    "codes": (b"AAAAAAAAAAAAAAAAAAAAAA", b"abcd-efgh-ijkm-npqr", b"ABCD EFGH IJKM NPQR"),
    "cursors": (b"17", b"1700000000000-" + b"ab" * 32 + b"-requester", b"ab" * 32, b"0123abcd", b"12-17"),
    "search-words": (
        "Stra\u00dfe caf\u00e9 review-42 \u6771\u4eac \uac01".encode(),
        "\u0130\u0307 \u1e9e \ufb01 \u00b2 _a_".encode(),
        b"fix the build ",
    ),
    "shown-text": ("a\u202eb\r\n\u200dc\x1b[31m\u2800".encode(), b"plain", "\U000e0041 \ufe0f".encode()),
    "markdown": (
        b'# A\n\ntext [x](http://a.example/%41 "t") ![i](b.png)\n\n## B\n> - q\n\n<b>&amp;\n```\nz\n```\n',
        b"[a]: <http://x>\n\n[a] [b](mailto:a@b) [c](ht!tp://) [d](http://[::1]:99999/)\n",
    ),
    "breaker-limits": (b"hops=3, repeats=2", b"task-messages=40,events-a-day=1"),
    "phrase": (
        b"abandon " * 23 + b"art",
        b"1. zoo, " * 23 + b"24. vote",
        b"00" * 32,
        b"abandn " * 23 + b"art",
    ),
    "settings": (
        b'[relay]\naddr = "127.0.0.1:8080"\norigins = ["wss://a.example"]\nsignups_per_hour = 3\n',
        b'[daemon]\naddr = "127.0.0.1:4318"\nlog = "debug"\nmcp = false\nsecrets = "files"\n',
        b'[relay]\nclient_tokens = ["ci=' + b"0" * 64 + b'"]\ntrusted_proxies = ["10.0.0.1"]\n',
        b'[relay]\nsmtp = "mail.example:587"\nsmtp_from = "a@b.example"\npublic_url = "https://x"\n',
    ),
}
