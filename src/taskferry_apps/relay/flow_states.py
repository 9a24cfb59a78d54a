"""Rates and contact states that were decided on and are in no store yet; what is read meanwhile is older."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from taskferry_protocol.rates import RateState
from taskferry_protocol.records import ContactState, Flow, RateRecord, RecordContact, RecordRate

__all__ = ["FlowStates", "Reading"]


class Reading:
    """A look at some flows in the store, which takes its time."""

    __slots__ = ("flows", "is_stale")

    def __init__(self, flows: Collection[Flow]) -> None:
        self.flows: Final = frozenset(flows)
        self.is_stale = False


class FlowStates:
    """States of flows from their decision until the commit that writes them has ended. One is under way."""

    def __init__(self) -> None:
        self.rates: dict[Flow, RateState] = {}
        """Those that the next commit writes, as whoever spends of a rate puts them here."""
        self._writing: dict[Flow, RateState] = {}
        self._contacts: dict[Flow, ContactState] = {}
        self._readings: list[Reading] = []

    # --- decided

    def contact_changed(self, flow: Flow, contact: ContactState) -> None:
        """A contact state that is about to be stored."""
        self._contacts[flow] = contact

    def unsaved_rates(self) -> list[RecordRate]:
        """The rates that were spent of since the last call; the commit that has them begins."""
        self._writing, self.rates = self.rates, {}
        return [
            RecordRate(flow, RateRecord(rate.tokens_milli, rate.at)) for flow, rate in self._writing.items()
        ]

    def written(self, contacts: Iterable[RecordContact]) -> None:
        """The commit under way has ended, with these contact states in it."""
        if self._readings:
            ended = {change.flow for change in contacts} | self._writing.keys()
            for reading in self._readings:
                # It may have looked before, and what it did not see is no longer held here.
                reading.is_stale |= not ended.isdisjoint(reading.flows)
        self._writing = {}
        self._drop(contacts)

    def came_to_nothing(self, contacts: Iterable[RecordContact]) -> None:
        """These contact states are not stored after all."""
        self._drop(contacts)

    def forget(self) -> None:
        """A commit came to nothing."""
        self.rates.clear()
        self._writing.clear()
        self._contacts.clear()

    def _drop(self, contacts: Iterable[RecordContact]) -> None:
        for change in contacts:
            # A later one of the flow has a commit of its own to wait for.
            if self._contacts.get(change.flow) is change.contact:
                del self._contacts[change.flow]

    # --- read

    @contextmanager
    def reading(self, flows: Collection[Flow]) -> Iterator[Reading]:
        """While the store is asked about flows: it has to be asked again if the look turns out stale."""
        reading = Reading(flows)
        self._readings.append(reading)
        try:
            yield reading
        finally:
            self._readings.remove(reading)

    def contact(self, flow: Flow, stored: ContactState) -> ContactState:
        """The state of contact that counts, where the store has this one."""
        return self._contacts.get(flow, stored)

    def rate(self, flow: Flow, stored: RateRecord | None) -> RateState | None:
        """What counts as left of a rate, where the store has this."""
        held = self.rates.get(flow) or self._writing.get(flow)
        if held is None and stored is not None:
            held = RateState(stored.tokens_milli, stored.at)
        return held
