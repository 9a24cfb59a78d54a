"""Account logs, cards, connections, grants and invites."""

import hashlib

from taskferry_protocol.accounts import LogRelation, admits_device, compare, fold
from taskferry_protocol.cards import read_card
from taskferry_protocol.connections import read_accept, read_end, read_request
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.ids import AccountId, AgentRef, LogPosition
from taskferry_protocol.invites import (
    InviteLink,
    InviteStanding,
    check_invite,
    check_invite_use,
    invite_mac,
    read_invite,
)
from taskferry_protocol.messages import InviteProof, MessageClass
from taskferry_protocol.permissions import (
    check_grant_for,
    newer_grant,
    permits,
    read_grant,
    read_terms,
    stricter_terms,
)
from tests.spec.runners.inputs import raw, raws


def folded(items):
    """The log of some statements in hex."""
    return fold(raws(items))


def state_json(state):
    """A state as vectors write it."""
    return {
        "account": state.account.hex(),
        "name": state.name,
        "length": state.length,
        "head": state.head.hex(),
        "recovery": state.recovery.hex(),
        "devices": [
            {
                "id": device.record.id.hex(),
                "enc": [1, device.record.enc.hex()],
                "label": device.record.label,
                "manage": device.record.manage and device.record.manage.hex(),
                "status": device.status.value,
                "since": device.since,
                "until": device.ended,
                "former": [{"enc": enc.hex(), "replaced_at": at} for enc, at in device.former],
            }
            for _, device in sorted(state.devices.items())
        ],
        "agents": {name: [key.hex() for key in ids] for name, ids in sorted(state.agents.items())},
    }


def run_account_log(vector):
    """Fold, at once and statement by statement; both come to the state expected."""
    log = folded(vector["input"])
    assert state_json(log.state) == vector["decoded"]
    grown = folded(vector["input"][:1])
    for statement in raws(vector["input"][1:]):
        grown = grown.extend([statement])
    assert grown.state == log.state


def run_account_compare(vector):
    """Two logs of one name."""
    relation = compare(folded(vector["pinned"]), folded(vector["offered"]))
    if relation is LogRelation.FORKED:
        raise RemoteProtocolError(RejectCode.FORKED)
    assert relation.value == vector["decoded"]["relation"]


def run_account_position(vector):
    """Whether a device counts that quotes a position."""
    length, head = vector["position"]
    quoted = LogPosition(length, raw(head))
    admits_device(folded(vector["statements"]), raw(vector["device"]), quoted)


def run_card(vector):
    """One card."""
    read_card(raw(vector["input"]), folded(vector["statements"]))


def run_connection_request(vector):
    """A request against the log of the one who asks."""
    data = raw(vector["input"])
    assert read_request(data, folded(vector["logs"][vector["signer"]])).raw == data


def against_request(read):
    """A runner of what is read against a request."""

    def run(vector):
        """A later statement of the same connection."""
        request = read_request(raw(vector["request"]), folded(vector["logs"]["ada"]))
        data = raw(vector["input"])
        assert read(data, folded(vector["logs"][vector["signer"]]), request).raw == data

    return run


def in_force(grants, log, request):
    """The grant that counts after some came one after the other."""
    held = None
    for offered in grants:
        grant = read_grant(offered, log)
        check_grant_for(grant, request)
        held = newer_grant(held, grant)
    return held


def run_grant(vector):
    """Grants one after the other; then their terms, and what they permit."""
    log = folded(vector["statements"])
    request = read_request(raw(vector["request"]), folded(vector["request_statements"]))
    held = in_force(raws(vector["grants"]), log, request)
    sealed = raws(vector["terms"])
    terms = [read_matching(wanted, sealed) for wanted in held.all_terms]
    least = terms[0]
    for other in terms[1:]:
        least = stricter_terms(least, other)
    if "asks" in vector:
        asks = vector["asks"]
        code = permits(held, MessageClass(asks["class"]), asks["size"], vector["now_ms"])
        if code is not None:
            raise RemoteProtocolError(code)
    if "decoded" in vector:
        assert vector["decoded"] == {
            "version": held.version,
            "until": held.until,
            "classes": sorted(held.classes),
            "rate": held.rate,
            "largest": held.largest,
            "auto_trigger": least.auto_trigger,
            "human_gate": least.human_gate,
            "task_budget": least.task_budget,
            "largest_artifact": least.largest_artifact,
        }


def read_matching(wanted, sealed):
    """The terms of a hash, among those sent; with one set there is no choice."""
    fitting = [terms for terms in sealed if hashlib.sha256(terms).digest() == wanted]
    return read_terms((fitting or sealed)[0], wanted)


def run_invite_mac(vector):
    """What binds a request to an invite."""
    mac = invite_mac(raw(vector["secret"]), raw(vector["request"]))
    assert mac.hex() == vector["decoded"]["mac"]


def run_invite(vector):
    """The statement behind a link."""
    data = raw(vector["input"])
    assert read_invite(data, folded(vector["statements"])).raw == data


def run_invite_link(vector):
    """A link as text."""
    link = InviteLink.parse(vector["input"])
    assert link.format() == vector["input"]
    assert vector["decoded"] == {
        "relay": link.relay,
        "id": link.id.hex(),
        "account": link.account.hex(),
        "secret": link.secret.hex(),
    }


def run_invite_opened(vector):
    """What a relay gives for a link."""
    invite = read_invite(raw(vector["input"]), folded(vector["statements"]))
    check_invite(invite, InviteLink.parse(vector["link"]), now=vector["now_ms"])


def run_invite_use(vector):
    """A request under an invite that is held, or not."""
    account, facts = AccountId(bytes(32)), vector["held"]
    held = facts and InviteStanding(
        AgentRef(account, facts["agent"]),
        raw(vector["secret"]),
        facts["uses"],
        facts["expires_at"],
        facts["used"],
        facts["revoked"],
    )
    proof = InviteProof(raw(vector["id"]), raw(vector["mac"]))
    asked = AgentRef(account, vector["asked"])
    check_invite_use(held, asked, proof, raw(vector["request"]), now=vector["now_ms"])


RUNNERS = {
    "account-log": run_account_log,
    "account-compare": run_account_compare,
    "account-position": run_account_position,
    "card": run_card,
    "connection-request": run_connection_request,
    "connection-accept": against_request(read_accept),
    "connection-end": against_request(read_end),
    "grant": run_grant,
    "invite": run_invite,
    "invite-link": run_invite_link,
    "invite-mac": run_invite_mac,
    "invite-opened": run_invite_opened,
    "invite-use": run_invite_use,
}
