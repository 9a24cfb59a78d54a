"""How each kind of vector is run against the implementation: one function a kind, by name."""

from collections.abc import Callable, Mapping

from tests.spec.runners import admission, encoding, handoffs, identity, linking, sealing, sessions, tasks

Vector = Mapping[str, object]

RUNNERS: Mapping[str, Callable[[Vector], None]] = {
    **admission.RUNNERS,
    **encoding.RUNNERS,
    **handoffs.RUNNERS,
    **identity.RUNNERS,
    **linking.RUNNERS,
    **sealing.RUNNERS,
    **sessions.RUNNERS,
    **tasks.RUNNERS,
}
