"""What commands print: tables, lines, JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

import click
from rich.console import Console
from rich.table import Table

_PIPE_WIDTH = 1000
"""Width in columns if the output is not a terminal, so that each row stays on one line."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def output(*, markup: bool = False) -> Console:
    """The console of standard output; `markup` says whether texts have Rich's markup, which those of users never have."""
    return Console(highlight=False, markup=markup, width=None if sys.stdout.isatty() else _PIPE_WIDTH)


def messages() -> Console:
    """The console of standard error, for progress and remarks."""
    return Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


def table(*headings: str) -> Table:
    """An empty table without lines. A heading that ends with `…` is that of a column that may be cut."""
    made = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for heading in headings:
        is_cut = heading.endswith("…")
        made.add_column(heading.removesuffix("…"), no_wrap=True, overflow="ellipsis" if is_cut else "ignore")
    return made


def print_json(document: Any, *, is_stream: bool = False) -> None:
    """Print a JSON document; on one line if it is one of a stream of documents."""
    click.echo(json.dumps(document, indent=None if is_stream else 2))
