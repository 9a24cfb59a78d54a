"""The home page and `/status`: what this relay is, how to join, and whether it is well. For strangers."""

from __future__ import annotations

from typing import Final

from quart import Response, jsonify
from quart_trio import QuartTrio

from ...release import version
from ..meter import Meter
from ..sign_up_desk import Offer
from ..snapshot import Snapshots
from . import Pages, wants_json
from .words import machine

__all__ = ["mount_front"]

#: Below it nobody notices a wait.
_PROMPT_MS: Final = 50.0


def mount_front(app: QuartTrio, pages: Pages, snapshots: Snapshots, meter: Meter, offer: Offer) -> None:
    """Serve both. Neither says anything of an account."""

    @app.get("/")
    async def home() -> Response:
        latest = await snapshots.latest()
        return pages.render("home.html", latest=latest, started=meter.started, offer=offer.value)

    @app.get("/status")
    async def status() -> Response:
        latest = await snapshots.latest()
        code = 503 if latest.verdict.word == "stopping" else 200
        if wants_json():
            answer = jsonify(
                {
                    "status": latest.verdict.word,
                    "sentence": latest.verdict.sentence,
                    "version": version(),
                    "started_at": machine(meter.started),
                    "commit_ms": None if latest.commit_ms is None else round(latest.commit_ms, 1),
                    "queue_age_s": latest.queue_age_ms // 1000,
                }
            )
            answer.status_code = code
            answer.headers["Cache-Control"] = "no-store"
            return answer
        return pages.render(
            "status.html",
            status=code,
            latest=latest,
            started=meter.started,
            version=version(),
            speed=_speed(latest.commit_ms),
        )


def _speed(commit_ms: float | None) -> str:
    if commit_ms is None:
        return "Nothing was written since it started."
    if commit_ms <= _PROMPT_MS:
        return "What it is handed is safe on disk at once."
    return f"What it is handed is safe on disk within {commit_ms:.0f} thousandths of a second."
