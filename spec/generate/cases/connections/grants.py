"""Grants one after the other, what is in force then, and what that permits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from spec.generate.kit import NOW, Signer, Value, enc, fixed, sha, tampered
from spec.generate.pacts import REQUEST, TERMS, grant, terms
from spec.generate.parcels import ADA, BOB
from spec.generate.vector import ACCEPT, Json, Vector, hexes

SECTION = "identity.md#7-grants-and-permissions"
FIRST = grant()
SECOND = grant(version=2, prev=sha(FIRST), rate=30)


def case(
    name: str,
    comment: str,
    expect: str,
    grants: Sequence[bytes],
    *,
    sealed: Sequence[bytes] = (TERMS,),
    asks: Json = None,
    decoded: Json = None,
) -> Vector:
    """Grants taken in order; the code is that of the last one, or of what is asked of it."""
    members: dict[str, Json] = {"spec": SECTION, "comment": comment, "kind": "grant", "now_ms": NOW}
    members |= {"statements": hexes(BOB.statements), "request": REQUEST.hex()}
    members |= {"request_statements": hexes(ADA.statements), "grants": hexes(grants), "terms": hexes(sealed)}
    if asks is not None:
        members["asks"] = asks
    members["expect"] = expect
    if decoded is not None:
        members["decoded"] = decoded
    return Vector("connections", f"grant_{name}", members)


def shown(**other: Json) -> dict[str, Json]:
    """What FIRST grants."""
    return {
        "version": 1,
        "until": None,
        "classes": ["artifact", "message", "task"],
        "rate": 60,
        "largest": 262_144,
        "auto_trigger": True,
        "human_gate": False,
        "task_budget": 3,
        "largest_artifact": 1_000_000,
        **other,
    }


def accepted() -> Iterator[Vector]:
    """Grants in force."""
    yield case("first", "the first version", ACCEPT, [FIRST], decoded=shown())
    yield case(
        "second", "a higher version replaces", ACCEPT, [FIRST, SECOND], decoded=shown(version=2, rate=30)
    )
    yield case("same_again", "the same grant again", ACCEPT, [FIRST, FIRST], decoded=shown())
    narrow = terms()
    least = grant(terms=sha(narrow), classes=[])
    yield case(
        "terms_absent",
        "what the terms do not name is the least",
        ACCEPT,
        [least],
        sealed=[narrow],
        decoded=shown(
            classes=[], auto_trigger=False, human_gate=True, task_budget=0, largest_artifact=65_536
        ),
    )
    later = terms(auto_trigger=True, human_gate=False, task_budget=9, quiet_hours=[22, 6])
    yield case(
        "terms_later",
        "terms with a field of a later version, which may narrow them: all of them mean the least",
        ACCEPT,
        [grant(terms=sha(later))],
        sealed=[later],
        decoded=shown(auto_trigger=False, human_gate=True, task_budget=0, largest_artifact=65_536),
    )
    yield case(
        "class_later",
        "a class of a later version beside one of this: only the latter passes here",
        ACCEPT,
        [grant(classes=["gossip", "message"])],
        decoded=shown(classes=["message"]),
    )
    rivals: list[tuple[str, str, dict[str, Value], dict[str, Json]]] = [
        (
            "classes",
            "the classes in both",
            {"classes": ["message", "task"]},
            {"classes": ["message", "task"]},
        ),
        ("rate", "the lower rate", {"rate": 10}, {"rate": 10}),
        ("rate_higher", "the lower rate, whichever came first", {"rate": 600}, {}),
        ("largest", "the lower size", {"largest": 4_096}, {"largest": 4_096}),
        ("until", "an end is earlier than none", {"until": NOW + 5}, {"until": NOW + 5}),
    ]
    for name, comment, fields, result in rivals:
        pair = [FIRST, grant(**fields)]
        yield case(f"rival_{name}", f"two of one version: {comment}", ACCEPT, pair, decoded=shown(**result))
        yield case(
            f"rival_{name}_other_order",
            f"two of one version: {comment}, in the other order",
            ACCEPT,
            pair[::-1],
            decoded=shown(**result),
        )
    both = [grant(until=NOW + 5, rate=100), grant(until=NOW + 9, classes=["task"])]
    yield case(
        "rival_several",
        "two of one version: each narrows something else",
        ACCEPT,
        both,
        decoded=shown(until=NOW + 5, classes=["task"]),
    )
    cautious = terms(auto_trigger=False, human_gate=True, task_budget=1, largest_artifact=2_000_000)
    yield case(
        "rival_terms",
        "two of one version: the terms that allow less, one by one",
        ACCEPT,
        [FIRST, grant(terms=sha(cautious))],
        sealed=[TERMS, cautious],
        decoded=shown(auto_trigger=False, human_gate=True, task_budget=1),
    )


def permitted() -> Iterator[Vector]:
    """What a grant lets pass."""

    def asks(name: str, comment: str, expect: str, offered: bytes, cls: str, size: int) -> Vector:
        return case(f"asks_{name}", comment, expect, [offered], asks={"class": cls, "size": size})

    yield asks("task", "a class that is granted", ACCEPT, FIRST, "task", 1_000)
    only = grant(classes=["message"])
    gossip = grant(classes=["gossip", "task"])
    yield asks("class_later", "beside a class of a later version", ACCEPT, gossip, "task", 1_000)
    yield asks("class", "a class that is not granted", "not-permitted", only, "task", 1_000)
    small = grant(largest=1_000)
    yield asks("size_met", "exactly the largest size", ACCEPT, small, "task", 1_000)
    yield asks("size", "a byte too large", "not-permitted", small, "task", 1_001)
    yield asks("until_open", "a millisecond before its end", ACCEPT, grant(until=NOW + 1), "task", 1)
    yield asks("until_over", "its end is past", "not-permitted", grant(until=NOW - 1), "task", 1)


def refused() -> Iterator[Vector]:
    """One fault each."""

    def wrong(name: str, comment: str, code: str, by: Signer | None = None, /, **other: Value) -> Vector:
        return case(name, comment, code, [grant(by, **other)])

    yield wrong("version_0", "versions count from 1", "bad-value", version=0)
    yield wrong("format_2", "a later format", "unknown-version", v=2)
    yield wrong("more", "a field that is not known", "unknown-field", hours=3)
    yield wrong("class_needless", "a class that needs no grant", "bad-value", classes=["receipt"])
    yield wrong(
        "classes_unsorted", "classes in the wrong order", "not-canonical", classes=["task", "message"]
    )
    yield wrong("class_twice", "a class twice", "not-canonical", classes=["task", "task"])
    many = [f"class{n:02}" for n in range(17)]
    yield wrong("classes_17", "seventeen classes", "too-many", classes=many)
    yield wrong("class_long", "a class of 17 bytes", "bad-value", classes=["c" * 17])
    yield wrong("class_empty", "a class without a name", "bad-value", classes=[""])
    yield wrong("rate_text", "a rate that is a text", "wrong-type", rate="fast")
    yield wrong("until_text", "an end that is a text", "wrong-type", until="never")
    yield wrong("first_with_prev", "version 1 with a version before it", "bad-grant", prev=fixed("before"))
    yield wrong("other_request", "another connection", "unknown-request", request=fixed("no request"))
    yield wrong(
        "third_party", "to an agent that has no part in it", "bad-grant", to=[fixed("third"), "third"]
    )
    yield wrong("by_device_key", "signed by a device key", "not-authorized", BOB.first.id)
    yield wrong("by_grantee", "signed by the one who may send", "not-authorized", ADA.manage)
    yield wrong("log_elsewhere", "a head that the log does not have", "not-an-extension", log=[1, bytes(32)])
    yield case("other_kind", "signed as a card", "bad-signature", [grant(BOB.manage, "card")])
    yield case("signature", "one bit of the signature changed", "bad-signature", [tampered(FIRST)])
    yield case("stale", "a lower version than held", "stale-grant", [FIRST, SECOND, FIRST])
    broken = grant(version=2, prev=fixed("another first"))
    yield case("prev_other", "`prev` is not the version that is held", "bad-grant", [FIRST, broken])
    without = grant(version=2)
    yield case("prev_null", "a second version without `prev`", "bad-grant", [FIRST, without])
    other = terms(auto_trigger=True, task_budget=100)
    yield case("terms_hash", "terms that do not have the hash", "bad-grant", [FIRST], sealed=[other])
    faults: tuple[tuple[str, str, str, bytes], ...] = (
        (
            "later_wrong",
            "a later field excuses no fault of a known one",
            "wrong-type",
            terms(task_budget="9", x=1),
        ),
        ("gate_number", "1 is not true", "wrong-type", terms(human_gate=1)),
        ("no_salt", "terms without salt", "missing-field", enc({"task_budget": 1})),
        ("salt_short", "a salt of 8 bytes", "bad-value", enc({"salt": bytes(8)})),
        ("cut", "terms that break off", "malformed", TERMS[:-1]),
    )
    for name, comment, code, sealed in faults:
        yield case(f"terms_{name}", comment, code, [grant(terms=sha(sealed))], sealed=[sealed])


def vectors() -> Iterator[Vector]:
    """All of them."""
    for family in (accepted, permitted, refused):
        yield from family()
