"""`python -m tests.floods.attackers`: a process of its own that attacks until its input ends.

Its arguments are host, port, when the trial began, and the names of attacks, if not all. What each was told
so far it prints as a line of JSON, now and then and at the end.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Awaitable, Callable

import trio

from tests.floods.insiders import insiders
from tests.floods.strangers import ATTACKS
from tests.floods.wire import Ledger, Target, Tell


async def _attack(target: Target, ledger: Ledger, only: frozenset[str]) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_until_told, nursery.cancel_scope)
        nursery.start_soon(_report, ledger)
        for attack, count in ATTACKS:
            if only and attack.__name__ not in only:
                continue
            tell = ledger.of(attack.__name__.replace("_", " "))
            for _ in range(count):
                nursery.start_soon(_go_on, attack, target, tell)
        if not only or "insiders" in only:
            nursery.start_soon(insiders, target, ledger.of)


async def _go_on(attack: Callable[[Target, Tell], Awaitable[None]], target: Target, tell: Tell) -> None:
    """An attack whose connection cannot even be made tries again."""
    while True:
        try:
            await attack(target, tell)
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as failed:
            tell(str(failed) if isinstance(failed, trio.BrokenResourceError) and str(failed) else "hung up")
            await trio.sleep(0.5)


async def _report(ledger: Ledger) -> None:
    while True:
        _print(ledger)
        await trio.sleep(0.5)


def _print(ledger: Ledger) -> None:
    print(json.dumps({attack: dict(outcomes) for attack, outcomes in ledger.outcomes.items()}), flush=True)


async def _until_told(scope: trio.CancelScope) -> None:
    await trio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)
    scope.cancel()


def main() -> None:
    """Attack."""
    # Real attackers' machines are their own: these leave the processor to those who are measured.
    os.nice(5)
    host, port, began, *only = sys.argv[1:]
    ledger = Ledger()
    trio.run(_attack, Target(host, int(port), int(began)), ledger, frozenset(only))
    _print(ledger)


if __name__ == "__main__":
    main()
