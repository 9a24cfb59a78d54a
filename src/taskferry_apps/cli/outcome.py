"""How commands end: exit codes that mean something, and failures in one plain sentence with the next step."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import click

__all__ = ["CommandFailed", "Exit", "no_colour", "report_failures"]


class Exit(IntEnum):
    """What the exit code of every command says. Documented in docs/cli.md."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    REFUSED = 4
    NOT_FOUND = 5
    NOT_VERIFIED = 6
    TROUBLE = 7
    INTERRUPTED = 130


class CommandFailed(Exception):
    """A command cannot do what it was asked; the text is for the person at the terminal."""

    def __init__(self, message: str, code: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        self.code = code


@contextmanager
def report_failures() -> Iterator[None]:
    """Turn what a command raises into a sentence and an exit code; a bug keeps its traceback."""
    try:
        yield
    except click.exceptions.NoArgsIsHelpError as shown:
        click.echo(shown.format_message())
        raise SystemExit(Exit.USAGE) from None
    except click.UsageError as error:
        error.show()
        raise SystemExit(Exit.USAGE) from None
    except click.exceptions.Exit as leaving:
        raise SystemExit(leaving.exit_code) from None
    except (click.Abort, KeyboardInterrupt):
        raise SystemExit(Exit.INTERRUPTED) from None
    except click.ClickException as error:
        error.show()
        raise SystemExit(Exit.FAILED) from None
    except CommandFailed as error:
        _say(str(error))
        raise SystemExit(error.code) from None
    except UnicodeEncodeError as error:
        if error.reason != "surrogates not allowed":
            raise
        from .text_input import not_unicode

        refused = not_unicode(sys.argv[1:], os.environ)
        _say(str(refused))
        raise SystemExit(refused.code) from None
    except BrokenPipeError:
        # Whoever read our output has enough. Python would complain once more while closing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(Exit.OK) from None
    except OSError as error:
        # A full disk behind the output, say. What Python still holds of it would fail once more at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _say(f"The system refuses: {error.strerror or error}.")
        raise SystemExit(Exit.TROUBLE) from None


def no_colour() -> bool | None:
    """False where whoever set NO_COLOR wants no colours, on a terminal either (https://no-color.org)."""
    return False if os.environ.get("NO_COLOR") else None


def _say(text: str) -> None:
    # Imported where something fails: most commands never need it.
    from ..printed import clean_lines
    from ..terminal import columns_of, fitted_to

    name = "taskferry: "
    # It may quote a relay, a peer, or a file.
    said = fitted_to(columns_of(sys.stderr), f"{name}{clean_lines(text)}")
    label = click.style(name, fg="red", bold=True)
    # What fails may have left the context behind that knows it.
    click.echo(label + said[len(name) :], err=True, color=no_colour())
