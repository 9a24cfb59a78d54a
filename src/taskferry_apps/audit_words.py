"""Entries of an owner's audit log as sentences. What stands in them in full is in `--json` and in exports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from .amounts import bytes_in_words, listed, several, time_in_words
from .printed import clean, short

__all__ = ["Facts", "Teller", "audit_sentence", "code_in_words", "sentence_by"]

Facts = Mapping[str, object]
Teller = Callable[[str, Facts], str]

#: Of an entry that stands for more than can be written down one by one.
_OTHERS: Final = "others"
_ENDS: Final = {
    "connection_declined": ("{whose} declined {} for {}", "{} declined {}"),
    "connection_revoked": ("{whose} ended the connection of {} with {}", "{} ended the connection with {}"),
    "connection_blocked": ("{whose} blocked {} for {}", "{} blocked {}"),
    "connection_unblocked": ("{whose} unblocked {} for {}", "{} unblocked {}"),
}
_TRUSTED: Final = {
    "verified": "You have compared the safety code with {}: verified.",
    "pinned": "You took {} as it is: pinned.",
    "unverified": "You took back that {} is verified or pinned: unverified.",
    "kept": "You decided that the pinned account of {} stands.",
    "another account": "You gave the name {} to another account.",
    "not verified": "The safety code typed in for {} was another one: not verified.",
}
_IN_QUESTION: Final = {
    "second_claim": "another account claims its name",
    "other_history": "a history was shown that does not continue the one known here",
    "forked": "its keys have signed two histories",
    "two histories": "its keys have signed two histories",
    "replaced": "its name was given to another account",
}
_PEER_LOG: Final = {
    "add_device": "devices added:",
    "revoke_device": "devices put out:",
    "retire": "devices that left:",
    "recover": "recoveries:",
    "rename": "new names:",
    "set_recovery": "new recovery phrases:",
}
_TRIPS: Final = {
    "hop-limit": "too many messages led to each other",
    "pair-limit": "too much passed without a person",
    "same-words": "the same was said over and over",
    "task-budget": "a task went over its budget",
    "after-held": "something before it is held",
}
_MANAGE: Final = {
    "passphrase_set": "A passphrase was set before the account's key.",
    "passphrase_removed": "The passphrase before the account's key was taken away.",
    "unlocked": "The account's key was unlocked.",
}


def audit_sentence(kind: str, subject: str, facts: Facts) -> str:
    """What happened on this owner's machine."""
    return sentence_by(_TELLERS, kind, subject, facts)


def sentence_by(tellers: Mapping[str, Teller], kind: str, subject: str, facts: Facts) -> str:
    """What happened, in one sentence; of a kind that nobody has words for, its names and values."""
    if subject == _OTHERS and not facts.keys() - {"again"}:
        told = f"{_words(kind).capitalize()}: others like it, too many to write down one by one."
    elif kind in tellers:
        told = tellers[kind](clean(subject), facts)
    else:
        told = plain_sentence(kind, subject, facts)
    return told + _again(facts)


def plain_sentence(kind: str, subject: str, facts: Facts) -> str:
    """An entry of a kind that nobody has words for."""
    values = ", ".join(f"{_words(name)} {clean(value)}" for name, value in facts.items() if name != "again")
    return f"{_words(kind).capitalize()}: {clean(subject)}{f' ({values})' if values else ''}."


def _again(facts: Facts) -> str:
    """How often the same came again within its hour, empty for never."""
    times = facts.get("again")
    if not isinstance(times, int):
        return ""
    return f" Again {'once' if times == 1 else f'{times:,} times'} within the hour."


def code_in_words(code: object) -> str:
    """`not-permitted` as "not permitted"."""
    return clean(code).replace("-", " ")


def _words(name: str) -> str:
    return clean(name).replace("_", " ")


def _fact(facts: Facts, name: str) -> str:
    return clean(facts.get(name, ""))


def _id(facts: Facts, name: str) -> str:
    return short(facts.get(name, ""))


def _by_peer(facts: Facts) -> bool:
    return facts.get("by") == "peer"


def _whose_word(facts: Facts) -> str:
    """On whose word something was done on this side."""
    by = _fact(facts, "by")
    match by:
        case "owner" | "":
            return "You"
        case "local program":
            return f"A program of {_fact(facts, 'mine')}"
        case "invite":
            return "By an invite of yours, this machine"
        case "policy":
            return "By what you decided ahead, this machine"
        case "another device":
            return "Another machine of yours"
        case _:
            # A rule's id, with or without the word before it.
            return f"By your rule {short(by.removeprefix('rule '))}, this machine"


# --- Connections and permissions ----------------------------------------------------------------------------


def _asked(subject: str, facts: Facts) -> str:
    mine, id = _fact(facts, "mine"), _id(facts, "connection")
    if _by_peer(facts):
        return f"{subject} asked to be connected with {mine} ({id})."
    return f"{_whose_word(facts)} asked {subject} to be connected with {mine} ({id})."


def _accepted(subject: str, facts: Facts) -> str:
    mine, id = _fact(facts, "mine"), _id(facts, "connection")
    if _by_peer(facts):
        return f"{subject} accepted to be connected with {mine} ({id})."
    return f"{_whose_word(facts)} accepted {subject} to be connected with {mine} ({id})."


def _ended(kind: str) -> Teller:
    def tell(subject: str, facts: Facts) -> str:
        words = _ENDS[kind][_by_peer(facts)]
        told = words.format(subject, _fact(facts, "mine"), whose=_whose_word(facts))
        return f"{told} ({_id(facts, 'connection')})."

    return tell


def _allowed(subject: str, facts: Facts) -> str:
    mine = _fact(facts, "mine")
    terms = _terms(facts, "its owner" if _by_peer(facts) else "you")
    if _by_peer(facts):
        return f"{subject} allows {mine} to send it {terms}"
    whose = _whose_word(facts)
    allows = "You allow" if whose == "You" else f"{whose} allows"
    return f"{allows} {subject} to send {mine} {terms}"


def _terms(facts: Facts, decides: str) -> str:
    classes = [f"{word}s" for word in _fact(facts, "classes").split()]
    if not classes:
        return f"nothing (version {_fact(facts, 'version')})."
    told = [
        f"{several(facts.get('rate_per_minute'), 'envelope', 'envelopes')} a minute",
        f"{bytes_in_words(facts.get('largest_bytes'))} each",
    ]
    if "tasks" in classes:
        told.append(f"{several(facts.get('task_budget'), 'task', 'tasks')} open at once")
        gated = facts.get("human_gate") == "yes"
        told.append(f"each waits for {decides} first" if gated else "none waits (no human gate)")
    if facts.get("auto_trigger") == "yes":
        told.append("programs may begin by themselves")
    if facts.get("until"):
        told.append(f"ending {time_in_words(facts.get('until'))}")
    return f"{listed(classes)} (version {_fact(facts, 'version')}): {', '.join(told)}."


def _refusal(subject: str, facts: Facts) -> str:
    code = code_in_words(facts.get("code"))
    if facts.get("by") == "local program":
        whose = f"A program of {subject}" if subject else "A program"
        return f"{whose} asked for what only you may do ({_fact(facts, 'asked')}), and was refused."
    if "class" in facts:
        about = f"mail of class {_fact(facts, 'class')} from {subject} to {_fact(facts, 'mine')}"
        return f"Refused {about}: {code}."
    return f"Refused mail of an unknown sender: {code}."


# --- Decisions ----------------------------------------------------------------------------------------------


def _decision(passed: str, answered: str) -> Teller:
    """A task at the gate, or a question of an agent: let through, or not."""

    def tell(subject: str, facts: Facts) -> str:
        whose = _whose_word(facts)
        if facts.get("what") == "task":
            return f"{whose} {passed} task {_id(facts, 'task')} of {subject} to {_fact(facts, 'mine')}."
        if facts.get("what") == "stop":
            return f"{whose} {passed} what a breaker held of {subject} for {_fact(facts, 'mine')}."
        question = f" (question {_id(facts, 'question')})" if "question" in facts else ""
        return f"{whose} {answered} {subject}: {code_in_words(facts.get('what'))}{question}."

    return tell


def _limits(subject: str, facts: Facts) -> str:
    between = f"between {_fact(facts, 'mine')} and {subject}"
    own = [item.replace("-", " ").replace("=", " ") for item in _fact(facts, "limits").split()]
    if not own:
        return f"You let breakers trip as usual {between}."
    return f"You set when breakers trip {between}: {listed(own)}."


def _rule(subject: str, facts: Facts) -> str:
    mine = _fact(facts, "mine") or "all agents"
    id = _id(facts, "rule")
    if facts.get("did") == "removed":
        return f"You removed the rule {id} about {subject} for {mine}."
    ends = f", ending {time_in_words(facts.get('until'))}" if facts.get("until") else ""
    return (
        f"You made the rule {id}: {subject} is accepted for {mine}, "
        f"{several(facts.get('tasks_per_day'), 'task a day passes', 'tasks a day pass')} the gate{ends}."
    )


def _gate(subject: str, facts: Facts) -> str:
    if "mode" in facts:
        return f"You set the mode of {subject} to {_fact(facts, 'mode')}."
    if "tells" in facts:
        return f"You set what senders are told of mail to {subject}: {_fact(facts, 'tells')}."
    action = code_in_words(facts.get("action"))
    return f"You decided ahead what {subject} may do: {action}, {_fact(facts, 'policy')}."


def _invite_made(subject: str, facts: Facts) -> str:
    uses = facts.get("uses")
    many = "one request" if uses == 1 else f"{clean(uses)} requests"
    then = ", accepted at once" if facts.get("accepts") == "yes" else ""
    until = time_in_words(facts.get("until"))
    return (
        f"You made an invite to {_fact(facts, 'mine')} for {many}{then}, ending {until} ({short(subject)})."
    )


# --- Identities, devices, this machine ----------------------------------------------------------------------


def _set_up(subject: str, facts: Facts) -> str:
    if facts.get("by") == "another relay":
        return f"The set-up of {subject} was tried at another relay, {_fact(facts, 'relay')}."
    if facts.get("by") == "another ticket":
        return f"The set-up of {subject} at {_fact(facts, 'relay')} was tried with another ticket."
    if "relay" not in facts:
        return f"The account log of {subject} began, with device {_id(facts, 'device')}."
    with_ticket = ", with a ticket" if facts.get("by") == "ticket" else ""
    return f"The account {subject} was set up here, for the relay {_fact(facts, 'relay')}{with_ticket}."


def _sign_in(subject: str, facts: Facts) -> str:
    if subject == "browser":
        return f"A browser was let in to your pages ({_fact(facts, 'page')})."
    return f"This machine had a session with the relay {subject}, by {_fact(facts, 'transport')}."


def _agent(subject: str, facts: Facts) -> str:
    devices = facts.get("devices")
    if not devices:
        return f"Agent {subject} was withdrawn."
    return f"Agent {subject} is served by {clean(devices)} {'device' if devices == 1 else 'devices'}."


def _card(subject: str, facts: Facts) -> str:
    changed = [_words(name) for name in _fact(facts, "changed").split()]
    what = f": {listed(changed)}" if changed else ""
    return f"{_whose_word(facts)} changed the card of {subject}{what} (version {_fact(facts, 'version')})."


def _device(what: str) -> Teller:
    def tell(subject: str, facts: Facts) -> str:
        named = f"{subject} ({_id(facts, 'device')})" if subject else _id(facts, "device")
        return what.format(named)

    return tell


def _revoked(subject: str, facts: Facts) -> str:
    what = "left the account by itself" if facts.get("retired") else "was put out of the account"
    return _device("Device {} " + what + ".")(subject, facts)


def _trust(subject: str, facts: Facts) -> str:
    if facts.get("trust") == "pinned":
        came = "its own invite" if facts.get("by") == "owner" else "an invite of yours for one"
        return f"{subject} is pinned: it came through {came}."
    told = _TRUSTED.get(_fact(facts, "to"))
    return told.format(subject) if told is not None else plain_sentence("trust_changed", subject, facts)


def _in_question(subject: str, facts: Facts) -> str:
    why = _IN_QUESTION.get(_fact(facts, "what"), _words(_fact(facts, "what")))
    return f"The identity of {subject} is in question: {why}."


def _peer_devices(subject: str, facts: Facts) -> str:
    told = [f"{words} {clean(facts[name])}" for name, words in _PEER_LOG.items() if name in facts]
    return f"The account log of {subject} went on: {', '.join(told)}."


def _made(subject: str, facts: Facts) -> str:
    label = f' "{_fact(facts, "label")}"' if facts.get("label") else ""
    return f"You made a credential{label} for programs of {subject} ({_id(facts, 'id')})."


def _export(subject: str, facts: Facts) -> str:
    if subject.startswith("task "):
        who = "A program" if facts.get("by") == "local program" else "You"
        return f"{who} exported the history of task {short(subject.removeprefix('task '))}."
    return f"You exported the {subject}."


def _backup(_: str, facts: Facts) -> str:
    lock = "a passphrase" if facts.get("lock") == "passphrase" else "the recovery phrase"
    return f"You made a backup of this machine, {bytes_in_words(facts.get('bytes'))}, which {lock} opens."


def _restored(_: str, facts: Facts) -> str:
    device = "the same device" if facts.get("device") == "the same" else "a new device"
    return f"This machine was restored from a backup made {time_in_words(facts.get('made_at'))}, as {device}."


def _fixed(told: str) -> Teller:
    return lambda subject, _: told.format(subject)


_TELLERS: Final[Mapping[str, Teller]] = {
    "set_up": _set_up,
    "sign_in": _sign_in,
    "agent_changed": _agent,
    "card_changed": _card,
    "connection_asked": _asked,
    "connection_accepted": _accepted,
    **{kind: _ended(kind) for kind in _ENDS},
    "connection_regained": lambda subject, facts: (
        f"The connection of {_fact(facts, 'mine')} with {subject} came back from the relay"
        f" ({_id(facts, 'connection')})."
    ),
    "breaker": lambda subject, facts: (
        f"A breaker stands between {_fact(facts, 'mine')} and {subject}:"
        f" {_TRIPS.get(_fact(facts, 'code'), _fact(facts, 'code'))}."
    ),
    "breaker_changed": _limits,
    "grant": _allowed,
    "permission_changed": _allowed,
    "approval": _decision("let through", "allowed"),
    "denial": _decision("turned away", "forbade"),
    "refusal": _refusal,
    "rule_changed": _rule,
    "gate_changed": _gate,
    "key_rotated": _device("Device {} has a fresh encryption key."),
    "device_added": _device("Device {} was added to the account."),
    "device_revoked": _revoked,
    "device_renamed": _device("You named a device {}."),
    "recovery_changed": _fixed(
        "The account has a new recovery phrase; the one before counts for it no longer."
    ),
    "recovered": _fixed("The account was recovered; every device that was not kept is put out."),
    "renamed": _fixed("The account is called {} from now on."),
    "trust_changed": _trust,
    "identity_changed": _in_question,
    "peer_devices": _peer_devices,
    "alarm": lambda what, facts: f"{'You dismissed an alarm' if facts.get('dismissed') else 'Alarm'}: {what}",
    "credential_made": _made,
    "credential_revoked": lambda subject, facts: f"You ended a credential of {subject} ({_id(facts, 'id')}).",
    "invite_made": _invite_made,
    "invite_revoked": lambda subject, facts: (
        f"You withdrew an invite to {_fact(facts, 'mine')} ({short(subject)})."
    ),
    "invite_used": lambda subject, facts: (
        f"{subject} came through your invite to {_fact(facts, 'mine')} ({_id(facts, 'invite')})."
    ),
    "export": _export,
    "manage_key": lambda subject, facts: (
        _MANAGE.get(_fact(facts, "what")) or plain_sentence("manage_key", subject, facts)
    ),
    "backup": _backup,
    "restored": _restored,
    "shortened": lambda _, facts: (
        f"Entries {_fact(facts, 'from')} to {_fact(facts, 'upto')} went, too old or too many."
    ),
}
