"""Places where two machines meet that are no devices yet (spec/session.md section 9).

What they leave for each other is opaque here, small, held in memory, and gone after ten minutes.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable
from enum import Enum
from typing import Final

import attrs
import trio
from quart import Response, jsonify, request
from quart_trio import QuartTrio

from taskferry_protocol.ids import Entropy, Instant, sha256
from taskferry_protocol.limits import LINKING_LETTER_BYTES, LINKING_MS
from taskferry_protocol.linking import PLACE_ALPHABET, PLACE_LETTERS
from taskferry_transports.loopback import is_loopback

from .limits import USUAL
from .networks import Networks, networks_of
from .refusals import refused_json

__all__ = ["MEETINGS_PATH", "Meetings", "mount_meetings"]

MEETINGS_PATH: Final = "/v1/meetings"
TOKEN_HEADER: Final = "TaskFerry-Meeting"  # noqa: S105 - the name of a header
TOKEN_BYTES: Final = 32
LETTERS: Final = USUAL.place_letters
PLACES: Final = USUAL.places
PLACES_OF_ONE: Final = USUAL.places_of_one
PLACES_OF_SITE: Final = USUAL.places_of_site
PLACES_OF_PROVIDER: Final = USUAL.places_of_provider
WAIT_S: Final = 25.0


class Refused(Exception):
    """A request that is not carried out: the HTTP status, a code, the reason, and the next step."""

    def __init__(self, status: int, code: str, reason: str, next_step: str) -> None:
        super().__init__(reason)
        self.status = status
        self.code = code
        self.next_step = next_step


def _nowhere() -> Refused:
    return Refused(
        404, "no-such-place", "There is no such place to meet.", "Its ten minutes may be over: begin anew."
    )


class _Side(Enum):
    FIRST = 0
    SECOND = 1


@attrs.define
class _Place:
    networks: Networks
    until: Instant
    digests: list[bytes]
    letters: tuple[list[bytes], list[bytes]] = attrs.field(factory=lambda: ([], []))
    news: trio.Event = attrs.field(factory=trio.Event)

    def tell(self) -> None:
        self.news.set()
        self.news = trio.Event()


class Meetings:
    """The places of one relay. Tokens are kept as hashes."""

    def __init__(self, now: Callable[[], Instant], entropy: Entropy) -> None:
        self._now = now
        self._entropy = entropy
        self._places: dict[str, _Place] = {}

    def open(self, peer: str) -> tuple[str, str]:
        """A new place and the first side's token. Raises Refused."""
        self._forget_old()
        networks = networks_of(peer)
        if not is_loopback(peer):
            self._require_share(networks)
        if len(self._places) >= PLACES:
            raise Refused(503, "no-place", "All places to meet are taken.", "Try again in ten minutes.")
        name = "".join(PLACE_ALPHABET[byte % len(PLACE_ALPHABET)] for byte in self._entropy(PLACE_LETTERS))
        token, digest = self._token()
        self._places[name] = _Place(networks, Instant(self._now() + LINKING_MS), [digest])
        return name, token

    def join(self, name: str) -> str:
        """The second side's token. Raises Refused."""
        place = self._place(name)
        if len(place.digests) > 1:
            raise Refused(
                409, "met-already", "Two machines have met here already.", "Begin anew on the new machine."
            )
        token, digest = self._token()
        place.digests.append(digest)
        return token

    def leave_letter(self, name: str, token: str, letter: bytes) -> None:
        """Keep a letter for the other side. Raises Refused."""
        place = self._place(name)
        side = self._side(place, token)
        if not 1 <= len(letter) <= LINKING_LETTER_BYTES:
            raise Refused(
                413,
                "bad-letter",
                f"A letter has 1 to {LINKING_LETTER_BYTES} bytes.",
                "Send one of that size.",
            )
        if len(place.letters[side.value]) >= LETTERS:
            raise Refused(429, "too-many-letters", "No more letters fit here.", "Begin anew.")
        place.letters[side.value].append(letter)
        place.tell()

    async def letter(self, name: str, token: str, index: int, wait_s: float) -> bytes | None:
        """The other side's letter by its number; None if it has not come in time. Raises Refused."""
        place = self._place(name)
        theirs = place.letters[1 - self._side(place, token).value]
        with trio.move_on_after(wait_s):
            while len(theirs) <= index and self._places.get(name) is place:
                await place.news.wait()
        return theirs[index] if index < len(theirs) else None

    def end(self, name: str, token: str) -> None:
        """Forget the place. Raises Refused."""
        place = self._place(name)
        self._side(place, token)
        del self._places[name]
        place.tell()

    def _require_share(self, networks: Networks) -> None:
        taken = [place.networks for place in self._places.values()]
        if (
            sum(n.customer == networks.customer for n in taken) >= PLACES_OF_ONE
            or sum(n.site == networks.site for n in taken) >= PLACES_OF_SITE
            or sum(n.provider == networks.provider for n in taken) >= PLACES_OF_PROVIDER
        ):
            raise Refused(
                429,
                "too-many-places",
                "Too many places to meet are open from this address or its network.",
                "Try again in ten minutes.",
            )

    def _token(self) -> tuple[str, bytes]:
        token = base64.urlsafe_b64encode(self._entropy(TOKEN_BYTES)).rstrip(b"=").decode()
        return token, sha256(token.encode())

    def _place(self, name: str) -> _Place:
        self._forget_old()
        place = self._places.get(name)
        if place is None:
            raise _nowhere()
        return place

    def _side(self, place: _Place, token: str) -> _Side:
        digest = sha256(token.encode())
        for side, known in zip(_Side, place.digests, strict=False):
            if hmac.compare_digest(known, digest):
                return side
        raise _nowhere()

    def _forget_old(self) -> None:
        now = self._now()
        for name in [name for name, place in self._places.items() if place.until <= now]:
            self._places.pop(name).tell()


def mount_meetings(app: QuartTrio, meetings: Meetings) -> None:
    """Serve them."""

    def token() -> str:
        return request.headers.get(TOKEN_HEADER, "")

    @app.errorhandler(Refused)
    async def refuse(refused: Refused) -> Response:
        return refused_json(refused.status, refused.code, str(refused), refused.next_step)

    @app.post(MEETINGS_PATH)
    async def open_place() -> Response:
        place, secret = meetings.open(request.remote_addr or "")
        return jsonify({"place": place, "token": secret})

    @app.post(f"{MEETINGS_PATH}/<place>/join")
    async def join(place: str) -> Response:
        return jsonify({"token": meetings.join(place)})

    @app.post(f"{MEETINGS_PATH}/<place>")
    async def leave_letter(place: str) -> Response:
        letter = await request.get_data()
        meetings.leave_letter(place, token(), letter if isinstance(letter, bytes) else b"")
        return jsonify({})

    @app.get(f"{MEETINGS_PATH}/<place>")
    async def take_letter(place: str) -> Response:
        index, wait = _number("after"), _number("wait")
        letter = await meetings.letter(place, token(), index, min(float(wait), WAIT_S))
        if letter is None:
            # Without a body of its own it would get one that only asyncio can read.
            return Response("", 204)
        return Response(letter, content_type="application/octet-stream")

    @app.delete(f"{MEETINGS_PATH}/<place>")
    async def end(place: str) -> Response:
        meetings.end(place, token())
        return jsonify({})


def _number(name: str) -> int:
    text = request.args.get(name, "0")
    if not text.isascii() or not text.isdigit() or len(text) > 4:
        raise Refused(400, "bad-value", f"{name} is a number below 10,000.", "Send such a one.")
    return int(text)
