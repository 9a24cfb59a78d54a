"""Whoever asks what fits never breaks the peer's window, and everything gets through."""

import attrs
from hypothesis import given
from hypothesis import strategies as st

from taskferry_protocol.cbor import encode
from taskferry_protocol.frame_items import ParcelAccepted, Window
from taskferry_protocol.sessions import Ack, Deliver, Delivered, ParcelsReceived, Send, SendResult

from .session_pair import HELLO, Pair, join, mail

_WINDOWS = st.builds(Window, st.integers(1, 12), st.integers(1, 4_000))
_SIZES = st.lists(st.integers(0, 1_500), max_size=60)


def send_what_fits(pair: Pair, parcels: list[bytes]) -> int:
    """Send as many of the first as fit, in batches, and take them off the list; how many went."""
    before = len(parcels)
    while count := pair.client.fitting(parcels):
        pair.order(Send(tuple(parcels[:count])))
        del parcels[:count]
    return before - len(parcels)


@given(_WINDOWS, _SIZES, st.data())
def test_parcels_never_go_past_the_relays_window(window, sizes, data):
    """For any window and backlog, answered in any order, the relay finds no fault and gets all."""
    pair = join(relay_window=window)
    parcels = [encode(bytes(size)) for size in sizes]
    expected = [bytes(size) for size in sizes]
    answered: set[int] = set()
    while parcels or len(answered) < sum(isinstance(event, ParcelsReceived) for event in pair.relay_events):
        send_what_fits(pair, parcels)
        batches = {event.batch: event for event in pair.relay_events if isinstance(event, ParcelsReceived)}
        batch = data.draw(st.sampled_from(sorted(batches.keys() - answered)))
        pair.serve(SendResult(batch, (ParcelAccepted(0),) * len(batches[batch].parcels)))
        answered.add(batch)
    got = [event for event in pair.relay_events if isinstance(event, ParcelsReceived)]
    assert [parcel for event in got for parcel in event.parcels] == expected
    assert pair.client.sendable == window


@given(_WINDOWS, _SIZES, st.data())
def test_entries_never_go_past_the_daemons_window(window, sizes, data):
    """For any window and backlog, acknowledged in any portions, the daemon finds no fault and gets all."""
    pair = join(attrs.evolve(HELLO, window=window))
    backlog = [mail(2 * place, size) for place, size in enumerate(sizes)]
    entries = list(backlog)
    acked = delivered = -1
    while entries or acked < delivered:
        while count := pair.relay.fitting(entries):
            pair.serve(Deliver(tuple(entries[:count])))
            delivered = entries[count - 1].offset
            del entries[:count]
        acked = data.draw(st.integers(acked + 1, delivered))
        pair.order(Ack(acked))
    got = [event for event in pair.client_events if isinstance(event, Delivered)]
    assert [entry for event in got for entry in event.entries] == backlog
    assert pair.relay.deliverable == window
