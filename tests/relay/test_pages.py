"""The relay's pages: what every one of them promises to whoever opens it."""

from __future__ import annotations

import re

import httpx
import pytest

from taskferry_apps.relay.pages import SECURITY_HEADERS, Pages, PublicAddress

from .process import running


@pytest.fixture
async def site(tmp_path):
    """A client of a real relay's pages."""
    async with running(tmp_path) as relay, httpx.AsyncClient(base_url=relay.url) as client:
        yield client


async def test_every_answer_is_guarded(site):
    """Pages, files, JSON and faults alike forbid foreign scripts, frames and guesses at their type."""
    for path in ("/", "/health", "/assets/pages.css", "/assets/copy.js", "/assets/mark.svg", "/nothing"):
        answer = await site.get(path)
        for name, value in SECURITY_HEADERS.items():
            assert answer.headers[name] == value, path


async def test_a_page_loads_only_what_the_relay_serves(site):
    """No foreign address, no inline script and no inline style; every file that it names is there."""
    page = (await site.get("/")).text
    found = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert found
    for address in found:
        if address.startswith("#"):
            assert f'id="{address[1:]}"' in page
            continue
        assert address.startswith("/")
        assert not address.startswith("//")
        assert (await site.get(address)).status_code == 200, address
    assert re.search(r"<script(?![^>]*src=)|<style|style=|\son[a-z]+=", page) is None


async def test_a_wrong_address_gets_a_page(site):
    """Not found and wrong method say so in words, and their status is true."""
    missing = await site.get("/assets/../relay.db")
    assert missing.status_code == 404
    assert "There is nothing here" in missing.text
    wrong = await site.post("/")
    assert wrong.status_code == 405
    assert "GET" in wrong.headers["Allow"]


async def test_the_host_header_makes_no_link(site):
    """Whatever a request calls the relay, its pages call it what its operator did."""
    page = await site.get("/", headers={"Host": "evil.example"})
    assert page.status_code == 200
    assert "evil.example" not in page.text


@pytest.mark.parametrize(
    ("url", "authority", "path"),
    [
        ("https://relay.example", "relay.example", ""),
        ("https://relay.example:443/", "relay.example", ""),
        ("https://relay.example:8443/ferry", "relay.example:8443", "/ferry"),
        ("http://[::1]:8080", "[::1]:8080", ""),
    ],
)
def test_public_address_parts(url, authority, path):
    """Links name host and port, unless it is the usual one; paths keep what stands before them."""
    address = PublicAddress(url)
    assert (address.authority, address.path) == (authority, path)


def test_values_are_escaped():
    """What somebody typed cannot become markup."""
    pages = Pages()
    text = pages._environment.get_template("fault.html").render(
        relay=pages.address, base="", title="<script>", text='"><b>'
    )
    assert "<script>" not in text
    assert "<b>" not in text
