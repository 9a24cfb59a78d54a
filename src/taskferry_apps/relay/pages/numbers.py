"""What programs of the operator read: `/metrics` for Prometheus, and `GET /v1/ops/status`."""

from __future__ import annotations

from pathlib import Path

from quart import Response, jsonify, request
from quart_trio import QuartTrio

from ...disk import disk_of
from ...telemetry.spans import Spans
from ..gauges import Gauges
from ..meter import Meter
from ..ops_door import Approach, OpsDoor
from ..snapshot import Snapshots

__all__ = ["approach_of_request", "mount_numbers"]


def approach_of_request() -> Approach:
    """Where the request under way comes from."""
    headers = request.headers
    return Approach(
        headers.get("Host", ""),
        # The server has put the address there, which is a proxy's word only where the operator trusts it.
        headers["Remote-Addr"],
        headers.get("Origin"),
        headers.get("Sec-Fetch-Site"),
    )


def mount_numbers(
    app: QuartTrio,
    door: OpsDoor,
    snapshots: Snapshots,
    meter: Meter,
    gauges: Gauges,
    database: Path,
    spans: Spans | None,
) -> None:
    """Serve both to whom `door` lets read them."""

    def refusal() -> Response | None:
        scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
        bearer = secret.strip(" ") if scheme.lower() == "bearer" and secret else None
        if door.may_read_numbers(approach_of_request(), bearer):
            return None
        wants_token = door.policy.token is not None
        answer = jsonify(
            {
                "ok": False,
                "error": {
                    "code": "unauthorized",
                    "message": "Only the relay's operator may read this.",
                    "next": "Send Authorization: Bearer TOKEN, with the relay's TASKFERRY_OPS_TOKEN."
                    if wants_token
                    else "Ask on the relay's own machine by 127.0.0.1, or set TASKFERRY_OPS_TOKEN there.",
                },
            }
        )
        answer.status_code = 401 if wants_token else 403
        if wants_token:
            answer.headers["WWW-Authenticate"] = 'Bearer realm="relay operations"'
        answer.headers["Cache-Control"] = "no-store"
        return answer

    @app.get("/metrics")
    async def metrics() -> Response:
        refused = refusal()
        if refused is not None:
            return refused
        # Costs a relay that nobody watches neither the time nor the memory.
        from ...exposition import METRICS_TYPE
        from ..metrics import metrics_text

        text = metrics_text(
            meter, await snapshots.latest(), await snapshots.spread(), disk_of(database), spans
        )
        answer = Response(text, content_type=METRICS_TYPE)
        answer.headers["Cache-Control"] = "no-store"
        return answer

    @app.get("/v1/ops/status")
    async def ops_status() -> Response:
        refused = refusal()
        if refused is not None:
            return refused
        latest = await snapshots.latest()
        view = latest.overview
        answer = jsonify(
            {
                "ok": True,
                "status": latest.verdict.word,
                "connected_clients": latest.online,
                "store": {
                    "clients": view.accounts,
                    "agents": view.agents,
                    "public_agents": view.public_agents,
                    "invites": view.invites,
                    "connections": view.connections,
                    "queued_messages": view.accepted,
                    "pending_messages": view.waiting,
                },
                "suspended": view.suspended,
                "held": view.held,
                "queue_age_s": latest.queue_age_ms // 1000,
                "commit_ms": None if latest.commit_ms is None else round(latest.commit_ms, 1),
                "refusals": [
                    {"what": what, "code": code, "count": count}
                    for (what, code), count in sorted(meter.refusals.items())
                ],
                "limits": [
                    {
                        "name": row.limit.name,
                        "value": row.value,
                        "unit": row.limit.unit.value,
                        "source": row.source,
                        "used": row.used,
                    }
                    for row in gauges.rows(latest)
                ],
                "findings": [
                    {
                        "severity": finding.severity.name.lower(),
                        "text": finding.text,
                        "next": finding.next_step,
                    }
                    for finding in latest.findings
                ],
            }
        )
        answer.headers["Cache-Control"] = "no-store"
        return answer
