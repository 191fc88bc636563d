"""A pytest plugin that puts the functions of the catalogue, computed in blocks, into the place of scikit-image's functions.

Each call of a public function runs both: blocks first, on copies of the arguments, then scikit-image on the whole image.

- Both give a result: the results must be equal as the catalogue promises, and the test gets that of the blocks.
- scikit-image raises: the blocks must raise too, and the test gets their exception, whose class it checks.
- The catalogue refuses what scikit-image takes: the refusal is recorded, and the test gets the result and the warnings of
  scikit-image.

Calls of scikit-image's functions among themselves stay scikit-image's.
"""

from __future__ import annotations

import copy
import functools
import importlib
import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lepton_celery as lepton
from lepton_celery.catalogue import get_entry, public_names
from lepton_celery.catalogue.promise import IDENTICAL, Promise
from lepton_celery.errors import InputError, LeptonError, NotExactWarning
from lepton_celery.graph.nodes import Node, apply
from lepton_celery.proving.compare import difference

REPORT = "LEPTON_UPSTREAM_REPORT"
"""The environment variable that names the file for refusals, one JSON object on each line."""

MODULES = (
    *("color", "exposure", "feature", "filters", "filters.rank", "measure", "metrics", "morphology", "registration"),
    *("restoration", "segmentation", "transform", "util"),
)
"""The modules of scikit-image whose functions are replaced."""


class Replacement:
    """A function of scikit-image that computes its result in blocks and compares it with the whole image."""

    is_busy = False
    """Whether a replaced function is running, so that the calls that it makes are scikit-image's."""

    def __init__(self, name: str, original: Callable[..., Any]) -> None:
        self.name = name
        self.original = original

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if Replacement.is_busy:
            return self.original(*args, **kwargs)
        with _busy():
            with warnings.catch_warnings(record=True) as of_blocks:
                in_blocks = _outcome(lambda: _split(self.name, *copy.deepcopy((args, kwargs))))
            with warnings.catch_warnings(record=True) as of_whole:
                whole = _outcome(lambda: (_listed(self.original(*args, **kwargs)), IDENTICAL))
        if isinstance(whole, Exception) or not isinstance(in_blocks, LeptonError):
            _warn(of_blocks)
        if isinstance(whole, Exception):
            if not isinstance(in_blocks, Exception):
                pytest.fail(f"{self.name} in blocks takes what scikit-image refuses: {whole!r}")
            raise in_blocks
        if isinstance(in_blocks, LeptonError):
            _record(self.name, in_blocks)
            _warn(of_whole)
            return whole[0]
        if isinstance(in_blocks, Exception):
            raise in_blocks
        result, promise = in_blocks
        if what := difference(result, whole[0], promise):
            pytest.fail(f"{self.name} in blocks: {what}")
        return result


def _warn(found: Sequence[warnings.WarningMessage]) -> None:
    """Give the warnings of a call to the test, at its own line."""
    for warning in found:
        warnings.warn(warning.message, warning.category, stacklevel=3)


def _listed(result: Any) -> Any:
    """The members of a generator, such as a pyramid, as a tuple, to compare and return them."""
    return tuple(result) if isinstance(result, Iterator) else result


def _outcome(call: Callable[[], tuple[Any, Promise]]) -> tuple[Any, Promise] | Exception:
    try:
        return call()
    except Exception as error:  # a function may refuse its arguments with any exception
        return error


@contextmanager
def _busy() -> Iterator[None]:
    Replacement.is_busy = True
    try:
        yield
    finally:
        Replacement.is_busy = False


def _split(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, Promise]:
    """The result of a function in blocks, and how near to the whole image it is promised to be."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotExactWarning)
        lazy = apply(name, *args, **kwargs)
    nodes = lazy if isinstance(lazy, tuple) else (lazy,)
    promise = get_entry(name).promised(nodes[0].arguments)
    arrays = [value for value in (*args, *kwargs.values()) if isinstance(value, np.ndarray)]
    results = [_compute(node, max((array.shape for array in arrays), key=len, default=())) for node in nodes]
    return (tuple(results) if isinstance(lazy, tuple) else results[0]), promise


def _compute(node: Node, shape: tuple[int, ...]) -> Any:
    """A node computed in blocks of a little over half of each axis, or of the planner's choice if those do not fit it."""
    block_shape = tuple(n * 5 // 9 + 1 for n in shape)
    for asked in (block_shape, block_shape[:-1]):
        try:
            return lepton.compute(node, block_shape=asked or None, threads=1)
        except InputError as error:
            if "block shape" not in str(error):
                raise
    return lepton.compute(node, threads=1)


def _record(name: str, refusal: LeptonError) -> None:
    line = {"function": name, "reason": str(refusal), "test": os.environ.get("PYTEST_CURRENT_TEST", "")}
    if path := os.environ.get(REPORT):
        with Path(path).open("a") as file:
            file.write(json.dumps(line) + "\n")


def pytest_configure() -> None:
    """Replace the functions before scikit-image's tests import them."""
    for name in public_names():
        module_name, _, function_name = name.rpartition(".")
        if module_name not in MODULES:
            continue
        module = importlib.import_module(f"skimage.{module_name}")
        original = getattr(module, function_name)
        if not get_entry(name).is_refused and callable(original):
            replacement = functools.wraps(original)(functools.partial(Replacement(name, original)))
            setattr(module, function_name, replacement)
