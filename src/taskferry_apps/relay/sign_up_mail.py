"""What the relay writes to somebody who asked for an account: the words of its mails."""

from __future__ import annotations

from .pages import PublicAddress

__all__ = ["known_mail", "new_mail"]


def new_mail(address: PublicAddress, owner: str, link: str) -> tuple[str, str]:
    """Subject and text for an address that has no account here."""
    text = f"""\
Somebody, perhaps you, asked for the name @{owner}
at the TaskFerry relay {address.authority}.

If it was you, open this within an hour, and press the button there:

{link}

If it was not, do nothing: no account comes of it.
"""
    return f"Your ticket for {address.authority}", text


def known_mail(address: PublicAddress, owner: str) -> tuple[str, str]:
    """Subject and text for one that has, under this name."""
    text = f"""\
Somebody, perhaps you, asked for an account
at the TaskFerry relay {address.authority}.

This e-mail address has one already: @{owner}. An address is good for one account.

To use it on another machine, link that machine from one that it is on.
If all of them are lost, your recovery phrase regains it: taskferry recover

If it was not you who asked, do nothing.
"""
    return f"Your account at {address.authority}", text
