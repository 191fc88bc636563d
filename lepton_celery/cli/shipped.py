"""`lepton demo`, and scripts that are beside this module in the wheel and in other folders in a checkout."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import click

from lepton_celery.errors import InputError

SCRIPTS = {"galaxies": "examples/galaxies/galaxies.py", "catalogue_page": "docs/catalogue_page.py"}
"""The path of each script in a checkout; pyproject.toml puts the same files into the wheel."""


def load_script(name: str) -> dict[str, Any]:
    """The names that a script defines.

    Raises:
        InputError: this installation has no such script.
    """
    paths = [Path(__file__).with_name(f"{name}.py"), Path(__file__).parents[2] / SCRIPTS[name]]
    for path in paths:
        if path.exists():
            return runpy.run_path(str(path))
    raise InputError(f"{name} is neither at {paths[0]} nor at {paths[1]}; install lepton-celery again")


@click.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def demo(arguments: tuple[str, ...]) -> None:
    """Count galaxies on local workers, and compare with scikit-image."""
    load_script("galaxies")["main"](arguments, "lepton demo")
