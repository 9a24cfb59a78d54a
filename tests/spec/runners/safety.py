"""Safety codes."""

from taskferry_protocol.ids import AccountId
from taskferry_protocol.safety import safety_code
from tests.spec.runners.inputs import raws


def run_safety_code(vector):
    """The code of two accounts in both forms, and that each is known again."""
    one, other = raws(vector["accounts"])
    code = safety_code(AccountId(one), AccountId(other))
    assert code.digits == vector["decoded"]["code"]
    assert list(code.words) == vector["decoded"]["words"]
    assert code.is_said_by(code.digits.replace(" ", "-"))
    assert code.is_said_by(", ".join(code.words).upper())


RUNNERS = {"safety-code": run_safety_code}
