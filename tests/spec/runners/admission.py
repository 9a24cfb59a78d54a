"""The relay's decision on parcels, duplicates among them, and the daemon's on who is meant."""

from taskferry_protocol import cbor
from taskferry_protocol.admission import AdmissionFacts, Prior, RelayConnection, admit, read_for_admission
from taskferry_protocol.crypto import EncryptionKey, Kind
from taskferry_protocol.documents import peek
from taskferry_protocol.envelope import Envelope, Parcel, Wrap, parse_envelope, read_parcel
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.frame_items import Refusal
from taskferry_protocol.inbound import Directory, InboundFacts, Quarantine, receive
from taskferry_protocol.permissions import RateState, read_grant, take
from taskferry_protocol.records import ContactState, MailboxUsage
from tests.spec.runners.identity import folded
from tests.spec.runners.inputs import raw, raws

FULL = MailboxUsage(count=1_000_000)


def accounts_of(listed):
    """Folded logs by account id, and those that are held."""
    logs = {(log := folded(known["statements"])).account: log for known in listed}
    held = {folded(known["statements"]).account for known in listed if known["held"]}
    return logs, frozenset(held)


def prior_of(envelope, before):
    """What is remembered of an envelope's id and `seq` among those before it."""
    header = envelope.header
    mine = [earlier for earlier in before if earlier.device == envelope.device]
    by_id = [earlier.hash for earlier in mine if earlier.header.id == header.id]
    by_seq = [
        earlier.hash for earlier in mine if (earlier.header.to, earlier.header.seq) == (header.to, header.seq)
    ]
    return Prior(by_id[0] if by_id else None, by_seq[0] if by_seq else None)


def rate_after(sent_at, grant):
    """The rate's state after envelopes at some times."""
    state = None
    for at in sent_at:
        state, wait = take(state or RateState.full(grant.rate, at), grant.rate, at)
        assert wait == 0
    return state


def grant_of(data, logs):
    """The grant, by the log of the one who gave it; None if that is not known here."""
    log = logs.get(peek(data, Kind.GRANT).account)
    return None if log is None else read_grant(data, log)


def facts_of(envelope, facts):
    """The facts of a vector as the implementation takes them."""
    logs, held = accounts_of(facts["accounts"])
    stopped = {folded(known["statements"]).account for known in facts["accounts"] if known.get("suspended")}
    account = raw(facts["session"]["account"])
    recipient = logs.get(envelope.header.to.account)
    grant = facts["grant"] and grant_of(raw(facts["grant"]), logs)
    return AdmissionFacts(
        account=account,
        device=raw(facts["session"]["device"]),
        sender=logs[account],
        recipient=recipient,
        held=held,
        connection=RelayConnection(raw("cc" * 32), grant) if facts["connected"] else None,
        acquainted=facts["acquainted"],
        contact=ContactState(sent=facts["contacts"]["there"]),
        reverse=ContactState(sent=facts["contacts"]["back"]),
        rate=rate_after(facts["sent_at"], grant) if grant else None,
        usage={raw(device): FULL for device in facts["full"]},
        prior=prior_of(envelope, [parse_envelope(one) for one in raws(facts["before"])]),
        suspended=frozenset(stopped),
    )


def run_admission(vector):
    """One parcel: the code, or for which devices entries are made; a stale log is answered with its news."""
    now = vector["now_ms"]
    parcel = read_parcel(cbor.decode(raw(vector["input"])))
    envelope = read_for_admission(parcel, now=now)
    decision = admit(envelope, parcel.wraps, facts_of(envelope, vector["facts"]), now=now)
    if isinstance(decision, Refusal):
        if "decoded" in vector:
            detail = decision.detail
            assert [statement.hex() for statement in detail.statements or ()] == vector["decoded"][
                "statements"
            ]
            assert detail.start == vector["decoded"]["from"]
        raise RemoteProtocolError(decision.code)
    assert {"entries": sorted(device.hex() for device, _ in decision.entries)} == vector["decoded"]


def run_duplicates(vector):
    """Envelopes in order: new, duplicate or two faces of one place."""
    logs = {(log := folded(statements)).account: log for statements in vector["accounts"]}
    before: list[Envelope] = []
    outcomes: list[str] = []
    for data in raws(vector["input"]):
        envelope = parse_envelope(data)
        header, prior = envelope.header, prior_of(envelope, before)
        sender, recipient = logs[header.from_.account], logs[header.to.account]
        serving = recipient.state.serving(header.to.name)
        wraps = sorted((Wrap(device.record.enc, bytes(80)) for device in serving), key=lambda wrap: wrap.key)
        facts = AdmissionFacts(
            account=header.from_.account,
            device=envelope.device,
            sender=sender,
            recipient=recipient,
            connection=RelayConnection(raw("cc" * 32), None),
            prior=prior,
        )
        decision = admit(envelope, Parcel(data, tuple(wraps)).wraps, facts, now=vector["now_ms"])
        if isinstance(decision, Refusal):
            outcomes.append(decision.code.value)
        else:
            outcomes.append("new" if prior.by_id is None else "duplicate")
            before.append(envelope)
    assert outcomes == vector["decoded"]["outcomes"]
    if RejectCode.EQUIVOCATION in outcomes:
        raise RemoteProtocolError(RejectCode.EQUIVOCATION)


def run_inbound(vector):
    """An envelope that a relay delivered to a device."""
    logs, held = accounts_of(vector["accounts"])
    envelope = parse_envelope(raw(vector["input"]))
    keys = tuple(EncryptionKey.from_secret(raw(secret)) for _, secret in vector["keys"])
    facts = InboundFacts(
        mine=logs[raw(vector["account"])],
        device=raw(vector["device"]),
        keys=keys,
        sender=logs.get(envelope.header.from_.account),
        held=held,
        directory=Directory.EXHAUSTED,
    )
    decision = receive(envelope, raw(vector["sealed"]), facts, now=vector["now_ms"])
    if isinstance(decision, Quarantine):
        raise RemoteProtocolError(decision.code)


RUNNERS = {"admission": run_admission, "duplicates": run_duplicates, "inbound": run_inbound}
