"""The exit codes of the command line, and how errors become messages."""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import click

from lepton_celery.errors import LeptonError, StoreError, reason_of
from lepton_celery.text import shown, shown_lines

FAULT = 70
INTERRUPTED = 130
CLOSED_PIPE = 141

EXIT_CODES = {
    0: "done",
    1: "a check found a problem (doctor, prove), or the local stack cannot run",
    2: "the command line, a step, a pipeline or a setting is wrong",
    3: "a file cannot be read or written",
    4: "no broker or no ledger answers",
    5: "the job failed",
    6: "the job was cancelled",
    7: "the job is not done after --timeout; it goes on",
    8: "there is no such job, or several begin with that id",
    9: "the job's state does not allow that",
    FAULT: "a fault of lepton itself: please report it",
    INTERRUPTED: "Ctrl-C",
    CLOSED_PIPE: "the reader of the output has closed it",
    143: "SIGTERM (129: SIGHUP)",
}
"""What each exit code means; `docs/command-line.md` and `lepton --help` list them."""


class Failure(click.ClickException):
    """An error with its message and its exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(shown_lines(message))
        self.exit_code = code  # type: ignore[misc] # click's stub has one exit code for all of a class


@contextmanager
def errors_as_messages(*, show_traceback: bool) -> Iterator[None]:
    """Turn the errors of a `with` block into one message each, and Ctrl-C into its exit code."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            yield
    except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
        raise
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None
    except Exception as error:  # one that nobody expected is told as a fault of lepton, with how to report it
        if show_traceback:
            traceback.print_exc()
        message, code = _described(error)
        raise Failure(message, code) from error


def _described(error: Exception) -> tuple[str, int]:
    """The message and the exit code of an error."""
    if isinstance(error, LeptonError):
        return reason_of(error), error.exit_code
    if isinstance(error, OSError) and error.strerror:
        about = f"{error.filename}: " if error.filename is not None else ""
        return f"{about}{error.strerror}; check the path, its permissions and the space there", StoreError.exit_code
    if isinstance(error, MemoryError):
        return f"there is not enough memory: {error}; use smaller blocks or a smaller image", 1
    advice = "This is a fault of lepton: please report it with what `lepton --traceback …` prints."
    return f"{type(error).__name__}: {error}\n{advice}", FAULT


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning as one line, without the line of code that caused it."""
    print(f"Warning: {shown(message)}", file=file or sys.stderr)
