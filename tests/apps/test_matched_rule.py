"""Routes are matched and not built: what makes an application quickly."""

from __future__ import annotations

import pytest
from quart_trio import QuartTrio

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
