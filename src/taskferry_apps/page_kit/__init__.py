"""What the pages of relay and daemon share: how templates are made, the look, the mark.

Each app's pages are a package with a folder `templates` and a folder `assets`. Its own `pages.css` follows
`base.css` here, and its own files stand beside the shared ones. `words` is how times, sizes, states and
others' texts are written on any of them.
"""

from __future__ import annotations

from importlib import resources

import jinja2

from .words import FILTERS

__all__ = ["asset_of", "environment_of"]

_STYLE = "pages.css"
_SHARED = ("mark.svg",)
_VENDORED = ("htmx.min.js", "idiomorph-ext.min.js")


def environment_of(package: str) -> jinja2.Environment:
    """The templates of a package: escaped by themselves, and a name that nobody gave is an error."""
    templates = {
        file.name: file.read_text("utf-8")
        for file in (resources.files(package) / "templates").iterdir()
        if file.name.endswith(".html")
    }
    environment = jinja2.Environment(
        loader=jinja2.DictLoader(templates),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS)
    return environment


def asset_of(package: str, name: str) -> bytes:
    """A file that the pages of a package use. Raises FileNotFoundError."""
    shared = resources.files(__package__)
    if name in _SHARED:
        return (shared / name).read_bytes()
    if name in _VENDORED:
        return (shared / "vendor" / name).read_bytes()
    own = (resources.files(package) / "assets" / name).read_bytes()
    return (shared / "base.css").read_bytes() + own if name == _STYLE else own
