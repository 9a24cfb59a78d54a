"""The OpenAPI document is valid, and describes exactly what is served."""

from __future__ import annotations

import re
from pathlib import Path

from openapi_spec_validator import validate

from taskferry_apps.daemon.api.routes import ROUTES
from taskferry_apps.daemon.api.table import Access
from taskferry_apps.daemon.pages import PAGES

from .house import DOCUMENT


def test_the_document_is_openapi_3_1():
    """An independent validator takes it."""
    validate(DOCUMENT)
    assert DOCUMENT["openapi"] == "3.1.0"


async def test_the_document_describes_what_is_registered_and_nothing_else(house):
    """Paths and methods of the application's own map equal those of the document, beside pages for people."""
    served = {
        (method, re.sub(r"<([^>]+)>", r"{\1}", rule.rule))
        for rule in house.alice.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD"}
    }
    described = {
        (method.upper(), path) for path, operations in DOCUMENT["paths"].items() for method in operations
    }
    pages = {(method, re.sub(r"<([^>]+)>", r"{\1}", rule)) for method, rule in PAGES}
    # For Prometheus, in its own format and by a token of its own: no part of what the document describes.
    numbers = {("GET", "/metrics")}
    assert served == described | pages | numbers
    assert not described & pages
    assert len(described) == len(ROUTES)


def test_the_page_on_the_api_lists_what_is_served():
    """Every path and method stands in its table or its text, and the table has no other."""
    page = (Path(__file__).parents[3] / "docs" / "local-api.md").read_text("utf-8")
    table = page.partition("| method and path | who | what |")[2].partition("\n\n")[0]
    listed = {path for row in table.splitlines()[2:] for path in _paths(row.split("|")[1])}
    said = {path for code in re.findall(r"`([A-Z]+ /[^`]*)`", page) for path in _paths(f"`{code}`")}
    described = {
        (method.upper(), re.sub(r"{\w+}", "{}", path))
        for path, operations in DOCUMENT["paths"].items()
        for method in operations
    }
    assert described <= listed | said
    assert listed - described == {("", "/mcp"), ("", "/mcp/stdio")}


def _paths(cell: str) -> set[tuple[str, str]]:
    """What a cell of the table lists, where each entry leaves out what it has like the one before."""
    method, path, found = "", "", set()
    for entry in re.findall(r"`([^`]+)`", cell):
        first, _, rest = entry.partition(" ")
        if first.isupper():
            method, path = first, rest or path
        elif first.startswith("/"):
            path = first
        else:
            path = f"{path.rpartition('/')[0]}/{first}"
        found.add((method, re.sub(r"{\w+}", "{}", path.partition("?")[0])))
    return found


def test_only_two_paths_are_open_to_anybody():
    """Everything but health and the document itself demands a credential."""
    assert {route.path for route in ROUTES if route.access is Access.ANYBODY} == {"/health", "/openapi.json"}


def test_every_body_is_closed_and_every_field_described():
    """No body takes unknown fields, and each field says what it is for."""
    for route in ROUTES:
        if route.body is not None:
            schema = route.body.schema
            assert schema["additionalProperties"] is False
            assert all(member["description"] for member in schema["properties"].values())
        assert route.about


async def test_the_document_is_served_with_the_version(house):
    """What is served is the document, with the running version in it."""
    served = await house.alice.ok("GET", "/openapi.json")
    assert served["paths"] == DOCUMENT["paths"]
    assert served["info"]["version"] == (await house.alice.ok("GET", "/health"))["version"]
