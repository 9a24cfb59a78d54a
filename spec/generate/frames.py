"""Frames of the session, and transcripts put together from them."""

from __future__ import annotations

from collections.abc import Sequence

from spec.generate.kit import NOW, Map, Signer, Value, enc, fixed, sha, sign
from spec.generate.parcels import ADA, LAPTOP
from spec.generate.vector import Json, Vector

ORIGIN = "wss://relay.example:443"
GENERATION = fixed("generation", 16)
RELAY_NONCE = fixed("relay nonce")


def hello(**other: Value) -> bytes:
    """The daemon's first frame."""
    members: Map = {
        "v": 1,
        "nonce": fixed("daemon nonce"),
        "account": ADA.account,
        "device": LAPTOP.id.public,
        "transport": "websocket",
        "offered": ["websocket", "longpoll"],
        "origin": ORIGIN,
        "cursor": None,
        "window": [4, 100_000],
        "agent": "vectors",
    }
    return enc([1, {**members, **other}])


CHALLENGE = enc([2, {"v": 1, "nonce": RELAY_NONCE}])


def proof(
    greeting: bytes, *, by: Signer | None = None, kind: str = "auth", challenge: bytes = CHALLENGE
) -> bytes:
    """The signature over what both said first."""
    return sign(by or LAPTOP.id, kind, sha(greeting + challenge))


def auth(signed: bytes, **other: Value) -> bytes:
    """The daemon's proof with the whole of its log."""
    members: Map = {"proof": signed, "from": 0, "statements": list(ADA.statements)}
    return enc([3, {**members, **other}])


def ready(at: int = NOW, *, next_offset: int = 1, window: Sequence[Value] = (4, 100_000)) -> bytes:
    """The relay opens the session."""
    members: Map = {
        "generation": GENERATION,
        "next": next_offset,
        "log": ADA.position(),
        "window": list(window),
        "now": at,
    }
    return enc([4, members])


def entry(offset: int, size: int = 300) -> list[Value]:
    """An entry of a mailbox; the session does not look into it."""
    return [offset, 0, fixed(f"envelope {offset}", size), fixed(f"sealed {offset}", 80)]


def goaway(code: str) -> dict[str, Json]:
    """A goaway as expected: its text is for people and not compared."""
    return {"number": 13, "code": code}


class Transcript:
    """One end of a session, step by step."""

    def __init__(self, side: str, **facts: Json) -> None:
        self.side = side
        self.facts = facts
        self.steps: list[Json] = []
        self.at = NOW

    def shows(self, ticket: str) -> Transcript:
        """The daemon has a ticket."""
        self.facts["ticket"] = ticket
        return self

    def step(
        self, action: dict[str, Json], frames: Sequence[Json], events: Sequence[str], code: str | None
    ) -> None:
        """What happens, and what comes of it: frames to the peer, events to the application."""
        outcome: dict[str, Json] = {"at": self.at, **action, "frames": list(frames), "events": list(events)}
        if code is not None:
            outcome["code"] = code
        self.steps.append(outcome)

    def hears(
        self,
        frame: bytes,
        *,
        frames: Sequence[Json] = (),
        events: Sequence[str] = (),
        code: str | None = None,
    ) -> Transcript:
        """A frame comes from the peer."""
        self.step({"receive": frame.hex()}, frames, events, code)
        return self

    def breaks(self, frame: bytes, code: str) -> Transcript:
        """A frame comes that ends the session with a goaway."""
        return self.hears(frame, frames=[goaway(code)], code=code)

    def says(self, frame: bytes, *, events: Sequence[str] = (), code: str | None = None) -> Transcript:
        """The application has this frame said."""
        self.step({"say": frame.hex()}, [frame.hex()], events, code)
        return self

    def waits(
        self, ms: int, *, frames: Sequence[Json] = (), events: Sequence[str] = (), code: str | None = None
    ) -> Transcript:
        """Time passes, and nothing comes."""
        self.at += ms
        self.step({"elapse": True}, frames, events, code)
        return self

    def vector(self, name: str, comment: str, section: str, expect: str = "accept") -> Vector:
        """The transcript as a vector; `expect` is the code with which the session ends, if one."""
        members: dict[str, Json] = {"spec": section, "comment": comment, "kind": f"session-{self.side}"}
        return Vector(
            "sessions", name, {**members, "now_ms": NOW, **self.facts, "steps": self.steps, "expect": expect}
        )


def relay(**other: Json) -> Transcript:
    """A relay's end that has just begun."""
    facts: dict[str, Json] = {
        "nonce": RELAY_NONCE.hex(),
        "origins": [ORIGIN],
        "transport": "websocket",
        "window": [4, 100_000],
    }
    return Transcript("relay", **{**facts, **other})


def open_relay() -> Transcript:
    """A relay's end that has come to ready."""
    transcript = relay()
    greeting = hello()
    transcript.hears(greeting, frames=[CHALLENGE.hex()])
    transcript.hears(auth(proof(greeting)), events=["auth-requested"])
    return transcript.says(ready())


def client(**other: Value) -> Transcript:
    """A daemon's end that has said hello."""
    return Transcript(
        "client",
        seed=LAPTOP.id.seed.hex(),
        hello=hello(**other).hex(),
        statements=[statement.hex() for statement in ADA.statements],
    )


def open_client() -> Transcript:
    """A daemon's end that has come to ready."""
    transcript = client()
    transcript.hears(CHALLENGE, frames=[auth(proof(hello())).hex()])
    return transcript.hears(ready(), events=["ready"])
