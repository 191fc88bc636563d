"""`lepton prove`: compares a function in blocks with the whole image."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import click

from lepton_celery.cli.console import say
from lepton_celery.errors import InputError
from lepton_celery.graph.step_syntax import parse_arguments


@click.command()
@click.argument("function", metavar="FUNCTION")
@click.option(
    "--param", "parameters", metavar="NAME=VALUE", multiple=True, help="A parameter of the function; may be repeated."
)
@click.option(
    "--halo", type=int, metavar="PIXELS", help="Halo of a function of your own.  [default: the smallest exact]"
)
@click.option("--dtype", "dtypes", multiple=True, help="Dtype of the images; may be repeated.  [default: all]")
@click.option("--ndim", "ndims", type=click.IntRange(1, 4), multiple=True, default=(2, 3), help="Number of image axes.")
@click.option("--seed", default=0, help="Seed of the random images.")
@click.option("--quick", is_flag=True, help="Try only a few images and block shapes.")
def prove(
    function: str,
    parameters: tuple[str, ...],
    halo: int | None,
    dtypes: tuple[str, ...],
    ndims: tuple[int, ...],
    seed: int,
    quick: bool,
) -> None:
    """Compare a function's results in blocks and on the whole image.

    FUNCTION is a name of the catalogue (`filters.gaussian`) or a function of your own, `package.module:function`, that takes
    an image first and returns one of the same shape. Images are random, or known to be hard to split. For a function with a
    halo, the smallest exact halo is found. The exit code is 1 if a result differs.
    """
    from lepton_celery.proving.prove import prove as run

    positional, named = parse_arguments(",".join(parameters), "--param")
    if positional:
        raise InputError(f"--param {positional[0]!r} has no name; write --param NAME=VALUE, such as --param sigma=2")
    subject = _own(function) if ":" in function else function
    if isinstance(subject, str) and halo is not None:
        raise InputError("--halo is for functions of your own; functions of the catalogue declare their halo")
    proof = run(subject, halo=halo, dtypes=dtypes or None, ndims=ndims, seed=seed, thorough=not quick, **named)
    say(str(proof))
    if not proof.holds:
        raise click.exceptions.Exit(1)


def _own(path: str) -> Callable[..., Any]:
    """The function at `package.module:function`; as with `python -m`, modules in the working directory are found too."""
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        function: Callable[..., Any] = resolve_name(path)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"there is no function {path!r}: {error}; give package.module:function") from error
    if not callable(function):
        raise InputError(f"{path!r} is {type(function).__name__}, not a function")
    return function
