"""Opening a page of the daemon in the owner's browser: by a one-time address, which no page keeps.

The address is seen by other users of this machine while the browser starts, as every argument is. It opens
nothing for them: the daemon asks the system whose browser it is, and the address works once.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from ..others_environment import without_ours
from .daemon_link import is_json_wanted, print_json

if TYPE_CHECKING:
    from ..local_client import LocalClient

__all__ = ["has_desktop", "show_page"]


def has_desktop() -> bool:
    """Whether a browser can be opened for whoever sits here."""
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def show_page(daemon: LocalClient, page: str, *, opened: str, start: bool = True) -> None:
    """Open `page` and say `opened`; where no browser is started, or with --json, print the address."""
    way_in = daemon.post("/browser/sign-in", {"to": page})
    url = f"{daemon.url.rstrip('/')}{way_in['path']}"
    if is_json_wanted():
        print_json({"ok": True, "url": url, "expires_at": way_in["expires_at"]})
        return
    if start and _starts_browser(url):
        click.echo(opened)
        return
    why = "No browser could be started. Open this in one" if start else "Open this in your browser"
    click.echo(f"{why}, within two minutes; it works once:\n\n    {url}\n")


def _starts_browser(url: str) -> bool:
    """Whether a browser was started; none of our settings are handed on to it, as it keeps what it has."""
    import webbrowser

    ours = os.environ.keys() - without_ours(os.environ).keys()
    kept = {name: os.environ.pop(name) for name in ours}
    try:
        return webbrowser.open(url)
    finally:
        os.environ.update(kept)
