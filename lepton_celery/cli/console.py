"""What commands print: tables, lines, JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import click
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lepton_celery.text import shown, shown_lines

_PIPE_WIDTH = 1000
"""Width in columns if the output is not a terminal, so that each row stays on one line."""

_GAP = 2
"""Columns between two columns of a table."""
_LEAST_WIDTH = 12
"""Smallest width of the last column of a table."""

LONG = 1 << 20
"""Longest text that a command prints, in characters: programs read whole paths."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


class _Console(Console):
    """Rich's console, which does not end the process by itself if the reader of the output has closed it."""

    def on_broken_pipe(self) -> None:
        """Raise the error, for which the command has an exit code of its own.

        Raises:
            BrokenPipeError: always.
        """
        raise BrokenPipeError


def output(*, markup: bool = False) -> Console:
    """The console of standard output; `markup` says whether texts have Rich's markup, which those of users never have."""
    return _Console(highlight=False, markup=markup, width=None if sys.stdout.isatty() else _PIPE_WIDTH)


def messages() -> Console:
    """The console of standard error, for progress and remarks."""
    return _Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


def table(headings: Sequence[str], rows: Sequence[Sequence[str | Text]], width: int, *, wraps: bool = False) -> Table:
    """A table without lines. Only its last column is cut to fit into `width`, so that no id and no name is shortened.

    With `wraps`, it goes on in the next line instead.
    """
    made = Table(box=None, header_style="bold", pad_edge=False, padding=(0, _GAP, 0, 0))
    rows = [[cell if isinstance(cell, Text) else shown(cell, LONG) for cell in row] for row in rows]
    columns = zip(headings, *([str(cell) for cell in row] for row in rows), strict=True)
    widths = [max(map(cell_len, column)) for column in columns]
    left = width - sum(widths[:-1]) - _GAP * len(widths)
    widths[-1] = min(widths[-1], max(left, _LEAST_WIDTH))
    for number, (heading, needed) in enumerate(zip(headings, widths, strict=True), 1):
        is_wrapped = wraps and number == len(headings)
        made.add_column(heading, width=needed, no_wrap=not is_wrapped, overflow="fold" if is_wrapped else "ellipsis")
    for row in rows:
        # texts of users may look like markup
        made.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return made


def say(text: str) -> None:
    """Print lines of text, in which there may be names, paths and reasons from outside."""
    click.echo(shown_lines(text, LONG))


def print_json(document: Any, *, is_stream: bool = False) -> None:
    """Print a JSON document; on one line if it is one of a stream of documents."""
    click.echo(json.dumps(document, indent=None if is_stream else 2))
