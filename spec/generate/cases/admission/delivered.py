"""What a device makes of an envelope that a relay delivered to it: is it meant, and who speaks?"""

from __future__ import annotations

from collections.abc import Iterator

from spec.generate.cases.admission.decisions import held, known
from spec.generate.identity import Device, Log
from spec.generate.kit import NOW, Box, Value, fixed, wrap
from spec.generate.pacts import REQUEST, TERMS, grant
from spec.generate.parcels import ADA, BOB, DESKTOP, LAPTOP, PHONE, Built, K, content, header, sealed
from spec.generate.vector import ACCEPT, Json, Vector

ASKING = content(
    "connection_request",
    {"statement": REQUEST, "grant": grant(), "terms": TERMS, "note": "", "log": list(ADA.statements)},
)


def case(
    name: str, comment: str, expect: str, built: Built, device: Device, mine: Log, accounts: list[Json]
) -> Vector:
    """One delivery; the wrapped key is right in every case."""
    sealed_key = wrap(K, device.enc.public, Box("ephemeral of a delivery"))
    members: dict[str, Json] = {
        "spec": "identity.md#4-which-log-counts",
        "comment": comment,
        "kind": "inbound",
        "now_ms": NOW,
        "account": mine.account.hex(),
        "device": device.id.public.hex(),
        "keys": [device.enc.pair()],
        "accounts": accounts,
        "sealed": sealed_key.hex(),
        "input": built.raw.hex(),
        "expect": expect,
    }
    return Vector("admission", f"delivered_{name}", members)


def vectors() -> Iterator[Vector]:
    """All of them: the class is that of connections, so that nothing but these questions decides."""
    asks = sealed(header(class_="connection"), ASKING)
    both = [known(ADA), known(BOB)]
    yield case("good", "a request from an owner whose log is held", ACCEPT, asks, DESKTOP, BOB, both)
    yield case("own_copy", "a copy of what another device of the owner sent", ACCEPT, asks, PHONE, ADA, both)
    to: list[Value] = [ADA.account, f"~{LAPTOP.id.public.hex()}"]
    head = header(class_="account", from_=[ADA.account, ""], to=to, to_log=ADA.position())
    news = content("account_update", {"statements": [ADA.statements[-1]], "from": ADA.length - 1})
    alone = sealed(head, news, by=PHONE.id)
    yield case(
        "own_device", "for this device alone, from another of its owner", ACCEPT, alone, LAPTOP, ADA, both
    )
    tablet = Device("ada tablet")
    grown = ADA.branch().add_device(tablet)
    comment = "for another device of the owner, with a key that opens it"
    yield case("other_device", comment, "wrong-recipient", alone, tablet, grown, [known(grown), known(BOB)])
    carol = Log("carol").create().set_agent("coder", [Device("carol laptop")])
    other = [known(ADA), known(carol)]
    comment = "an envelope for Bob, delivered to somebody else with a key that opens it"
    yield case("wrong_recipient", comment, "wrong-recipient", asks, carol.first, carol, other)
    yield case(
        "unknown_account",
        "from an account whose log cannot be had",
        "unknown-account",
        asks,
        DESKTOP,
        BOB,
        [known(BOB)],
    )
    yield case(
        "held",
        "from an account whose log is forked",
        "account-held",
        asks,
        DESKTOP,
        BOB,
        [held(ADA), known(BOB)],
    )
    revoked = ADA.branch().revoke(LAPTOP, PHONE.manage)
    yield case(
        "revoked",
        "from a device that was revoked meanwhile",
        "device-gone",
        asks,
        DESKTOP,
        BOB,
        [known(revoked), known(BOB)],
    )
    retired = ADA.branch().retire(LAPTOP)
    yield case(
        "retired",
        "from a device that has retired since",
        ACCEPT,
        asks,
        DESKTOP,
        BOB,
        [known(retired), known(BOB)],
    )
    stranger = sealed(header(class_="connection"), ASKING, by=Device("mallory laptop").id)
    yield case("stranger", "signed by a device of nobody's", "unknown-device", stranger, DESKTOP, BOB, both)
    elsewhere = sealed(header(class_="connection", log=[3, fixed("another head")]), ASKING)
    yield case(
        "log_elsewhere",
        "a head that the sender's log does not have",
        "not-an-extension",
        elsewhere,
        DESKTOP,
        BOB,
        both,
    )
    not_serving = sealed(header(class_="connection", from_=[ADA.account, "writer"]), ASKING)
    yield case(
        "not_serving",
        "for an agent that the device does not serve",
        "unknown-agent",
        not_serving,
        DESKTOP,
        BOB,
        both,
    )
