"""`/ops`: the operator's pages. One glance says whether all is well; whatever is shown can be acted on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import attrs
from quart import Response, request
from quart_trio import QuartTrio

from taskferry_protocol.admission import MailboxLimits
from taskferry_protocol.audit import RelayAuditKind, read_entry
from taskferry_protocol.errors import RemoteProtocolError
from taskferry_protocol.ids import DeviceId, Instant
from taskferry_protocol.records import AuditRow, Order, Place
from taskferry_protocol.records.operations import AccountQuery, MailboxLine, Standing
from taskferry_stores.port import RelayStore

from ..account_office import REASON_CHARS, AccountFound, AccountOffice
from ..core import Relay
from ..gauges import Gauges, grouped
from ..limits import USUAL, RelayLimits
from ..snapshot import Snapshots
from ..turnstile import Turnstile
from .ops_guard import OpsGuard, View, Visitor

__all__ = ["Sentence", "Shown", "mount_ops"]

Sentence = Callable[[str, str, Mapping[str, object]], str]
"""An audit entry in words: kind, subject and facts."""

ROWS: Final = 50
NAME_CHARS: Final = 80


@attrs.frozen
class Shown:
    """What the pages show beside what the store knows: how the relay is set up."""

    limits: MailboxLimits
    sign_up: str
    sign_ups_per_hour: int
    database: str
    sentence: Sentence
    bounds: RelayLimits = USUAL
    bounds_source: str = "default"


@attrs.frozen
class _Entry:
    n: int
    at: Instant | None
    text: str


class _Views:
    """Each page as a coroutine of the visitor."""

    def __init__(
        self,
        guard: OpsGuard,
        relay: Relay,
        store: RelayStore,
        snapshots: Snapshots,
        turnstile: Turnstile,
        shown: Shown,
        gauges: Gauges,
        now: Callable[[], Instant],
    ) -> None:
        self._gauges = gauges
        self._guard = guard
        self._relay = relay
        self._store = store
        self._snapshots = snapshots
        self._turnstile = turnstile
        self._shown = shown
        self._now = now
        self._office = AccountOffice(store, now, "page")

    async def overview(self, visitor: Visitor) -> Response:
        """Is all well, and what to do if not."""
        async with self._turnstile.passed():
            latest = await self._snapshots.latest()
        meter = self._relay.meter
        return self._guard.render(
            visitor,
            "ops_overview.html",
            here="overview",
            latest=latest,
            meter=meter,
            refusals=sorted(meter.refusals.items(), key=lambda item: -item[1]),
            shown=self._shown,
            now=self._now(),
        )

    async def accounts(self, visitor: Visitor) -> Response:
        """Accounts by name, in pages."""
        prefix = request.args.get("prefix", "").strip().removeprefix("@").lower()
        after, word = request.args.get("after", ""), request.args.get("state", "")
        state = Standing(word) if word in set(Standing) else Standing.ALL
        lines = []
        if len(prefix) <= NAME_CHARS and len(after) <= NAME_CHARS:
            async with self._turnstile.passed():
                lines = list(await self._office.listed(AccountQuery(prefix, state), after, ROWS + 1))
        return self._guard.render(
            visitor,
            "ops_accounts.html",
            here="accounts",
            lines=lines[:ROWS],
            following=lines[ROWS - 1].name if len(lines) > ROWS else "",
            prefix=prefix[:NAME_CHARS],
            state=state.value,
            states=[one.value for one in Standing],
            now=self._now(),
        )

    async def account(self, visitor: Visitor, who: str) -> Response:
        """One account."""
        async with self._turnstile.passed():
            found = await self._office.find(who)
        return self._account(visitor, found, "", "")

    def _account(self, visitor: Visitor, found: AccountFound, problem: str, reason: str) -> Response:
        boxes: dict[DeviceId, MailboxLine] = {box.device: box for box in found.mailboxes}
        devices = [
            (device, boxes.get(id), self._relay.is_online(id))
            for id, device in found.log.state.devices.items()
        ]
        return self._guard.render(
            visitor,
            "ops_account.html",
            status=400 if problem else 200,
            here="accounts",
            line=found.line,
            state=found.log.state,
            devices=devices,
            problem=problem,
            reason=reason,
            most=REASON_CHARS,
            now=self._now(),
        )

    async def suspend(self, visitor: Visitor, who: str, form: Mapping[str, str]) -> Response:
        """Stop an account, at once."""
        reason = form.get("reason", "")
        try:
            await self._office.suspend(who, reason)
        except ValueError as error:
            found = await self._office.find(who)
            return self._account(visitor, found, f"The reason must be {error}.", reason[: 2 * REASON_CHARS])
        await self._relay.suspensions.refresh()
        return self._back(visitor, who)

    async def release(self, visitor: Visitor, who: str, form: Mapping[str, str]) -> Response:
        """Let an account go on, at once."""
        await self._office.release(who)
        await self._relay.suspensions.refresh()
        return self._back(visitor, who)

    def _back(self, visitor: Visitor, who: str) -> Response:
        # So that loading the page again presses nothing again.
        where = self._guard.link(visitor.standpoint, f"/ops/accounts/{who}")
        return Response("", 303, {"Location": where, "Cache-Control": "no-store"})

    async def mailboxes(self, visitor: Visitor) -> Response:
        """The fullest mailboxes."""
        async with self._turnstile.passed():
            boxes = await self._store.fullest_mailboxes(ROWS)
        return self._guard.render(
            visitor,
            "ops_mailboxes.html",
            here="mailboxes",
            boxes=[(box, self._relay.is_online(box.device)) for box in boxes],
            limits=self._shown.limits,
            most=ROWS,
            now=self._now(),
        )

    async def limits(self, visitor: Visitor) -> Response:
        """Every limit, where it comes from, and how near the relay is to it."""
        async with self._turnstile.passed():
            rows = self._gauges.rows(await self._snapshots.latest())
        return self._guard.render(visitor, "ops_limits.html", here="limits", groups=grouped(rows))

    async def audit(self, visitor: Visitor) -> Response:
        """What happened, newest first."""
        kind, before = request.args.get("kind", ""), request.args.get("before", "")
        kinds = [one.value for one in RelayAuditKind]
        place = Place(int(before)) if before.isascii() and before.isdigit() and len(before) < 19 else None
        async with self._turnstile.passed():
            page = await self._store.audit_rows(
                kind if kind in kinds else None, place, ROWS, Order.NEWEST_FIRST
            )
        return self._guard.render(
            visitor,
            "ops_audit.html",
            here="audit",
            entries=[self._entry(row) for row in page.items],
            following=page.next,
            kind=kind if kind in kinds else "",
            kinds=kinds,
            now=self._now(),
        )

    def _entry(self, row: AuditRow) -> _Entry:
        try:
            note = read_entry(row.raw).note
        except RemoteProtocolError:
            return _Entry(row.place, None, "This entry was changed: see taskferry relay audit verify")
        return _Entry(row.place, note.at, self._shown.sentence(note.kind, note.subject, dict(note.facts)))

    async def sign_out(self, visitor: Visitor, form: Mapping[str, str]) -> Response:
        """End the session."""
        self._guard.door.sign_out(visitor.secret)
        response = Response("", 303, {"Location": self._guard.link(visitor.standpoint, "/ops")})
        response.delete_cookie(
            visitor.standpoint.cookie,
            path="/",
            httponly=True,
            samesite="Strict",
            secure=visitor.standpoint.secure,
        )
        return response


def mount_ops(
    app: QuartTrio,
    guard: OpsGuard,
    relay: Relay,
    store: RelayStore,
    snapshots: Snapshots,
    turnstile: Turnstile,
    shown: Shown,
    gauges: Gauges,
    now: Callable[[], Instant],
) -> None:
    """Serve the pages."""
    views = _Views(guard, relay, store, snapshots, turnstile, shown, gauges, now)
    looks: dict[str, Callable[..., Awaitable[Response]]] = {
        "/ops": views.overview,
        "/ops/accounts": views.accounts,
        "/ops/accounts/<who>": views.account,
        "/ops/mailboxes": views.mailboxes,
        "/ops/limits": views.limits,
        "/ops/audit": views.audit,
    }
    presses: dict[str, Callable[..., Awaitable[Response]]] = {
        "/ops/accounts/<who>/suspend": views.suspend,
        "/ops/accounts/<who>/release": views.release,
        "/ops/sign-out": views.sign_out,
    }
    _add(app, "GET", "/ops/sign-in", guard.door_view())
    for rule, view in looks.items():
        _add(app, "GET", rule, guard.look(view))
    for rule, view in presses.items():
        _add(app, "POST", rule, guard.press(view))


def _add(app: QuartTrio, method: str, rule: str, view: View) -> None:
    app.add_url_rule(
        rule,
        endpoint=f"{method} {rule}",
        view_func=view,
        methods=[method],
        provide_automatic_options=False,
        strict_slashes=False,
    )
