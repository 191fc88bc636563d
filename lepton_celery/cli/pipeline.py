"""Turns what a person types into a lazy graph: `gaussian:sigma=2 threshold:otsu label`."""

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
    """The graph of steps applied one after the other.

    A step is `NAME` or `NAME:ARGUMENTS`, arguments separated by commas: `gaussian:sigma=2`, `gaussian:2`,
    `adjust_gamma:0.5`. Several values of one argument are joined by `+`: `properties=label+area`. Besides the catalogue's
    names there is `threshold:otsu` or `threshold:0.5`, which gives the pixels above a threshold.

    Raises:
        InputError: a step is not understood; the message says which.
    """
    current: Node = image
    for step in steps:
        name, _, text = step.partition(":")
        positional, keyword = parse_arguments(text, step)
        if current.gives != "image":
            raise InputError(f"step {step!r} comes after one that gives a {current.gives}; put it before")
        if name.startswith("lepton."):
            raise InputError(f"step {step!r}: {name} is internal; `lepton operations` lists the names there are")
        if name == "threshold":
            current = _threshold(current, positional, step)
        elif name.rpartition(".")[2] == "regionprops_table":
            keyword.setdefault("intensity_image", _intensity(image, current, positional, keyword))
            current = graph.apply(name, current, *positional, **keyword)
        else:
            current = graph.apply(name, current, *positional, **keyword)
    return current


def _intensity(image: Image, labels: Node, positional: list[Any], keyword: dict[str, Any]) -> Image | None:
    """The input itself, where a property asks for intensities and it has the labels' shape."""
    wanted = keyword.get("properties", positional[1] if len(positional) > 1 else ())
    asked = any("intensity" in str(name) or "weighted" in str(name) for name in wanted)
    return image if asked and image.shape == labels.shape else None


def _threshold(image: Node, positional: list[Any], step: str) -> Node:
    if len(positional) != 1:
        raise InputError(f"step {step!r}: give what to compare with, threshold:otsu or a number such as threshold:0.5")
    method = positional[0]
    level = method if isinstance(method, int | float) else graph.apply(get_entry(f"threshold_{method}").name, image)
    above: Node = image > level
    return above


def parse_arguments(text: str, step: str) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of a step: those without a name, and those with one."""
    positional: list[Any] = []
    keyword: dict[str, Any] = {}
    for part in _split(text):
        name, equals, value = part.partition("=")
        if equals and name.strip().isidentifier():
            keyword[name.strip()] = _value(value)
        elif keyword:
            raise InputError(f"step {step!r}: {part!r} has no name but comes after one that has; give it one")
        else:
            positional.append(_value(part))
    return positional, keyword


def _split(text: str) -> Iterator[str]:
    """Parts between commas that stand in no bracket."""
    depth, part = 0, ""
    for char in text:
        depth += (char in "([{") - (char in ")]}")
        if char == "," and depth == 0:
            yield part.strip()
            part = ""
        else:
            part += char
    if part.strip():
        yield part.strip()


def _value(text: str) -> Any:
    """A number, True, None, a bracketed list, or the text itself."""
    text = text.strip()
    try:
        return ast.literal_eval({"true": "True", "false": "False", "none": "None"}.get(text.lower(), text))
    except (ValueError, SyntaxError):
        return [_value(part) for part in text.split("+")] if "+" in text.strip("+") else text


def load_pipeline(file: Path, source: str, output: str) -> dict[str, Node]:
    """The outputs of a graph in a JSON file, on an input and into an output.

    Its sources with the url `input:image` read `source`. A graph with one output writes `output`; one with several writes
    them under their names into the directory `output`.

    Raises:
        InputError: the file is not a graph, or `output` does not fit it.
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
            f"give an existing directory for them, {output} is none"
        )
    return {str(Path(output) / name): node for name, node in outputs.items()}
