"""`taskferry dashboard`: let the browser of whoever sits here in to the daemon's pages, once."""

from __future__ import annotations

import click

from .daemon_link import daemon_options, is_json_wanted, json_option, local_client, print_json
from .way_in import has_desktop, show_page

__all__ = ["dashboard"]


@click.command("dashboard")
@click.argument("room", default="")
@click.option("--browser/--no-browser", default=None, help="Open your browser, or only print the address.")
@click.option("--sign-out-everywhere", is_flag=True, help="Close every page that is signed in now.")
@json_option
@daemon_options
def dashboard(room: str, browser: bool | None, sign_out_everywhere: bool) -> None:
    """Open the dashboard in your browser; ROOM is where to begin, such as tasks or connections.

    The address works once and within two minutes; what it begins is closed after half an hour without a
    page, and after twelve hours in any case.

    \b
    Examples:
      taskferry dashboard
      taskferry dashboard waiting
      taskferry dashboard --no-browser
      taskferry dashboard --sign-out-everywhere
    """
    with local_client() as daemon:
        if sign_out_everywhere:
            answer = daemon.delete("/browser/sessions")
            if is_json_wanted():
                print_json(answer)
            else:
                click.echo("Signed out everywhere. Pages that are open show nothing new.")
            return
        page = "/dashboard" + (f"/{room.strip('/').removeprefix('dashboard/')}" if room else "")
        show_page(
            daemon,
            page,
            opened="Your browser shows the dashboard.",
            start=browser if browser is not None else has_desktop() and not is_json_wanted(),
        )
