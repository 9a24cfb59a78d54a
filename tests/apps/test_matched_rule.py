"""Routes are matched and not built: what makes an application quickly."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from quart_trio import QuartTrio
from werkzeug.routing import IntegerConverter
from werkzeug.routing.rules import Rule, RulePart

from taskferry_apps.matched_rule import MatchedRule


async def test_a_route_is_found_and_no_address_is_made_of_it() -> None:
    """Its variables are read as ever; whoever asks for its address is told that there is none to be had."""
    app = QuartTrio(__name__, static_folder=None)
    app.url_rule_class = MatchedRule

    @app.get("/things/<code>/<int:number>")
    async def thing(code: str, number: int) -> str:
        return f"{code} {number}"

    answer = await app.test_client().get("/things/a%20b/7")
    assert await answer.get_data(as_text=True) == "a b 7"
    assert (await app.test_client().get("/things/a/b")).status_code == 404
    with pytest.raises(NotImplementedError):
        app.url_map.bind("x").build("thing", {"code": "a", "number": 7})


async def test_applications_know_from_each_other_what_stands_in_a_route(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only the first reads its text; each answers by its own function."""
    read: list[str] = []
    read_rule = Rule._parse_rule

    def noted(rule: Rule, text: str) -> Iterable[RulePart]:
        read.append(text)
        return read_rule(rule, text)

    monkeypatch.setattr(Rule, "_parse_rule", noted)
    for name in ("first", "second"):
        app = QuartTrio(__name__, static_folder=None)
        app.url_rule_class = MatchedRule

        @app.get("/known/<code>/<int:number>", endpoint=name)
        async def known(code: str, number: int, name: str = name) -> str:
            return f"{name} {code} {number}"

        answer = await app.test_client().get("/known/a/7")
        assert await answer.get_data(as_text=True) == f"{name} a 7"
    assert read == ["/known/<code>/<int:number>"]


async def test_a_route_whose_words_mean_something_else_is_read_anew() -> None:
    """One text with converters of another kind, or with defaults, is another route."""

    class Halved(IntegerConverter):
        def to_python(self, value: str) -> int:
            return int(super().to_python(value)) // 2

    found = []
    for converter, defaults in ((IntegerConverter, None), (Halved, None), (Halved, {"more": 1})):
        app = QuartTrio(__name__, static_folder=None)
        app.url_rule_class = MatchedRule
        app.url_map.converters["int"] = converter

        @app.get("/same/<int:number>", defaults=defaults)
        async def same(number: int, more: int = 0) -> str:
            return f"{number} {more}"

        found.append(await (await app.test_client().get("/same/8")).get_data(as_text=True))
    assert found == ["8 0", "4 0", "4 1"]
