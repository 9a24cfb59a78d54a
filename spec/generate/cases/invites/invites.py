"""Invites of Bob's agent: the statement, what a link leads to, and what a request proves."""

from __future__ import annotations

import base64
from collections.abc import Iterator

from spec.generate.kit import DAY, NOW, Map, Signer, Value, blake, fixed, sha, sign, tampered
from spec.generate.parcels import ADA, BOB, CODER, LEAD
from spec.generate.vector import ACCEPT, Json, Vector, hexes, vector

AREA = "invites"
SECTION = "identity.md#8-invites"
ID = fixed("invite id", 16)
SECRET = fixed("invite secret", 16)
REQUEST = fixed("connection request hash")
HOST = "relay.example:8443"


def invite(by: Signer | None = None, kind: str = "invite", /, **other: Value) -> bytes:
    """Bob invites people to his coder."""
    members: Map = {
        "v": 1,
        "agent": CODER,
        "id": ID,
        "check": sha(SECRET),
        "uses": 1,
        "expires_at": NOW + 7 * DAY,
        "at": NOW,
        "log": BOB.position(),
    }
    return sign(by or BOB.manage, kind, members | other)


def statements() -> Iterator[Vector]:
    """The statement by itself."""
    for name, comment, code, raw in (
        ("good", "bob/coder, once, for a week", ACCEPT, invite()),
        ("most", "a thousand times, for ninety days", ACCEPT, invite(uses=1000, expires_at=NOW + 90 * DAY)),
        ("unused", "no use at all", "bad-value", invite(uses=0)),
        ("uses_many", "1,001 uses", "bad-value", invite(uses=1001)),
        ("expires_late", "90 days and a millisecond", "bad-time", invite(expires_at=NOW + 90 * DAY + 1)),
        ("expires_at_once", "over when it is made", "bad-time", invite(expires_at=NOW)),
        ("id_short", "an id of 15 bytes", "bad-value", invite(id=bytes(15))),
        ("check_short", "a check of 31 bytes", "bad-value", invite(check=bytes(31))),
        ("version_2", "a later format", "unknown-version", invite(v=2)),
        ("more", "the secret stands in it", "unknown-field", invite(secret=SECRET)),
        ("other_agent", "for an agent of another account", "wrong-account", invite(agent=LEAD)),
        ("by_device_key", "signed by a device key", "not-authorized", invite(BOB.first.id)),
        ("by_other_owner", "signed by another owner", "not-authorized", invite(ADA.manage)),
        ("other_kind", "signed as a card", "bad-signature", invite(BOB.manage, "card")),
        ("signature", "one bit of the signature changed", "bad-signature", tampered(invite())),
        (
            "log_elsewhere",
            "a head that the log does not have",
            "not-an-extension",
            invite(log=[1, bytes(32)]),
        ),
        ("large", "more than 1,024 bytes", "too-large", invite(note="x" * 1024)),
    ):
        yield vector(
            AREA,
            f"invite_{name}",
            "invite",
            SECTION,
            comment,
            code,
            statements=hexes(BOB.statements),
            input=raw.hex(),
        )


def url64(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def link(host: str = HOST, id: bytes = ID, account: bytes = BOB.account, secret: bytes = SECRET) -> str:
    """A link."""
    return f"taskferry://{host}/invite/{url64(id)}#account={url64(account)}&secret={url64(secret)}"


GOOD = link()


def links() -> Iterator[Vector]:
    """Links as text."""
    for name, comment, text in (
        ("good", "a host with a port", GOOD),
        ("plain_host", "a host alone", link("relay.example")),
        ("ipv6", "an address of version 6", link("[::1]:4319")),
    ):
        decoded: Json = {
            "relay": text.removeprefix("taskferry://").partition("/")[0],
            "id": ID.hex(),
            "account": BOB.account.hex(),
            "secret": SECRET.hex(),
        }
        yield vector(
            AREA, f"link_{name}", "invite-link", SECTION, comment, ACCEPT, input=text, decoded=decoded
        )
    for name, comment, text in (
        ("https", "another scheme", GOOD.replace("taskferry:", "https:")),
        ("upper_host", "a host in large letters", GOOD.replace("relay", "Relay")),
        ("user", "a user name before the host", GOOD.replace("relay", "bob@relay")),
        ("port_zero", "port 0", GOOD.replace(":8443", ":0")),
        ("port_large", "port 65536", GOOD.replace(":8443", ":65536")),
        ("query", "the secret in the query", GOOD.replace("#", "?")),
        ("order", "secret before account", GOOD.replace("account=", "x=").replace("secret=", "account=")),
        ("more", "one member more", GOOD + "&note=hello"),
        ("cut", "the last character is missing", GOOD[:-1]),
        ("padded", "base64 with padding", GOOD + "=="),
        ("line_end", "a line break behind it", GOOD + "\n"),
        ("spare_bits", "the secret spelt otherwise", GOOD[:-1] + chr(ord(GOOD[-1]) + 1)),
    ):
        yield vector(AREA, f"link_{name}", "invite-link", SECTION, comment, "bad-value", input=text)


def opened() -> Iterator[Vector]:
    """What the relay gives for a link."""
    for name, comment, code, raw, text, now in (
        ("good", "the statement that the link leads to", ACCEPT, invite(), GOOD, NOW),
        ("last_moment", "in the last millisecond", ACCEPT, invite(), GOOD, NOW + 7 * DAY - 1),
        ("over", "a week later", "expired", invite(), GOOD, NOW + 7 * DAY),
        ("other_id", "another invite of the same account", "unknown-invite", invite(id=bytes(16)), GOOD, NOW),
        ("other_secret", "an edited secret", "unknown-invite", invite(), link(secret=bytes(16)), NOW),
        (
            "other_account",
            "the link names another",
            "wrong-account",
            invite(),
            link(account=ADA.account),
            NOW,
        ),
    ):
        yield vector(
            AREA,
            f"opened_{name}",
            "invite-opened",
            SECTION,
            comment,
            code,
            now_ms=now,
            statements=hexes(BOB.statements),
            link=text,
            input=raw.hex(),
        )


def used() -> Iterator[Vector]:
    """What the one who made it decides on a request."""
    mac = blake(SECRET + bytes(16), "tf1 invite", REQUEST)
    end = NOW + 7 * DAY
    held: dict[str, Json] = {"agent": "coder", "uses": 2, "used": 1, "revoked": False, "expires_at": end}
    for name, comment, code, changes, shown, now in (
        ("good", "the second of two", ACCEPT, {}, mac, NOW),
        ("last_moment", "in the last millisecond", ACCEPT, {}, mac, end - 1),
        ("up", "two have come", "invite-used", {"used": 2}, mac, NOW),
        ("over", "when it is over", "expired", {}, mac, end),
        ("over_and_up", "over, and used up", "expired", {"used": 2}, mac, end),
        ("withdrawn", "withdrawn", "unknown-invite", {"revoked": True}, mac, NOW),
        ("other_agent", "another agent's", "unknown-invite", {"agent": "writer"}, mac, NOW),
        ("wrong_mac", "a wrong mac", "unknown-invite", {}, tampered(mac), NOW),
        ("wrong_mac_over", "a wrong mac does not tell that it is over", "unknown-invite", {}, bytes(32), end),
        ("unknown", "none of that id", "unknown-invite", None, mac, NOW),
    ):
        facts: Json = None if changes is None else {**held, **changes}
        yield vector(
            AREA,
            f"use_{name}",
            "invite-use",
            SECTION,
            comment,
            code,
            now_ms=now,
            held=facts,
            asked="coder",
            secret=SECRET.hex(),
            request=REQUEST.hex(),
            id=ID.hex(),
            mac=shown.hex(),
        )


def vectors() -> Iterator[Vector]:
    """All of them."""
    yield from statements()
    yield from links()
    yield from opened()
    yield from used()
