"""Entries of a relay's audit log as sentences for its operator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..audit_words import Facts, Teller, code_in_words, sentence_by
from .render import clean, short

__all__ = ["relay_sentence"]

_SIGN_UP: Final = {
    "open": "new accounts join freely",
    "ticket": "new accounts need a ticket",
    "closed": "no new account joins",
}


_TICKETS_BY: Final = {
    "operator": " by the operator",
    "sign-up page": " on the sign-up page",
    "mail": " by mail",
}


def _fact(facts: Facts, name: str) -> str:
    return clean(facts.get(name, ""))


def _account(facts: Facts) -> str:
    return f"account {short(facts.get('account', ''))}"


def _device(facts: Facts) -> str:
    return f"device {short(facts.get('device', ''))}"


def _started(subject: str, facts: Facts) -> str:
    state = _fact(facts, "state")
    return f"The relay started at {subject}; {_SIGN_UP.get(state, state)}."


def _refusal(subject: str, facts: Facts) -> str:
    code = code_in_words(facts.get("code"))
    if subject == "envelope":
        return f"An envelope of {_account(facts)} was refused: {code}."
    return f"A session from {_fact(facts, 'address')} was refused: {code}."


def _ticket(what: str) -> Teller:
    def tell(subject: str, facts: Facts) -> str:
        by = _fact(facts, "by")
        whose = _TICKETS_BY.get(by, f" by account {short(by)}")
        return f"Ticket {short(facts.get('ticket', ''))} for {subject} was {what}{whose}."

    return tell


def _mail_failed(_: str, facts: Facts) -> str:
    if "lost" in facts:
        return f"{_fact(facts, 'lost')} mails were not sent: {_fact(facts, 'reason')}."
    return f"A mail was not sent: {_fact(facts, 'reason').rstrip('.')}; {_fact(facts, 'then')}."


_TELLERS: Final[Mapping[str, Teller]] = {
    "started": _started,
    "restored": lambda _, facts: (
        "The database is an older copy: a new generation began, and senders offer again."
    ),
    "account_taken": lambda subject, facts: f"{subject} joined ({_account(facts)}).",
    "name_claimed": lambda subject, facts: f"{subject} is the name of {_account(facts)} from now on.",
    "device_added": lambda subject, facts: f"{subject} added {_device(facts)}.",
    "device_revoked": lambda subject, facts: (
        f"{_device(facts).capitalize()} of {subject} "
        f"{'left the account by itself' if facts.get('retired') else 'was put out'}."
    ),
    "recovery_changed": lambda subject, _: f"{subject} has a new recovery key.",
    "recovered": lambda subject, _: f"{subject} recovered the account.",
    "sign_in": lambda subject, facts: f"{subject} had a session, with {_device(facts)}.",
    "refusal": _refusal,
    "account_held": lambda subject, facts: (
        f"{subject} is held: its keys have signed two histories ({_account(facts)})."
    ),
    "hold_lifted": lambda subject, facts: (
        f"{subject} is held no longer: it was recovered ({_account(facts)})."
    ),
    "suspended": lambda subject, facts: (
        f"You suspended {subject} ({_account(facts)}): {_fact(facts, 'reason').rstrip('.')}."
    ),
    "released": lambda subject, facts: f"You released {subject} ({_account(facts)}).",
    "operator_sign_in": lambda _, __: "A browser was let into the operator's pages by a one-time link.",
    "evidence": lambda subject, facts: (
        f"Evidence was kept against {_account(facts)}, {_device(facts)}: {code_in_words(subject)}."
    ),
    "mail_failed": _mail_failed,
    "ticket_made": _ticket("made"),
    "ticket_used": _ticket("used"),
    "ticket_revoked": _ticket("withdrawn"),
}


def relay_sentence(kind: str, subject: str, facts: Facts) -> str:
    """What happened at the relay."""
    return sentence_by(_TELLERS, kind, subject, facts)
