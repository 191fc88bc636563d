"""`lepton prove`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from lepton_celery.cli.pipeline import parse_arguments
from lepton_celery.errors import InputError


@click.command()
@click.argument("function", metavar="FUNCTION")
@click.option("--param", "parameters", metavar="NAME=VALUE", multiple=True, help="A parameter of the function.")
@click.option("--halo", type=int, help="Pixels that a function of your own reaches; left out: looked for.")
@click.option("--dtype", "dtypes", multiple=True, help="A dtype of the images; left out: all it declares.")
@click.option("--ndim", "ndims", type=click.IntRange(1, 4), multiple=True, default=(2, 3), help="Axes of the images.")
@click.option("--seed", default=0, show_default=True, help="Of the random images.")
@click.option("--quick", is_flag=True, help="A few of the images and cuts.")
@click.pass_context
def prove(
    ctx: click.Context,
    function: str,
    parameters: tuple[str, ...],
    halo: int | None,
    dtypes: tuple[str, ...],
    ndims: tuple[int, ...],
    seed: int,
    quick: bool,
) -> None:
    """Compare FUNCTION on whole images with the same in blocks.

    FUNCTION is a name of the catalogue (`filters.gaussian`) or a function of your own, `package.module:function`, that
    takes an image first and returns one of the same shape. The images are random ones and those on which splitting goes
    wrong; for a function with a halo the smallest exact one is found. Ends with 1 when a trial is different.
    """
    from lepton_celery.proving.prove import prove as run

    positional, named = parse_arguments(",".join(parameters), "--param")
    if positional:
        raise InputError(f"--param {positional[0]!r} has no name; write --param NAME=VALUE, such as --param sigma=2")
    subject = _own(function) if ":" in function else function
    if isinstance(subject, str) and halo is not None:
        raise InputError("--halo is for functions of your own; those of the catalogue declare theirs")
    proof = run(subject, halo=halo, dtypes=dtypes or None, ndims=ndims, seed=seed, thorough=not quick, **named)
    click.echo(str(proof))
    ctx.exit(0 if proof.holds else 1)


def _own(path: str) -> Callable[..., Any]:
    """The function at `package.module:function`, looked for from the working directory too, as `python -m` does."""
    module, _, name = path.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"there is no function {path!r}: {error}; give package.module:function") from error
    if not callable(found):
        raise InputError(f"{path!r} is {type(found).__name__}, not a function")
    function: Callable[..., Any] = found
    return function
