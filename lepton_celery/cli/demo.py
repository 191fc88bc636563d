"""`lepton demo`: runs the example `examples/galaxies`."""

from __future__ import annotations

import runpy
from pathlib import Path

import click

from lepton_celery.errors import InputError

_IN_WHEEL = Path(__file__).with_name("galaxies.py")
_IN_CHECKOUT = Path(__file__).parents[2] / "examples" / "galaxies" / "galaxies.py"


@click.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def demo(arguments: tuple[str, ...]) -> None:
    """Count galaxies on local workers and compare the result."""
    for path in (_IN_WHEEL, _IN_CHECKOUT):
        if path.exists():
            runpy.run_path(str(path))["main"](arguments, "lepton demo")
            return
    raise InputError(f"the demonstration is neither at {_IN_WHEEL} nor at {_IN_CHECKOUT}; install lepton-celery again")
