"""Making pages of templates, each with the headers that keep other pages out of it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import jinja2
from quart import Response

from ..port import DaemonRefusal

__all__ = ["Sheet"]

#: No script, no frame, nothing from elsewhere.
_POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
#: Of pages that load themselves anew: this daemon's own scripts, and what they ask this daemon for.
_LIVE_POLICY: Final = f"{_POLICY}; script-src 'self'; connect-src 'self'"


class Sheet:
    """Renders templates. The headers that are on every answer of the daemon are added elsewhere."""

    def __init__(self, environment: jinja2.Environment) -> None:
        self._environment = environment

    def show_always(self, **values: object) -> None:
        """Values that every template may use."""
        self._environment.globals.update(values)

    def render(
        self, template: str, *, status: int = 200, is_live: bool = False, **values: object
    ) -> Response:
        """A page; one that is live runs the scripts of this package."""
        text = self._environment.get_template(template).render(**{"visitor": None, **values})
        response = Response(text, status, content_type="text/html; charset=utf-8")
        response.headers["Content-Security-Policy"] = _LIVE_POLICY if is_live else _POLICY
        # With `no-referrer` browsers say `Origin: null` on this page's own forms.
        response.headers["Referrer-Policy"] = "same-origin"
        return response

    def refusal(self, refusal: DaemonRefusal, *, partly: bool = False) -> Response:
        """What was refused, and what to do next; `partly` says that something of it lasts already."""
        return self.render(
            "refusal.html",
            status=refusal.status,
            message=refusal.message,
            next_step=refusal.next_step,
            is_signed_in=refusal.status not in (401, 403),
            nothing_done=not partly and refusal.status < HTTPStatus.INTERNAL_SERVER_ERROR,
        )
