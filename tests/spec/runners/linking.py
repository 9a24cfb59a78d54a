"""Linking a device: both sides, letter by letter."""

from taskferry_protocol.accounts import fold
from taskferry_protocol.crypto import EncryptionKey, SigningKey
from taskferry_protocol.devices import DeviceKeys
from taskferry_protocol.linking import Approving, Joining
from tests.spec.runners.inputs import raw, raws


def play(side, steps):
    """Take the steps; each is answered with the letters that the vector names."""
    for step in steps:
        if "letter" in step:
            turn = side.receive(raw(step["letter"]), now=step["at"])
        else:
            turn = side.confirm(step["typed"], now=step["at"])
        assert turn.letters == tuple(raws(step["out"]))


def run_new(vector):
    """The machine that wants in."""
    keys = vector["keys"]
    device = DeviceKeys(
        SigningKey.from_seed(raw(keys["signing"])),
        EncryptionKey.from_secret(raw(keys["encryption"])),
        SigningKey.from_seed(raw(keys["manage"])),
        keys["label"],
    )
    side = Joining.begin(device, raw(vector["nonce"]), vector["now_ms"])
    play(side, vector["steps"])
    assert list(side.words) == vector["decoded"]["words"]


def run_managing(vector):
    """The machine that lets in."""
    log = fold(raws(vector["statements"]))
    side, turn = Approving.begin(
        log, raw(vector["device"]), raw(vector["nonce"]), vector["now_ms"], manage=vector["manage"]
    )
    assert turn.letters == (raw(vector["first"]),)
    play(side, vector["steps"])
    assert side.is_agreed
    assert list(side.words) == vector["decoded"]["words"]


RUNNERS = {"link-new": run_new, "link-managing": run_managing}
