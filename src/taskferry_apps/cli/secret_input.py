"""Secrets that a person types: never an argument, which other users of the machine could see."""

from __future__ import annotations

import sys

import click

from .outcome import CommandFailed, Exit

__all__ = ["ask_new_passphrase", "ask_passphrase", "ask_phrase"]

#: Shorter ones are guessed.
LEAST_PASSPHRASE = 10


def _ask(prompt: str) -> str:
    """A line, not shown as it is typed; from standard input where that is no terminal."""
    if sys.stdin.isatty():
        text: str = click.prompt(prompt, hide_input=True, err=True)
        return text
    line = sys.stdin.readline()
    if not line.strip():
        raise CommandFailed(f"{prompt}: nothing came on standard input.", Exit.USAGE)
    return line.rstrip("\r\n")


def ask_phrase(prompt: str = "Recovery phrase (24 words, not shown)") -> str:
    """A recovery phrase that is well written; words that are on no list are named here, on this terminal."""
    from ..phrase import PhraseError, near_words, phrase_of, seed_of

    text = _ask(prompt)
    try:
        return phrase_of(seed_of(text))
    except PhraseError as error:
        from .render import clean

        lines = [str(error)]
        for place, word in error.unknown:
            near = near_words(word)
            perhaps = f"; did you mean {' or '.join(near)}?" if near else ""
            lines.append(f"  word {place}: {clean(word, most=24)}{perhaps}")
        raise CommandFailed("\n".join(lines), Exit.USAGE) from None


def ask_passphrase(prompt: str = "Passphrase (not shown)") -> str:
    """A passphrase in use."""
    return _ask(prompt)


def ask_new_passphrase() -> str:
    """A passphrase to be used, typed twice on a terminal."""
    text = _ask("New passphrase (not shown)")
    if len(text) < LEAST_PASSPHRASE:
        raise CommandFailed(f"A passphrase has {LEAST_PASSPHRASE} characters or more.", Exit.USAGE)
    if sys.stdin.isatty() and _ask("Once more") != text:
        raise CommandFailed("The two differ; nothing was changed.", Exit.USAGE)
    return text
