"""`lepton demo`: runs the example `examples/galaxies`."""

from __future__ import annotations

import click

from lepton_celery.cli.shipped import load_script


@click.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def demo(arguments: tuple[str, ...]) -> None:
    """Count galaxies on local workers and compare the result."""
    load_script("galaxies")["main"](arguments, "lepton demo")
