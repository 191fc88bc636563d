"""What `lepton run` and `lepton explain` compute: an image and steps, or a pipeline in a file, and the outputs."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from lepton_celery import graph
from lepton_celery.errors import InputError, LeptonError, StoreError, StoreNotFound
from lepton_celery.graph.nodes import Node
from lepton_celery.graph.steps import FIRST_INPUT, build_steps
from lepton_celery.limits import MAX_DOCUMENT_BYTES
from lepton_celery.stores.roots import read_bytes

C = TypeVar("C", bound=Callable[..., Any])

STEPS_HELP = """
    INPUT is an image: .npy, .zarr, .tif, .png or .jpg. Each STEP works on the result of the step before:

    \b
      gaussian                     an operation; `lepton operations` lists them
      gaussian:sigma=2,mode=wrap   with arguments
      gaussian:2                   with an argument by position
      threshold:otsu               the pixels above a threshold; also threshold:0.5
      percentile:[2,98]            a list; (1,2) is a tuple
      regionprops_table:properties=label+area          several words
      'dilation:footprint=disk(3)'                     a footprint, or ball(2), …
      'warp:inverse_map=AffineTransform(scale=2)'      a transform
      smooth=gaussian:sigma=2      gives the result a name
      subtract:@smooth             uses it; @image is INPUT
      @smooth                      goes on from it
      labels,count=label:return_num=true    names several results; _ drops one

    Put quotes around steps with brackets, so that the shell leaves them alone.
"""
"""The part of the help text that explains inputs and steps."""


def lengths(text: str) -> tuple[int, ...]:
    """The shape in a text such as 1024x1024 or 1024,1024. Help pages show this function's name as LENGTHS."""
    try:
        return tuple(map(int, text.replace("x", ",").split(",")))
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a shape; give pixels per axis, such as 1024x1024") from None


def pipeline_options(command: C) -> C:
    """Add the options that say what is computed, beside the image and its steps."""
    for option in (
        click.option("--block-shape", type=lengths, help="Shape of the blocks in pixels, such as 1024x1024."),
        click.option(
            "--pipeline",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="JSON or TOML file with a pipeline, instead of steps.",
        ),
        click.option(
            "--input",
            "-i",
            "inputs",
            multiple=True,
            metavar="NAME=PATH",
            help="Another input, which steps use as @NAME; may be repeated.",
        ),
    ):
        command = option(command)
    return command


def requested_outputs(
    source: str,
    output: str,
    steps: Sequence[str],
    pipeline: Path | None,
    inputs: Sequence[str],
    saved: Sequence[str] = (),
) -> dict[str, Node]:
    """The nodes that a command line asks for, by the path that each is written to.

    Raises:
        InputError: something is not understood; the message says what.
        StoreError: an input or the pipeline cannot be read.
    """
    more, paths = named_paths("--input", inputs), named_paths("--save", saved)
    if pipeline is None:
        return outputs_of_steps(source, output, steps, more, paths)
    if steps:
        raise InputError(f"both --pipeline {pipeline} and steps {' '.join(steps)} were given; give one of them")
    return outputs_of_pipeline(pipeline, source, output, more, paths)


def named_paths(option: str, given: Sequence[str]) -> dict[str, str]:
    """The paths by name of an option that takes NAME=PATH.

    Raises:
        InputError: a value has another form, or a name is given twice.
    """
    paths: dict[str, str] = {}
    for item in given:
        name, equals, path = item.partition("=")
        if not equals or not name or not path:
            raise InputError(f"{option} {item!r} is not NAME=PATH; write for example {option} mask=mask.tif")
        if name in paths:
            raise InputError(f"{option} gives {name!r} twice, {paths[name]} and {path}; give it once")
        paths[name] = path
    return paths


def outputs_of_steps(
    source: str, output: str, steps: Sequence[str], inputs: Mapping[str, str], saved: Mapping[str, str]
) -> dict[str, Node]:
    """The nodes to compute, by path: the last step's at `output`, and the results that `saved` names, at its paths.

    Raises:
        InputError: there are no steps, a step is not understood, or a name is unknown.
    """
    if not steps:
        raise InputError("no steps were given; name at least one, such as gaussian:sigma=2, or give --pipeline FILE")
    if FIRST_INPUT in inputs:
        raise InputError(f"--input {FIRST_INPUT}=… is not possible: @{FIRST_INPUT} is {source}; give another name")
    paths = {FIRST_INPUT: source, **inputs}
    used: set[str] = set()

    def opened(name: str) -> graph.Image:
        used.add(name)
        return graph.open(paths[name])

    results = build_steps({name: partial(opened, name) for name in paths}, steps)
    outputs = {output: results.last()}
    for name, path in saved.items():
        if path in outputs:
            raise InputError(f"two outputs are written to {path}; give each a path of its own")
        outputs[path] = results.named(name, f"--save {name}={path}")
    if unused := inputs.keys() - used:
        name = min(unused)
        raise InputError(f"--input {name}={inputs[name]} is used by no step; write @{name} where a step needs it")
    return outputs


def outputs_of_pipeline(
    file: Path, source: str, output: str, inputs: Mapping[str, str], saved: Mapping[str, str]
) -> dict[str, Node]:
    """The outputs of a pipeline in a file, by the paths that they are written to.

    Source nodes with the URL `input:image`, and the first step, read `source`. If the pipeline has one output, `output` is
    its path; several outputs go to the paths in `saved`, or into the directory `output` under their names.

    Raises:
        InputError: the file is not a pipeline, or it has several outputs and `output` is not a directory.
    """
    found = graph.from_json(_read(file), {FIRST_INPUT: source, **inputs})
    if unknown := saved.keys() - found.keys():
        raise InputError(f"--save {min(unknown)}=…: the pipeline {file} has no such output; it has {', '.join(found)}")
    if len(found) == 1 and not saved:
        return {output: next(iter(found.values()))}
    if not Path(output).is_dir() and len(saved) < len(found):
        raise InputError(
            f"the pipeline {file} has {len(found)} outputs ({', '.join(found)}); "
            f"give an existing directory for them, which {output} is not, or --save NAME=PATH for each"
        )
    return {saved.get(name, str(Path(output) / name)): node for name, node in found.items()}


def _read(file: Path) -> Any:
    """The document in a file."""
    kind = "TOML" if file.suffix.lower() == ".toml" else "JSON"
    try:
        text = read_bytes(file, MAX_DOCUMENT_BYTES).decode()
        return tomllib.loads(text) if kind == "TOML" else json.loads(text)
    except FileNotFoundError:
        raise StoreNotFound(f"the pipeline {file} does not exist; give the path of a JSON or TOML file") from None
    except RecursionError:
        raise InputError(f"the pipeline {file} cannot be read as {kind}: it is nested too deep") from None
    except LeptonError:  # it is no regular file, or too long
        raise
    except ValueError as error:
        raise InputError(f"the pipeline {file} cannot be read as {kind}: {error}") from error
    except OSError as error:
        raise StoreError(f"the pipeline {file} cannot be read: {error.strerror}; give a file") from error
