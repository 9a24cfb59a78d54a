"""A recovery key that leaked: replacing it must end what it can do, each try as an attack."""

from __future__ import annotations

from taskferry_protocol import accounts
from taskferry_protocol.accounts import AccountLog, LogRelation, compare

from .owners import NOW, Owner, signing_key


def replaced(owner: Owner) -> AccountLog:
    """The owner's log after some life, and after the recovery key was replaced for good reason."""
    owner.rename("ann2")
    new = signing_key("new recovery")
    owner.take(accounts.set_recovery(owner.log.state, new, at=NOW, by=owner.recovery))
    return owner.log


def test_a_replaced_recovery_key_takes_no_account_over() -> None:
    """It signed a sibling of a statement from before it was replaced, and won against the whole log since."""
    owner = Owner("ann")
    trunk = owner.log
    true = replaced(owner)
    owner.log = trunk
    forged = owner.rename("thief", by=owner.recovery)
    assert compare(true, forged) is LogRelation.FORKED
    assert compare(forged, true) is LogRelation.FORKED


def test_a_recovery_key_still_settles_what_a_stolen_manage_key_did() -> None:
    """A thief without the recovery key has it nowhere on their branch, however long."""
    owner = Owner("ann")
    trunk = owner.log
    owner.rename("thief")
    stolen = owner.rename("thief2")
    owner.log = trunk
    owner.rename("ann", by=owner.recovery)
    true = replaced(owner)
    assert compare(stolen, true) is LogRelation.WINS
    assert compare(true, stolen) is LogRelation.LOSES
