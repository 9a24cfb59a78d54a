"""Strangers with whole networks: none of them uses up what is everybody's."""

from __future__ import annotations

import ipaddress

import pytest

from taskferry_apps.relay import sign_up_desk
from taskferry_apps.relay.hourly import HOUR_MS
from taskferry_apps.relay.networks import networks_of
from taskferry_apps.relay.sign_up_desk import MAILS_IN_ALL
from taskferry_apps.relay.sign_ups import Allowance, SignUpBudget
from taskferry_apps.settings import RelaySettings
from taskferry_protocol.errors import EnvelopeRejected
from taskferry_protocol.ids import Instant

from .post_office import post_office
from .test_sign_up import by_mail, site_of

NOON = Instant(500_000 * HOUR_MS)
USUAL = Allowance.of(RelaySettings().signups_per_hour)


def tries(budget, network: str, step: int, most: int = 2_000) -> int:
    """How many tries come through from the addresses of a network, `step` apart, one after the other."""
    whole, taken = ipaddress.ip_network(network), 0
    for number in range(most):
        try:
            budget.spend(str(whole[number * step % whole.num_addresses]), NOON)
        except EnvelopeRejected:
            continue
        taken += 1
    return taken


@pytest.mark.parametrize(
    ("network", "step", "most"),
    [
        ("2001:db8:1::/48", 1 << 64, USUAL.site),
        ("2001:db8::/32", 1 << 80, USUAL.provider),
        ("192.0.2.0/24", 1, USUAL.site),
        ("198.51.0.0/16", 32, USUAL.provider),
    ],
)
def test_a_whole_network_gets_a_share_of_what_is_everybodys(network, step, most):
    """However many addresses its holder goes through: most of the hour's mails are left for others."""
    budget = SignUpBudget(USUAL)
    assert tries(budget, network, step) == most
    assert most < MAILS_IN_ALL / 2
    budget.spend("2001:db9::1", NOON)
    budget.spend("203.0.113.1", NOON)


def test_tries_that_were_refused_count_for_nobody_else():
    """One address that goes on and on beyond its own uses up nothing of its neighbours'."""
    budget = SignUpBudget(Allowance(2, 4, 8))
    assert tries(budget, "2001:db8::/128", 0, 50) == 2
    assert tries(budget, "2001:db8:0:1::/128", 0, 50) == 2
    assert tries(budget, "2001:db8:0:2::/128", 0, 50) == 0
    assert tries(budget, "2001:db8:1::/128", 0, 50) == 2


def test_a_refusal_names_the_hour_and_the_next_one_begins_anew():
    """Who is refused hears when to come back, and gets in then."""
    budget = SignUpBudget(Allowance(1, 1, 1))
    budget.spend("2001:db8::1", NOON)
    with pytest.raises(EnvelopeRejected) as refused:
        budget.spend("2001:db8:0:1::1", Instant(NOON + 1))
    assert refused.value.detail == {"retry_after": HOUR_MS - 1}
    budget.spend("2001:db8:0:1::1", Instant(NOON + HOUR_MS))


@pytest.mark.parametrize("text", ["", "unix", "localhost", "999.1.1.1", "192.0.2.1\n"])
def test_what_is_no_address_is_counted_as_itself(text):
    """Whatever a server writes there, nothing breaks."""
    networks = networks_of(text)
    assert networks.customer == networks.provider


def test_an_address_is_counted_alike_however_it_is_written():
    """IPv4 inside IPv6 is the IPv4 address, and a zone is no part of one."""
    assert networks_of("::ffff:192.0.2.1") == networks_of("192.0.2.1")
    assert networks_of("fe80::1%eth0") == networks_of("fe80::1")


async def test_the_holder_of_a_provider_cannot_use_up_everybodys_mails(store, monkeypatch):
    """Each mail goes to another address, each try comes from another site: others get theirs all the same."""
    monkeypatch.setattr(sign_up_desk, "MAILS_IN_ALL", 8)
    values = {"signups_per_hour": "2", "signups_per_site": "3", "signups_per_provider": "5"}
    async with post_office() as office:
        relay = by_mail(office, trusted_proxies="127.0.0.1", **values)
        async with site_of(relay, store) as site:
            pages = [
                await site.ask(
                    "alice", f"ada{n}@example.org", **{"X-Forwarded-For": f"2001:db8:{n // 4:x}:{n:x}::1"}
                )
                for n in range(40)
            ]
            assert [page.status_code for page in pages].count(202) == 5
            assert "network" in pages[-1].text
            others = await site.ask("bob", "bob@example.org", **{"X-Forwarded-For": "2001:db9::1"})
            assert others.status_code == 202
