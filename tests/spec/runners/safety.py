"""Safety codes."""

from taskferry_protocol.ids import AccountId
from taskferry_protocol.safety import is_safety_code, safety_code
from tests.spec.runners.inputs import raws


def run_safety_code(vector):
    """The code of two accounts, and that it is known again."""
    one, other = raws(vector["accounts"])
    code = safety_code(AccountId(one), AccountId(other))
    assert code == vector["decoded"]["code"]
    assert is_safety_code(code.replace(" ", "-"), code)


RUNNERS = {"safety-code": run_safety_code}
