"""Turns the steps of a command line into a lazy graph: `gaussian:sigma=2 threshold:otsu label`."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lepton_celery import graph
from lepton_celery.catalogue import get_entry
from lepton_celery.errors import InputError, StoreNotFound
from lepton_celery.graph.nodes import Image, Node


def build_steps(image: Image, steps: Sequence[str]) -> Node:
    """The graph of steps that are applied one after the other.

    A step is `NAME` or `NAME:ARGUMENTS`, with commas between arguments: `gaussian:sigma=2`, `gaussian:2`. A `+` joins
    several values of one argument: `properties=label+area`. The steps `threshold:otsu` and `threshold:0.5` give a boolean
    image of the pixels above a threshold.

    Raises:
        InputError: a step is not understood.
    """
    current: Node = image
    for step in steps:
        name, _, text = step.partition(":")
        positional, keyword = parse_arguments(text, step)
        if current.gives != "image":
            raise InputError(f"step {step!r} comes after one that gives a {current.gives}; put it before")
        if name.startswith("lepton."):
            raise InputError(f"step {step!r}: {name} is internal; `lepton operations` lists the public names")
        if name.rpartition(".")[2] == "regionprops_table":
            keyword.setdefault("intensity_image", _intensity(image, current, positional, keyword))
        if name == "threshold":
            current = _threshold(current, positional, step)
        else:
            current = graph.apply(name, current, *positional, **keyword)
    return current


def _intensity(image: Image, labels: Node, positional: list[Any], keyword: dict[str, Any]) -> Image | None:
    """The input image, if a property needs intensities and the image has the labels' shape."""
    wanted = keyword.get("properties", positional[1] if len(positional) > 1 else ())
    asked = any("intensity" in str(name) or "weighted" in str(name) for name in wanted)
    return image if asked and image.shape == labels.shape else None


def _threshold(image: Node, positional: list[Any], step: str) -> Node:
    if len(positional) != 1:
        raise InputError(f"step {step!r}: give one threshold, threshold:otsu or a number such as threshold:0.5")
    method = positional[0]
    level = method if isinstance(method, int | float) else graph.apply(get_entry(f"threshold_{method}").name, image)
    above: Node = image > level
    return above


def parse_arguments(text: str, step: str) -> tuple[list[Any], dict[str, Any]]:
    """The positional and the named arguments of a step."""
    positional: list[Any] = []
    keyword: dict[str, Any] = {}
    for item in _split(text):
        name, equals, value = item.partition("=")
        if equals and name.strip().isidentifier():
            keyword[name.strip()] = _value(value)
        elif keyword:
            raise InputError(f"step {step!r}: {item!r} has no name but comes after a named argument; name it too")
        else:
            positional.append(_value(item))
    return positional, keyword


def _split(text: str) -> Iterator[str]:
    """The texts between commas outside of brackets."""
    depth, item = 0, ""
    for char in text:
        depth += (char in "([{") - (char in ")]}")
        if char == "," and depth == 0:
            yield item.strip()
            item = ""
        else:
            item += char
    if item.strip():
        yield item.strip()


def _value(text: str) -> Any:
    """A Python literal, a list of values joined by `+`, or the text itself."""
    text = text.strip()
    try:
        return ast.literal_eval({"true": "True", "false": "False", "none": "None"}.get(text.lower(), text))
    except (ValueError, SyntaxError):
        return [_value(item) for item in text.split("+")] if "+" in text.strip("+") else text


def load_pipeline(file: Path, source: str, output: str) -> dict[str, Node]:
    """The outputs of a graph in a JSON file, by the paths that they are written to.

    Source nodes with the URL `input:image` read `source`. If the graph has one output, `output` is its path; several
    outputs go into the directory `output` under their names.

    Raises:
        InputError: the file is not a graph, or the graph has several outputs and `output` is not a directory.
    """
    try:
        document = json.loads(file.read_text())
    except FileNotFoundError:
        raise StoreNotFound(f"the pipeline {file} does not exist; give the path of a JSON file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"the pipeline {file} cannot be read as JSON: {error}") from error
    outputs = graph.from_json(document, {"image": source})
    if len(outputs) == 1:
        return {output: next(iter(outputs.values()))}
    if not Path(output).is_dir():
        raise InputError(
            f"the pipeline {file} has {len(outputs)} outputs ({', '.join(outputs)}); "
            f"give an existing directory for them, which {output} is not"
        )
    return {str(Path(output) / name): node for name, node in outputs.items()}
