"""Home, status, metrics and the operator's status: what strangers and programs read of a relay."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from .test_ops_pages import served

TOKEN = "an operator's own token".replace(" ", "-").replace("'", "")


def samples(text):
    """Every sample of a scrape, by its name and labels."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_status_says_how_it_is_and_nothing_of_anybody(tmp_path):
    """Words for people, the same as JSON; no account's name, no number of accounts."""
    async with served(tmp_path) as site:
        page = await site.client.get("/status")
        assert page.status_code == 200
        assert "waits for its recipient" in page.text
        assert "owner0" not in page.text
        data = (await site.client.get("/status", headers={"Accept": "application/json"})).json()
        assert set(data) == {"status", "sentence", "version", "started_at", "commit_ms", "queue_age_s"}
        # On a busy machine it may well be slow, and says so.
        assert data["status"] in ("well", "slow")
        home = (await site.client.get("/")).text
        assert data["sentence"] in page.text
        assert data["sentence"] in home
        assert 'href="/community"' in home


@pytest.mark.parametrize(
    ("signup", "said"),
    [
        ("open", "Get a ticket"),
        ("ticket", "Ask this relay’s operator"),
        ("closed", "It takes no new accounts"),
    ],
)
async def test_home_shows_the_steps_of_this_relays_policy(tmp_path, signup, said):
    """Only what works here is offered."""
    async with served(tmp_path, signup=signup) as site:
        assert said in (await site.client.get("/")).text


async def test_programs_of_this_machine_read_the_numbers(tmp_path):
    """Prometheus' own parser reads them; the two agree; no label names anybody."""
    async with served(tmp_path) as site:
        scrape = await site.client.get("/metrics")
        assert scrape.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        found = samples(scrape.text)
        assert found["taskferry_relay_accounts",] == 55
        assert found["taskferry_relay_commit_seconds_bucket", ("le", "+Inf")] >= 0
        assert found["taskferry_relay_mailbox_entries_gcount",] == found["taskferry_relay_mailboxes_waiting",]
        full = found["taskferry_relay_mailbox_entries_bucket", ("le", "10000")]
        assert found["taskferry_relay_mailbox_entries_gcount",] >= full > 0
        assert found["taskferry_relay_mailbox_age_seconds_bucket", ("le", "2592000")] > 0
        assert "owner0" not in scrape.text
        status = (await site.client.get("/v1/ops/status")).json()
        assert status["store"]["clients"] == 55
        assert status["store"]["public_agents"] == found["taskferry_relay_public_agents",]
        assert status["store"]["pending_messages"] == found["taskferry_relay_waiting_entries",]
        assert status["connected_clients"] == 0


@pytest.mark.parametrize("path", ["/metrics", "/v1/ops/status"])
async def test_strangers_read_no_numbers(tmp_path, path):
    """Not by another name for this machine, nor a page of another origin; with a next step."""
    async with served(tmp_path) as site:
        for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
            answer = await site.client.get(path, headers=headers)
            assert answer.status_code == 403
            assert answer.json()["error"]["code"] == "unauthorized"


@pytest.mark.parametrize("path", ["/metrics", "/v1/ops/status"])
async def test_behind_a_proxy_only_the_token_reads_them(tmp_path, path):
    """A proxy's requests come from this machine too, so without a token nobody does."""
    public = {"origins": "wss://relay.example"}
    async with served(tmp_path, **public) as site:
        assert (await site.client.get(path)).status_code == 403
    (tmp_path / "two").mkdir()
    async with served(tmp_path / "two", ops_token=TOKEN, **public) as site:
        assert (await site.client.get(path)).status_code == 401
        for wrong in (f"Bearer {TOKEN}x", "Bearer", f"Basic {TOKEN}", TOKEN):
            refused = await site.client.get(path, headers={"Authorization": wrong})
            assert refused.status_code == 401
            assert refused.headers["WWW-Authenticate"].startswith("Bearer")
        good = await site.client.get(path, headers={"Authorization": f"Bearer {TOKEN}"})
        assert good.status_code == 200
    (tmp_path / "three").mkdir()
    async with served(tmp_path / "three", trusted_proxies="127.0.0.1", **public) as site:
        assert (await site.client.get(path)).status_code == 200
        forwarded = await site.client.get(path, headers={"X-Forwarded-For": "203.0.113.9"})
        assert forwarded.status_code == 403
