"""Programs that share an agent, as processes at a real daemon: heard, killed, and cut off in the middle."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from taskferry_apps.client import Client, Lease, Program, TakenOver
from taskferry_apps.demo.stage import wait_until

from .stage import PATIENCE_S, Pair, a_pair

pytestmark = pytest.mark.journey

LEASE_S = 15
#: Takes a task, says under which lease, and is at work for as long as it lives.
HOLDER = f"""
import time
from taskferry_apps.client import Client

with Client() as client, client.runtime("holder", "desk", lease={LEASE_S}) as me:
    work = client.work(runtime=me)
    job = next(work)
    job.accept()
    with open("had", "w") as said:
        said.write(f"{{job.lease.runtime}} {{job.lease.fence}}\\n")
    time.sleep(600)
"""


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Two connected agents."""
    with a_pair(tmp_path) as pair:
        yield pair


def client_of(pair: Pair, owner: str) -> Client:
    """A client in this process, with the credential of that owner's agent."""
    machine = pair.alice if owner == "alice" else pair.bob
    return Client(url=machine.url, token=pair.tokens[owner])


def program(client: Client, name: str) -> Program:
    """A bound program, as the daemon tells of it."""
    return next(found for found in client.whoami().runtimes if found.name == name)


def test_a_killed_programs_task_is_anothers_once_its_lease_is_over(pair: Pair, tmp_path: Path) -> None:
    """While it lives, its heartbeats keep the task for longer than a lease; then its fence is refused."""
    (tmp_path / "holder.py").write_text(HOLDER)
    with client_of(pair, "alice") as alice, client_of(pair, "bob") as bob:
        task = alice.send_task("@bob/writer", "Count").id
        with (
            bob.runtime("heir", lease=LEASE_S) as me,
            pair.running("bob", "holder.py", folder=tmp_path) as held,
        ):
            runtime, fence = wait_until(lambda: said(tmp_path / "had"), "nothing was had", PATIENCE_S)
            begun = program(bob, "holder").bound_at

            def is_heard() -> bool | None:
                # Nothing but heartbeats: it asks for nothing while it works.
                found = program(bob, "holder")
                assert found.status == "busy"
                return found.seen_at - begun > timedelta(seconds=LEASE_S + 2) or None

            wait_until(is_heard, "it was not heard", PATIENCE_S)
            assert list(bob.work(idle=1, runtime=me)) == []
            held.kill()
            held.wait()
            job = next(bob.work(idle=2 * LEASE_S, runtime=me))
            assert (job.id, job.lease and job.lease.fence) == (task, int(fence) + 1)
            assert program(bob, "holder").status == "offline"
            late = Lease(runtime, int(fence), datetime.now(UTC))
            with pytest.raises(TakenOver):
                bob.acknowledge(task, late)
            job.submit("Done")
        assert alice.task(task).result(PATIENCE_S).text == "Done"


def said(place: Path) -> list[str] | None:
    """The words of a line that is written whole."""
    text = place.read_text() if place.exists() else ""
    return text.split() if text.endswith("\n") else None


def test_a_daemon_that_dies_under_way_takes_no_task_from_its_program(pair: Pair) -> None:
    """kill -9 of the daemon, and a start: the task is still that program's, under the same fence."""
    with client_of(pair, "alice") as alice, client_of(pair, "bob") as bob:
        first, second = (alice.send_task("@bob/writer", title).id for title in ("One", "Two"))
        with bob.runtime("one", "desk", lease=LEASE_S) as one, bob.runtime("two", lease=LEASE_S) as two:
            job = next(bob.work(idle=20, runtime=one))
            other = next(bob.work(idle=20, runtime=two))
            assert {job.id, other.id} == {first, second}
            job.accept()
            with pair.restarted("bob"):
                page = bob.inbox(runtime=two, header_only=True)
                assert [found.task_id for found in page.messages] == [other.id]
                job.submit("Done")
                other.release()
                assert next(bob.work(idle=20, runtime=one)).id == other.id
                with pytest.raises(TakenOver):
                    other.accept()
                assert alice.task(job.id).result(PATIENCE_S).text == "Done"
