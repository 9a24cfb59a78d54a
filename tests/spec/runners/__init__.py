"""How each kind of vector is run against the implementation: one function a kind, by name."""

from collections.abc import Callable, Mapping

from tests.spec.runners import (
    admission,
    backups,
    encoding,
    handoffs,
    identity,
    linking,
    safety,
    sealing,
    sessions,
    tasks,
)

Vector = Mapping[str, object]

RUNNERS: Mapping[str, Callable[[Vector], None]] = {
    **admission.RUNNERS,
    **backups.RUNNERS,
    **encoding.RUNNERS,
    **handoffs.RUNNERS,
    **identity.RUNNERS,
    **safety.RUNNERS,
    **linking.RUNNERS,
    **sealing.RUNNERS,
    **sessions.RUNNERS,
    **tasks.RUNNERS,
}
