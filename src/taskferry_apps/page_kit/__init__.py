"""What the pages of relay and daemon share: how templates are made, the look, the mark.

Each app's pages are a package with a folder `templates` and a folder `assets`. Its own `pages.css` follows
`base.css` here, and its own files stand beside the shared ones. `words` is how times, sizes, states and
others' texts are written on any of them.
"""

from __future__ import annotations

import functools
from importlib import resources
from types import CodeType
from typing import Final

import jinja2
from jinja2.bccache import Bucket, BytecodeCache

from .words import FILTERS

__all__ = ["asset_of", "environment_of"]

_STYLE = "pages.css"
_SHARED = ("mark.svg",)
_VENDORED = ("htmx.min.js", "idiomorph-ext.min.js")


class _Compiled(BytecodeCache):
    """What Jinja has made of templates, by their names and texts."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], CodeType] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._kept.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        if bucket.code is not None:
            self._kept[bucket.key, bucket.checksum] = bucket.code


#: To compile a template takes 7 ms, and a process may serve more than one application.
_COMPILED: Final = _Compiled()


def environment_of(package: str) -> jinja2.Environment:
    """The templates of a package: escaped by themselves, and a name that nobody gave is an error."""
    environment = jinja2.Environment(
        loader=jinja2.DictLoader(_templates_of(package)),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        bytecode_cache=_COMPILED,
    )
    environment.filters.update(FILTERS)
    return environment


@functools.cache
def _templates_of(package: str) -> dict[str, str]:
    return {
        file.name: file.read_text("utf-8")
        for file in (resources.files(package) / "templates").iterdir()
        if file.name.endswith(".html")
    }


@functools.cache
def asset_of(package: str, name: str) -> bytes:
    """A file that the pages of a package use. Raises FileNotFoundError."""
    shared = resources.files(__package__)
    if name in _SHARED:
        return (shared / name).read_bytes()
    if name in _VENDORED:
        return (shared / "vendor" / name).read_bytes()
    own = (resources.files(package) / "assets" / name).read_bytes()
    return (shared / "base.css").read_bytes() + own if name == _STYLE else own
