"""The page of devices: the owner's machines, the account's key; and no machine is taken in by a link."""

from __future__ import annotations

import re

import pytest

from tests.daemon.api.test_pages import DEVICE

from .browsing import ODD, fields_of, inert

PLACE = "/dashboard/devices"
CODE = "abcd-efgh-ijkm-npqr"
APPROVE = {"do": "approve", "code": CODE, "history": "all", "mine": "yes"}


async def phase(alice) -> str:
    """How a try to take a machine in stands."""
    return str((await alice.api.ok("GET", "/devices/link"))["phase"])


async def test_machines_are_listed(alice):
    """Which is this one, what it may, and what it serves."""
    text = await alice.page(PLACE)
    for words in ("laptop", "this one", "requester", "active", "taskferry backup", "not checked"):
        assert words in text
    assert "Put it out" not in text, "not the one that one sits at"


async def test_machine_is_renamed(alice):
    """On the page and for the command line; its name stays words."""
    (device,) = set(fields_of(await alice.page(PLACE), "device"))
    text = await alice.done(PLACE, "", do="rename", device=device, label="<b>kitchen</b>")
    assert "&lt;b&gt;kitchen&lt;/b&gt;" in text
    (held,) = (await alice.api.ok("GET", "/devices"))["devices"]
    assert held["label"] == "<b>kitchen</b>"
    assert (await alice.press(PLACE, "", do="rename", device=device, label=ODD)).status == 400


async def test_key_is_changed_when_asked(alice):
    """One more rotation."""
    await alice.done(PLACE, "", do="rotate")
    (held,) = (await alice.api.ok("GET", "/devices"))["devices"]
    assert held["rotations"] == 1


async def test_last_machine_is_not_put_out_by_mistake(alice):
    """Whatever form says so: agents and the account would be left without one."""
    (device,) = set(fields_of(await alice.page(PLACE), "device"))
    answer = await alice.press(PLACE, "", do="revoke", device=device)
    assert answer.status == 409
    assert b"no device would serve requester any more" in answer.raw


# --- The account's key


async def test_passphrase_is_set_used_and_locked(alice):
    """From open to locked, unlocked for a while, and locked again; the words stand on no page."""
    phrase = "four words of mine"
    text = await alice.done(PLACE, "", do="passphrase", new=phrase, again=phrase)
    assert ">locked</span>" in text
    refused = await alice.press("/dashboard/agents", "", do="create", name="writer")
    assert refused.status == 423, "nothing is signed meanwhile"
    wrong = await alice.press(PLACE, "", do="unlock", passphrase="something else", minutes="5")
    assert (wrong.status, b"That is not the passphrase." in wrong.raw) == (403, True)
    text = await alice.done(PLACE, "", do="unlock", passphrase=phrase, minutes="5")
    assert ">unlocked</span>" in text
    assert phrase not in text
    assert ">locked</span>" in await alice.done(PLACE, "", do="lock")


@pytest.mark.parametrize(
    "fields",
    [
        {"do": "passphrase", "new": "four words of mine", "again": "four words of yours"},
        {"do": "passphrase", "new": "short", "again": "short"},
        {"do": "passphrase"},
        {"do": "unlock", "passphrase": "x", "minutes": "9999"},
        {"do": "unlock", "passphrase": "x"},
        {"do": "spell", "device": "x"},
    ],
)
async def test_form_that_cannot_be_meant_changes_nothing(alice, fields):
    """The key stays open."""
    answer = await alice.press(PLACE, "", **fields)
    assert answer.status == 400
    assert (await alice.api.ok("GET", "/health"))["manage"] == "open"


# --- A link from elsewhere takes no machine in


async def test_no_address_puts_a_code_into_the_form(alice):
    """Whatever stands in it: the field is empty, and nothing is met."""
    for query in (f"?code={CODE}", f"?do=approve&code={CODE}&mine=yes&history=all&manage=yes", f"#{CODE}"):
        page = await alice.page(f"{PLACE}{query}".partition("#")[0])
        text = page[page.index('<main id="content">') :]
        assert CODE not in text.replace(f'placeholder="{CODE}"', "")
        assert fields_of(text, "code") == [""]
        assert re.search(r"<input[^>]*name=\"(?:mine|manage)\"[^>]*checked", text) is None
    assert await phase(alice) == "none"


async def test_page_of_a_new_machines_link_hands_its_code_to_no_form(alice):
    """The code of a link that somebody sent stands there to be read, and is typed by nobody but the owner."""
    held = await alice.api.ok("POST", "/links", {"link": DEVICE})
    text = inert(await alice.get(f"/connect/{held['id']}"))
    assert f'href="{PLACE}#link"' in text
    assert all(CODE not in tag for tag in re.findall(r"<(?:input|a|form|button)[^>]*>", text))
    assert await phase(alice) == "none"


async def test_code_alone_meets_nobody(alice):
    """Without the owner's word that the machine is theirs and before them."""
    for mine in ("", "no", "on"):
        answer = await alice.press(PLACE, "", **{**APPROVE, "mine": mine})
        assert answer.status == 400
        assert b"If somebody gave you the code, leave it" in answer.raw
    assert await phase(alice) == "none"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": None},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Content_Type": "text/plain"},
    ],
    ids=str,
)
async def test_other_sites_page_meets_nobody(alice, headers):
    """Not even with a form's token that it cannot have."""
    token = {"form_token": fields_of(await alice.page(PLACE), "form_token")[0]}
    answer = await alice.guests.browse("POST", PLACE, {**token, **APPROVE}, **headers)
    assert answer.status == 403
    assert (await alice.guests.browse("POST", PLACE, APPROVE)).status == 403
    assert await phase(alice) == "none"


async def test_page_cannot_be_shown_inside_another(alice):
    """Nobody puts the button under an innocent one."""
    answer = await alice.get(PLACE)
    assert answer.headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


async def test_words_for_no_try_do_nothing(alice):
    """A form that is late."""
    answer = await alice.press(PLACE, "", do="words", words="a b c", place="x", shown="d e f")
    assert answer.status == 409
    answer = await alice.press(PLACE, "", do="words", words="a b c", place="", shown="")
    assert answer.status == 409
