"""`lepton operations`: lists the functions of the catalogue."""

from __future__ import annotations

import click
from rich.console import Console
from rich.table import Table

from lepton_celery.catalogue import get_entry, public_names
from lepton_celery.cli.shipped import load_script


@click.command(help="List the operations that steps and pipelines can use.")
@click.option("--markdown", is_flag=True, help="Print the catalogue in Markdown, as in docs/catalogue.md.")
def operations(markdown: bool) -> None:
    if markdown:
        click.echo(load_script("catalogue_page")["markdown"](), nl=False)
        return
    table = Table("operation", "parameters", "exactness", box=None, header_style="bold")
    for name in public_names():
        entry = get_entry(name)
        if entry.is_refused:
            continue
        promise = "depends" if callable(entry.promise) else str(entry.promise)
        hidden = (*entry.images[:1], "args", "kwargs")
        parameters = [str(p) for p in entry.signature.parameters.values() if p.name not in hidden]
        table.add_row(name, ", ".join(parameters).replace("<no value>", "…"), promise)
    Console().print(table)
