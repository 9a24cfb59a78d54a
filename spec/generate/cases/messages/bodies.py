"""A good body for every message type, and what may be wrong with each of its fields."""

from __future__ import annotations

from dataclasses import dataclass, field

from spec.generate.kit import DAY, NOW, Map, Value, fixed, sha

TASK = fixed("a task")
SUBMISSION = fixed("a submission")
DATA = b"def parse(): ...\n"
TEXT_PART: Map = {"kind": "text", "text": "See below.", "name": ""}
JSON_PART: Map = {"kind": "json", "json": '{"passed": 12, "failed": []}', "name": "report"}
FILE_PART: Map = {
    "kind": "file",
    "name": "parser.py",
    "media": "text/x-python",
    "size": len(DATA),
    "sha256": sha(DATA),
    "data": DATA,
}
BLOB_PART: Map = {
    "kind": "blob",
    "name": "corpus.tar",
    "media": "application/x-tar",
    "size": 5_000_000,
    "sha256": fixed("corpus"),
    "blob": fixed("corpus ciphertext"),
    "key": fixed("corpus key"),
    "length": 5_000_080,
    "chunk": 1_048_576,
}
PARTS: list[Value] = [TEXT_PART, JSON_PART, FILE_PART, BLOB_PART]

SHARED: list[Map] = [
    {
        "kind": "account",
        "account": fixed("an account"),
        "name": "bob",
        "trust": "unverified",
        "held": "",
        "from": 0,
        "statements": [b"a statement"],
    },
    {"kind": "card", "card": b"a card"},
    {
        "kind": "connection",
        "request": b"a request",
        "accept": b"an acceptance",
        "end": b"",
        "note": "Hello",
        "at": NOW,
        "grants": [[b"a grant", b"its terms"]],
    },
    {"kind": "message", "envelope": b"an envelope", "key": fixed("its K")},
    {"kind": "label", "device": fixed("a device"), "label": "kitchen"},
    {"kind": "agent", "agent": "coder", "mode": "guarded", "never": ["deletions", "mail"], "at": NOW},
]

Wrong = tuple[str, str, str, Map]
"""Name, comment, code, the fields that differ."""


@dataclass(frozen=True)
class Type:
    """One message type."""

    name: str
    cls: str
    body: Map
    linked: bool = False
    wrong: list[Wrong] = field(default_factory=list)
    edges: list[tuple[str, str, Map]] = field(default_factory=list)
    optional: frozenset[str] = frozenset()


def _note(key: str, most: int = 65_536) -> list[Wrong]:
    return [(f"{key}_long", f"a `{key}` of {most + 1} bytes", "bad-value", {key: "n" * (most + 1)})]


def _version() -> list[Wrong]:
    return [
        ("version_0", "versions count from 1", "bad-value", {"version": 0}),
        ("hash_short", "a hash of 31 bytes", "bad-value", {"hash": bytes(31)}),
    ]


REQUEST: Map = {
    "title": "Make the parser strict",
    "brief": "It lets duplicate keys through.",
    "parts": [TEXT_PART],
    "requirements": ["Tests for every refusal.", "No new dependency."],
    "deadline": NOW + 3_600_000,
    "revisions": 3,
    "budget": 40,
}
STATEMENT = fixed("statement bytes", 150)
REQUESTED: Map = {
    "statement": STATEMENT,
    "grant": fixed("grant bytes", 200),
    "terms": fixed("terms bytes", 60),
    "note": "We met at the conference.",
    "log": [fixed("create statement", 300), fixed("add statement", 300)],
}

TYPES: list[Type] = [
    Type(
        "message",
        "message",
        {"text": "Good morning, 渡し守.", "parts": PARTS},
        wrong=[
            ("text_empty", "an empty text", "bad-value", {"text": ""}),
            ("text_long", "a text of 65,537 bytes", "bad-value", {"text": "x" * 65_537}),
            ("text_long_in_bytes", "32,769 characters of two bytes", "bad-value", {"text": "é" * 32_769}),
            ("parts_33", "thirty-three parts", "too-many", {"parts": [TEXT_PART] * 33}),
        ],
        edges=[
            ("no_parts", "no parts", {"parts": []}),
            ("parts_32", "thirty-two parts", {"parts": [TEXT_PART] * 32}),
        ],
    ),
    Type(
        "connection_request",
        "connection",
        REQUESTED,
        wrong=[
            *_note("note", 1_024),
            ("log_item_text", "a statement as a text", "wrong-type", {"log": ["statement"]}),
            (
                "invite_short",
                "an invite id of 15 bytes",
                "bad-value",
                {"invite": {"id": bytes(15), "mac": bytes(32)}},
            ),
            ("invite_no_mac", "an invite without mac", "missing-field", {"invite": {"id": bytes(16)}}),
        ],
        edges=[("invited", "made through an invite", {"invite": {"id": bytes(16), "mac": fixed("mac")}})],
    ),
    Type(
        "connection_accept",
        "connection",
        {key: REQUESTED[key] for key in ("statement", "grant", "terms", "log")},
    ),
    Type(
        "connection_end",
        "connection",
        {"statement": STATEMENT, "reason": "The project is over."},
        wrong=[
            *_note("reason", 1_024),
            ("again_text", "a time that is a text", "wrong-type", {"again": "soon"}),
            ("again_2_53", "a time of 2^53", "bad-value", {"again": 2**53}),
        ],
        edges=[("again", "a request declined until a time", {"again": NOW + 7 * DAY})],
    ),
    Type(
        "grant_update", "connection", {"grant": fixed("grant bytes", 200), "terms": fixed("terms bytes", 60)}
    ),
    Type(
        "task_request",
        "task",
        REQUEST,
        linked=True,
        wrong=[
            ("title_empty", "no title", "bad-value", {"title": ""}),
            ("title_201", "a title of 201 characters", "bad-value", {"title": "t" * 201}),
            ("title_newline", "a title of two lines", "bad-value", {"title": "one\ntwo"}),
            ("title_escape", "a terminal's escape in the title", "bad-value", {"title": "\x1b[2J"}),
            ("requirements_33", "thirty-three requirements", "too-many", {"requirements": ["r"] * 33}),
            ("requirement_empty", "an empty requirement", "bad-value", {"requirements": [""]}),
            (
                "requirement_long",
                "a requirement of 2,049 bytes",
                "bad-value",
                {"requirements": ["r" * 2_049]},
            ),
            ("revisions_1001", "a thousand and one revisions", "bad-value", {"revisions": 1_001}),
            ("revisions_negative", "fewer than no revisions", "bad-value", {"revisions": -1}),
            ("deadline_2_53", "a deadline of 2^53", "bad-value", {"deadline": 2**53}),
            ("budget_negative", "a negative budget", "bad-value", {"budget": -1}),
            *_note("brief"),
        ],
        edges=[
            (
                "open_ended",
                "no deadline, no budget, no revisions",
                {"deadline": None, "budget": None, "revisions": 0},
            ),
            ("title_200_characters", "a title of 200 characters of four bytes", {"title": "𝄞" * 200}),
        ],
    ),
    Type("task_accept", "task", {"note": "On it."}, linked=True, wrong=_note("note")),
    Type("task_decline", "task", {"reason": "Too large for today."}, linked=True),
    Type(
        "task_progress",
        "task",
        {"note": "Half of it.", "percent": 50},
        linked=True,
        wrong=[
            ("percent_101", "more than everything", "bad-value", {"percent": 101}),
            ("percent_negative", "less than nothing", "bad-value", {"percent": -1}),
            *_note("note"),
        ],
        edges=[
            ("percent_null", "no percentage", {"percent": None}),
            ("percent_100", "all of it", {"percent": 100}),
        ],
    ),
    Type(
        "artifact_submit",
        "artifact",
        {"note": "First version.", "parts": PARTS, "answers": 0},
        linked=True,
        wrong=[
            ("parts_none", "a submission of nothing", "bad-value", {"parts": []}),
            ("parts_33", "thirty-three parts", "too-many", {"parts": [TEXT_PART] * 33}),
            ("answers_negative", "a negative count of answers", "bad-value", {"answers": -1}),
        ],
    ),
    Type(
        "revision_request",
        "task",
        {"version": 1, "hash": SUBMISSION, "reasons": ["The tests are missing."]},
        linked=True,
        wrong=[
            *_version(),
            ("reasons_none", "no reason", "bad-value", {"reasons": []}),
            ("reasons_33", "thirty-three reasons", "too-many", {"reasons": ["r"] * 33}),
            ("reason_empty", "an empty reason", "bad-value", {"reasons": [""]}),
            ("reason_long", "a reason of 2,049 bytes", "bad-value", {"reasons": ["r" * 2_049]}),
        ],
    ),
    Type(
        "task_complete",
        "task",
        {"version": 1, "hash": SUBMISSION, "note": "Thank you."},
        linked=True,
        wrong=_version(),
    ),
    Type("task_cancel", "task", {"reason": "Not needed any more."}, linked=True, wrong=_note("reason")),
    Type("task_fail", "task", {"reason": "The compiler is broken."}, linked=True),
    Type(
        "task_expire",
        "task",
        {"deadline": NOW + 3_600_000},
        linked=True,
        wrong=[("deadline_2_53", "a deadline of 2^53", "bad-value", {"deadline": 2**53})],
    ),
    Type("task_seen", "task", {}, linked=True),
    Type(
        "receipt",
        "receipt",
        {
            "items": [
                [fixed("one"), "applied", None],
                [fixed("two"), "quarantined", "bad-padding"],
                [fixed("three"), "duplicate", None],
                [fixed("four"), "offered", None],
                [fixed("five"), "read", None],
                [fixed("six"), "processed", None],
            ]
        },
        wrong=[
            ("items_none", "a receipt for nothing", "bad-value", {"items": []}),
            ("items_257", "257 items", "too-many", {"items": [[fixed("i"), "read", None]] * 257}),
            (
                "outcome_unknown",
                "an outcome that is not known",
                "bad-value",
                {"items": [[fixed("i"), "lost", None]]},
            ),
            ("hash_short", "a hash of 31 bytes", "bad-value", {"items": [[bytes(31), "read", None]]}),
            ("code_empty", "an empty code", "bad-value", {"items": [[fixed("i"), "quarantined", ""]]}),
            ("code_number", "a number as code", "wrong-type", {"items": [[fixed("i"), "read", 7]]}),
            ("item_pair", "an item of two elements", "bad-value", {"items": [[fixed("i"), "read"]]}),
            ("item_text", "an item that is no array", "wrong-type", {"items": ["read"]}),
            ("tells_number", "one where true is meant", "wrong-type", {"tells": 1}),
            ("tells_null", "null where nothing is said", "wrong-type", {"tells": None}),
            ("seen_text", "a time that is a text", "wrong-type", {"seen": "today"}),
            ("seen_2_53", "a time of 2^53", "bad-value", {"seen": 2**53}),
        ],
        edges=[
            (
                "code_unknown",
                "a code from the future is kept",
                {"items": [[fixed("i"), "quarantined", "too-blue"]]},
            ),
            ("items_256", "256 items", {"items": [[fixed("i"), "read", None]] * 256}),
            (
                "tells",
                "with whether reading is told, and when the agent last ran",
                {"tells": True, "seen": NOW},
            ),
            ("tells_nothing", "of an owner who does not let reading be told", {"tells": False}),
        ],
    ),
    Type(
        "task_repeat",
        "task",
        {"envelope": b"an event as it was signed", "key": fixed("key")},
        wrong=[
            ("key_short", "a K of 31 bytes", "bad-value", {"key": bytes(31)}),
            ("envelope_text", "a text for the envelope", "wrong-type", {"envelope": "e"}),
        ],
    ),
    Type(
        "account_update",
        "account",
        {"statements": [STATEMENT, STATEMENT], "from": 3},
        wrong=[
            ("statements_none", "no statements", "bad-value", {"statements": []}),
            ("statements_65", "sixty-five statements", "too-many", {"statements": [b"s"] * 65}),
            ("from_negative", "a negative index", "bad-value", {"from": -1}),
        ],
    ),
    Type("card_update", "account", {"card": b"a signed card"}),
    Type(
        "grant_digest",
        "account",
        {"digest": fixed("digest"), "count": 4},
        wrong=[
            ("digest_short", "a digest of 16 bytes", "bad-value", {"digest": bytes(16)}),
            ("count_negative", "a negative count", "bad-value", {"count": -1}),
        ],
    ),
    Type(
        "device_share",
        "account",
        {"items": SHARED, "done": 1, "total": 40},
        wrong=[
            ("items_257", "257 items", "too-many", {"items": [SHARED[1]] * 257}),
            ("item_kind", "a kind that is not known", "bad-value", {"items": [{"kind": "key"}]}),
            ("item_kindless", "an item without a kind", "missing-field", {"items": [{"card": b"c"}]}),
            ("item_more", "a further field", "unknown-field", {"items": [{**SHARED[1], "more": 1}]}),
            ("key_short", "a K of 31 bytes", "bad-value", {"items": [{**SHARED[3], "key": bytes(31)}]}),
            ("grants_9", "nine grants", "too-many", {"items": [{**SHARED[2], "grants": [[b"g", b"t"]] * 9}]}),
            (
                "agent_upper",
                "an agent's name in capitals",
                "bad-value",
                {"items": [{**SHARED[5], "agent": "CODER"}]},
            ),
            ("mode_empty", "a mode without a name", "bad-value", {"items": [{**SHARED[5], "mode": ""}]}),
            (
                "never_text",
                "a class in place of a list",
                "wrong-type",
                {"items": [{**SHARED[5], "never": "mail"}]},
            ),
            ("label_empty", "an empty label", "bad-value", {"items": [{**SHARED[4], "label": ""}]}),
            ("again_text", "a pause in words", "wrong-type", {"items": [{**SHARED[2], "again": "a week"}]}),
            ("label_at_negative", "a negative time", "bad-value", {"items": [{**SHARED[4], "at": -1}]}),
            (
                "name_upper",
                "a capital letter in a name",
                "bad-value",
                {"items": [{**SHARED[0], "name": "Bob"}]},
            ),
            ("done_negative", "a negative count", "bad-value", {"done": -1}),
        ],
        edges=[
            ("empty", "nothing more to share", {"items": [], "done": 40, "total": 40}),
            ("again", "a declined request, and its pause", {"items": [{**SHARED[2], "again": NOW + 1}]}),
            ("label_at", "a label, and since when", {"items": [{**SHARED[4], "at": NOW}]}),
            (
                "mode_later",
                "a mode of a later version",
                {"items": [{**SHARED[5], "mode": "sleepy", "never": []}]},
            ),
        ],
    ),
    Type(
        "action_request",
        "account",
        {
            "task": fixed("a task"),
            "action": "submit",
            "agent": "coder",
            "by": "agent",
            "until": NOW + 86_400_000,
            "text": "The first draft.",
            "percent": 50,
            "parts": [TEXT_PART],
            "reasons": ["Not yet."],
            "version": 2,
            "hash": fixed("a version"),
            "answers": 1,
        },
        wrong=[
            ("task_short", "a task's id of 31 bytes", "bad-value", {"task": bytes(31)}),
            ("action_empty", "no action", "bad-value", {"action": ""}),
            ("agent_upper", "a capital letter in a name", "bad-value", {"agent": "Coder"}),
            ("by_other", "a credential of nobody's", "bad-value", {"by": "guest"}),
            ("by_number", "a number in place of a word", "wrong-type", {"by": 1}),
            ("percent_101", "more than all", "bad-value", {"percent": 101}),
            ("reason_empty", "an empty reason", "bad-value", {"reasons": [""]}),
            *_version(),
            ("answers_negative", "a negative count", "bad-value", {"answers": -1}),
            *_note("text"),
        ],
        edges=[
            (
                "action_later",
                "an action of a later version, which is refused where it arrives",
                {"action": "nap"},
            ),
            (
                "least",
                "nothing but what is asked",
                {
                    "action": "cancel",
                    "by": "owner",
                    "text": "",
                    "percent": None,
                    "parts": [],
                    "reasons": [],
                    "version": None,
                    "hash": None,
                    "answers": None,
                },
            ),
        ],
    ),
    Type(
        "action_outcome",
        "account",
        {
            "request": fixed("an action request"),
            "outcome": "done",
            "event": fixed("an event"),
            "state": "submitted",
            "code": "",
            "text": "",
            "next": "",
        },
        wrong=[
            ("request_short", "a hash of 31 bytes", "bad-value", {"request": bytes(31)}),
            ("outcome_other", "neither done nor refused", "bad-value", {"outcome": "perhaps"}),
            ("event_short", "an event's hash of 31 bytes", "bad-value", {"event": bytes(31)}),
            ("code_long", "a code of 65 bytes", "bad-value", {"code": "c" * 65}),
            *_note("text", 2_048),
            *_note("next", 2_048),
        ],
        edges=[
            (
                "refused",
                "refused, with why",
                {"outcome": "refused", "event": None, "code": "not-possible", "text": "The task has ended."},
            ),
        ],
    ),
]
