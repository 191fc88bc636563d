"""`lepton operations`: lists the functions of the catalogue."""

from __future__ import annotations

from typing import Any

import click

from lepton_celery.catalogue import get_entry, nearest, public_names
from lepton_celery.catalogue.entries import Entry
from lepton_celery.cli.console import json_option, output, print_json, table
from lepton_celery.cli.shipped import load_script
from lepton_celery.errors import UnknownOperation


@click.command(help="List the operations that steps and pipelines can use: all, or those whose name contains a WORD.")
@click.argument("words", metavar="[WORD]...", nargs=-1)
@click.option("--markdown", is_flag=True, help="Print the catalogue in Markdown, as in docs/catalogue.md.")
@json_option
def operations(words: tuple[str, ...], markdown: bool, as_json: bool) -> None:
    if markdown:
        click.echo(load_script("catalogue_page")["markdown"](), nl=False)
        return
    entries = [get_entry(name) for name in public_names()]
    chosen = [entry for entry in entries if not entry.is_refused and all(word in entry.name for word in words)]
    if not chosen:
        raise UnknownOperation(f"no operation has a name with {' and '.join(words)}{nearest(words[0])}")
    if as_json:
        print_json([_document(entry) for entry in chosen])
        return
    console = output()
    rows = [(entry.name, _exactness(entry), ", ".join(_parameters(entry))) for entry in chosen]
    console.print(table(("operation", "exactness", "parameters"), rows, console.width))


def _document(entry: Entry) -> dict[str, Any]:
    return {
        "operation": entry.name,
        "source": entry.source,
        "parameters": _parameters(entry),
        "exactness": _exactness(entry),
    }


def _exactness(entry: Entry) -> str:
    return "depends" if callable(entry.promise) else str(entry.promise)


def _parameters(entry: Entry) -> list[str]:
    """The parameters that a step may give, with their defaults."""
    hidden = (*entry.images[:1], "args", "kwargs")
    listed = [parameter for parameter in entry.signature.parameters.values() if parameter.name not in hidden]
    return [str(parameter).replace("<no value>", "…") for parameter in listed]
