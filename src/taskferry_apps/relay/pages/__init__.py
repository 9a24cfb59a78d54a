"""The relay's pages for people: small templates, one stylesheet and one script, all from this package.

They work without JavaScript, load nothing from elsewhere, and are told where they live by the operator:
a link never comes from the `Host` header. `Pages.render` makes a page, `Pages.mount` serves what all share.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

import attrs
from quart import Response, has_request_context, request, websocket
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from taskferry_protocol.ids import sha256

from ...page_kit import asset_of, environment_of
from ..refusals import PROGRAMS, refused_json
from .words import FILTERS

__all__ = ["SECURITY_HEADERS", "Pages", "PublicAddress", "wants_json"]

#: On every answer of the relay's HTTP face. Scripts and styles come from files of the relay alone.
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_ASSETS: Final = {
    "pages.css": "text/css",
    "copy.js": "text/javascript",
    "invite.js": "text/javascript",
    "mark.svg": "image/svg+xml",
}
_DAY_S: Final = 86_400
#: What a page says of a status that a browser may run into; the rest get the last line.
_FAULTS: Final = {
    404: ("There is nothing here", "The address may be mistyped, or what it named is over."),
    405: ("That is not how this page is used", "Go back, and use the form or the button on it."),
    413: ("That is too much at once", "Send less."),
}
_FAULT: Final = ("That did not work", "Try again in a moment; if it goes on, tell the relay's operator.")


@attrs.frozen
class PublicAddress:
    """Where people and daemons reach this relay, as its operator wrote it down: `https://relay.example`."""

    url: str

    @property
    def authority(self) -> str:
        """Host, and port unless it is the scheme's own, as links beginning with `taskferry://` name it."""
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        name = f"[{host}]" if ":" in host else host
        usual = 443 if parts.scheme == "https" else 80
        return name if parts.port in (None, usual) else f"{name}:{parts.port}"

    @property
    def path(self) -> str:
        """What stands before every path of the relay, behind a proxy that serves more."""
        return urlsplit(self.url).path.rstrip("/")

    @property
    def origin(self) -> str:
        """Scheme, host and port as a browser names the origin of a page."""
        return f"{urlsplit(self.url).scheme}://{self.authority}"


class Pages:
    """Renders the relay's pages. `reachable_at` says where they are, once that is known."""

    def __init__(self, address: PublicAddress | None = None) -> None:
        self._address = address or PublicAddress("http://localhost")
        self._environment = environment_of(__name__)
        self._assets = {name: asset_of(__name__, name) for name in _ASSETS}
        # A new version of a file has a new address, so that browsers may keep the old one.
        version = sha256(b"".join(self._assets.values())).hex()[:12]
        self._environment.filters.update(FILTERS)
        self._environment.globals.update(
            version=version, sign_up_here=False, sign_up_closed=True, by_mail=False, community=False
        )

    @property
    def address(self) -> PublicAddress:
        """Where the relay is reached."""
        return self._address

    def reachable_at(self, address: PublicAddress) -> None:
        """Make links to this address from now on."""
        self._address = address

    def show_always(self, **values: object) -> None:
        """Values that every template may use."""
        self._environment.globals.update(values)

    def render(self, template: str, *, status: int = 200, **values: object) -> Response:
        """A page from `templates/`, never kept by a browser: it may hold what is shown once."""
        where = {"relay": self._address, "base": self._address.path}
        text = self._environment.get_template(template).render(**{**where, **values})
        response = Response(text, status, content_type="text/html; charset=utf-8")
        response.headers["Cache-Control"] = "no-store"
        return response

    def fault(self, status: int, title: str, text: str) -> Response:
        """A page that says what went wrong, and what to do."""
        return self.render("fault.html", status=status, title=title, text=text)

    def mount(self, app: QuartTrio) -> None:
        """Serve the files that pages use; secure and explain every answer."""

        @app.get("/assets/<name>")
        async def asset(name: str) -> Response:
            if name not in _ASSETS:
                return self.fault(404, *_FAULTS[404])
            response = Response(self._assets[name], content_type=f"{_ASSETS[name]}; charset=utf-8")
            response.headers["Cache-Control"] = f"public, max-age={_DAY_S}"
            return response

        async def explain(error: HTTPException) -> Response:
            status = error.code or 500
            title, text = _FAULTS.get(status, _FAULT)
            # Whoever asks for a WebSocket is a program, and makes no request that Quart calls one.
            asked = request if has_request_context() else websocket
            if asked.path.startswith(PROGRAMS) or not has_request_context():
                name = (error.name or "refused").lower().replace(" ", "-")
                next_step = f"What is served is told by GET {asked.root_path}/openapi.json"
                response = refused_json(status, name, f"{title}.", next_step)
            else:
                response = self.fault(status, title, text)
            for name, value in error.get_headers():
                if name.lower() in ("allow", "retry-after"):
                    response.headers[name] = value
            return response

        async def secure(response: Response) -> Response:
            for name, value in SECURITY_HEADERS.items():
                response.headers.setdefault(name, value)
            return response

        app.register_error_handler(HTTPException, explain)
        app.after_request(secure)


def wants_json() -> bool:
    """Whether the request under way asks for JSON rather than for a page."""
    best = request.accept_mimetypes.best_match(["text/html", "application/json"], default="text/html")
    return best == "application/json"
