"""Pipelines that a site offers, and those that its users write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from lepton_celery.errors import InputError, StoreError, StoreTimeout
from lepton_celery.graph import from_json
from lepton_celery.graph.nodes import Node, open
from lepton_celery.graph.step_syntax import parse_step
from lepton_celery.graph.steps import DROPPED, FIRST_INPUT
from lepton_celery.stores.formats import ARRAY_SUFFIXES, TABLE_SUFFIXES, VALUE_SUFFIX
from lepton_celery.text import quoted, shown
from lepton_celery.web.refusals import FileRefused

MAX_BYTES = 1 << 16
"""Longest document of a pipeline that a user may send, in bytes of JSON."""
MAX_STEPS = 1000
"""Largest number of steps, or of nodes, of a pipeline: whoever plans it answers a request."""
MAX_OUTPUTS = 16
_MAX_NAME_CHARS = 80
_SHAPES = ((64, 64), (64, 64, 3), (16, 64, 64))
"""Shapes of images on which a pipeline is tried: grey, in colours, and a volume."""
_SUFFIXES = (*ARRAY_SUFFIXES, *TABLE_SUFFIXES, VALUE_SUFFIX)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A pipeline that a site offers."""

    title: str
    steps: tuple[str, ...]
    """As on the command line: `gaussian:sigma=2`, `threshold:otsu`, `cells=label`."""
    outputs: Mapping[str, str] = field(default_factory=dict)
    """The name of each output's file, and the name of the result that it has. Empty: the last result, in `result.tif`."""
    as_gray: bool = False
    """Whether an image in colours is converted to grey before the first step, as `skimage.io.imread(as_gray=True)` does."""

    @property
    def document(self) -> dict[str, Any]:
        """As `from_json` reads it."""
        steps = list(self.steps)
        if self.outputs:
            return {"version": 1, "steps": steps, "outputs": dict(self.outputs)}
        last = parse_step(steps[-1])
        name = last.target.name if last.target else next((name for name in last.names if name != DROPPED), None)
        if name is None:
            name, steps[-1] = "result", f"result={last.text}"
        return {"version": 1, "steps": steps, "outputs": {"result.tif": name}}


def read_pipeline(text: str | bytes) -> dict[str, Any]:
    """The document of a pipeline that a user sent as JSON.

    Raises:
        InputError: it is too long, or no JSON object; the message says where.
    """
    size = len(text)
    if size > MAX_BYTES:
        raise InputError(
            f"the pipeline has {size:,} characters, and at most {MAX_BYTES:,} are read; send a shorter one"
        )
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise InputError(f"the pipeline is no JSON object: {shown(error, 200)}") from error


def check_pipeline(document: Mapping[str, Any]) -> None:
    """Refuse a pipeline that is too long, or whose outputs are not plain files.

    Raises:
        InputError: the message says how long it is, or which output is wrong, and what would be right.
    """
    for name in ("steps", "nodes"):
        count = len(listed) if isinstance(listed := document.get(name), list) else 0
        if count > MAX_STEPS:
            raise InputError(
                f"the pipeline has {count:,} {name}, and at most {MAX_STEPS:,} are taken; give several pipelines"
            )
    outputs = document.get("outputs")
    if not isinstance(outputs, Mapping) or not 1 <= len(outputs) <= MAX_OUTPUTS:
        raise InputError(
            f'the pipeline needs 1 to {MAX_OUTPUTS} outputs, such as "outputs": {{"labels.tif": "labels"}}'
        )
    for name in outputs:
        if not isinstance(name, str) or Path(name).name != name or name.startswith(".") or len(name) > _MAX_NAME_CHARS:
            raise InputError(
                f"the pipeline has an output named {quoted(name)}; give a plain file name such as labels.tif"
            )
        if Path(name).suffix.lower() not in _SUFFIXES:
            raise InputError(f"the output {quoted(name)} has no suffix of these: {', '.join(_SUFFIXES)}")


def results_of(document: Mapping[str, Any], image: Path, shown_as: str, *, as_gray: bool = False) -> dict[str, Node]:
    """The results of a pipeline on an image, by the names of their files.

    Messages call the image `shown_as`, as its user does, who does not know its path. With `as_gray`, which is for documents
    of steps, an image in colours is converted to grey first.

    Raises:
        InputError: the pipeline is refused; the message says why.
        FileRefused: the image cannot be read.
        StoreTimeout: the file system does not answer.
    """
    check_pipeline(document)
    try:
        if as_gray:
            document = {**document, "steps": [*_gray_steps(open(str(image)).shape), *document["steps"]]}
        return from_json(document, {FIRST_INPUT: str(image)}, only_inputs=True)
    except StoreTimeout:
        raise
    except (InputError, StoreError) as error:
        is_of_image = isinstance(error, StoreError) or str(image) in str(error)
        told = str(error).replace(str(image), shown(shown_as, 200))
        raise (FileRefused if is_of_image else InputError)(told) from error


def _gray_steps(shape: tuple[int, ...]) -> list[str]:
    """The steps that convert an image of this shape to grey; none if it has no colours."""
    if len(shape) != 3 or shape[-1] not in (3, 4):
        return []
    return ["rgb2gray"] if shape[-1] == 3 else ["rgba2rgb", "rgb2gray"]


def pipeline_from_text(text: str) -> dict[str, Any]:
    """The document of a pipeline that a user wrote into a form: as JSON, or as steps in lines.

    The last step of lines gives the result: `result.csv` if it is a table, `result.json` if a value, else `result.tif`.

    Raises:
        InputError: the message says what is wrong, and where.
    """
    if text.lstrip().startswith(("{", "[")):
        return read_pipeline(text)
    if len(text) > MAX_BYTES:
        raise InputError(
            f"the pipeline has {len(text):,} characters, and at most {MAX_BYTES:,} are read; write fewer steps"
        )
    steps = tuple(line for one in text.splitlines() if (line := one.strip()) and not line.startswith("#"))
    if not steps:
        raise InputError("the pipeline has no steps; write one a line, such as gaussian:sigma=2")
    return document_of_steps(steps)


def document_of_steps(steps: Sequence[str]) -> dict[str, Any]:
    """The document of a pipeline of these steps, the last of which gives the result: see `pipeline_from_text`.

    Raises:
        InputError: the message says which step is wrong.
    """
    document = Pipeline("", tuple(steps)).document
    kind = check_steps(document)["result.tif"].gives
    suffix = {"table": ".csv", "value": ".json"}.get(kind, ".tif")
    return document | {"outputs": {f"result{suffix}": document["outputs"]["result.tif"]}}


def check_steps(document: Mapping[str, Any]) -> dict[str, Node]:
    """The results of a pipeline on some small image, to learn before any image is there whether it is understood.

    Raises:
        InputError: no image would do; the message says which step is wrong.
    """
    check_pipeline(document)
    first: InputError | None = None
    for shape in _SHAPES:
        try:
            return from_json(document, {FIRST_INPUT: np.zeros(shape, np.uint8)}, only_inputs=True)
        except InputError as error:
            first = first or error
    assert first is not None
    raise first
