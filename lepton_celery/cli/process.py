"""The process of the `lepton` command: its signals, its streams and its exit code."""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn

from lepton_celery.cli import exits
from lepton_celery.local.signals import end_on_signals


def run_process() -> NoReturn:
    """Run the command of this process's arguments, and end the process."""
    end_on_signals()
    for stream in (sys.stdout, sys.stderr):
        # a file name that is not UTF-8, or a terminal that knows no ×, must not end the command
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        code = _run_command()
        sys.stdout.flush()
    except BrokenPipeError:
        code = exits.CLOSED_PIPE
    except KeyboardInterrupt:
        code = exits.INTERRUPTED
    except SystemExit as end:  # of a signal, or of the demonstration's own arguments
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)  # noqa: T201 - as the interpreter does
    _end(code)


def _run_command() -> int:
    import click

    from lepton_celery.cli.commands import lepton

    try:
        code = lepton.main(prog_name="lepton", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return exits.INTERRUPTED
    return code if isinstance(code, int) else 0


def _end(code: int) -> NoReturn:
    """End the process; after a signal at once, without waiting for threads that still work on blocks."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if code == exits.CLOSED_PIPE:
        # the interpreter flushes standard output once more, and would complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if code > 128:
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
