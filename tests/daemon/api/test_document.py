"""The OpenAPI document is valid, and describes exactly what is served."""

from __future__ import annotations

import re

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
