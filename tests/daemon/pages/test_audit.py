"""The page of the audit log: sentences, filters, pages of it, whether it holds, and its export."""

from __future__ import annotations

from urllib.parse import quote

from taskferry_apps.daemon.pages import audit
from taskferry_protocol.audit import AuditKind, read_audit_export

from .browsing import ODD

PLACE = "/dashboard/audit"


def test_every_kind_can_be_asked_for():
    """Each stands in one group."""
    listed = [kind for _, kinds in audit._GROUPS for kind in kinds]
    assert sorted(listed) == sorted(AuditKind)


async def test_entries_are_sentences(alice):
    """As the command line says them."""
    text = await alice.page(PLACE)
    assert "The account @alice was set up here, for the relay" in text
    assert "A browser was let in to your pages (/dashboard)." in text


async def test_entries_are_found_by_kind_and_subject(alice):
    """Both together, in any case of letters; a kind that is none is as if nobody asked for it."""
    await alice.api.ok("POST", "/agents", {"handle": "writer"})
    await alice.api.ok("POST", "/tokens", {"agents": ["writer"], "label": "Kitchen"})
    await alice.api.ok("POST", "/tokens", {"agents": ["requester"], "label": "Hall"})
    text = await alice.page(f"{PLACE}?kind=credential_made&subject=kitchen")
    assert "Kitchen" in text
    assert "Hall" not in text
    assert "was set up here" not in text
    assert "was set up here" in await alice.page(f"{PLACE}?kind=nonsense")
    assert "Nothing of that is written down." in await alice.page(f"{PLACE}?subject=zzz")


async def test_list_goes_on_page_by_page(alice):
    """Every entry once, also while a subject is looked for."""
    for n in range(60):
        await alice.api.ok("POST", "/tokens", {"agents": ["requester"], "label": f"n{n:03}"})
    for query in ("", "subject=requester&"):
        seen, path = "", f"{PLACE}?{query}"
        pages = 0
        while path:
            text = await alice.page(path)
            seen, pages = seen + text, pages + 1
            mark = 'class="button quiet" href="'
            _, _, rest = text.partition('<p class="more">')
            path = rest.partition(mark)[2].partition('"')[0].replace("&amp;", "&") if rest else ""
        assert pages >= 2
        assert all(seen.count(f"&#34;n{n:03}&#34;") == 1 for n in range(60))


async def test_bad_cursor_is_refused_in_words(alice):
    """Not with a fault."""
    assert (await alice.get(f"{PLACE}?cursor=x")).status == 400


async def test_log_is_checked_when_asked(alice):
    """Once for each time the owner asks: a page that reloads itself keeps what was found."""
    text = await alice.page(f"{PLACE}/check")
    assert ">holds</span>" in text
    assert (await alice.get(f"{PLACE}/check", HX_Request="true")).status == 204


async def test_export_is_a_file_that_holds(alice):
    """And is written down, so it is a button and no address."""
    answer = await alice.press(f"{PLACE}/export", PLACE, do="export")
    assert answer.status == 200
    assert answer.headers["content-disposition"].startswith("attachment")
    assert read_audit_export(answer.raw).chain.head.n > 0
    assert (await alice.get(f"{PLACE}/export")).status == 405
    assert "You exported the audit log." in await alice.page(PLACE)


async def test_facts_of_others_stay_words(alice):
    """In the sentence, and in the field that they were looked for with."""
    await alice.api.ok("POST", "/tokens", {"agents": ["requester"], "label": ODD[:60]})
    text = await alice.page(f"{PLACE}?subject={quote('<script>')}")
    assert "&lt;script&gt;alert(1)" in text
    assert 'value="&lt;script&gt;"' in text
