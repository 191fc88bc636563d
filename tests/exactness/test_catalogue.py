"""What every entry of the catalogue keeps to: it warns where it is not exact, and refuses what it cannot take."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from docs import catalogue_page as reference
from lepton_celery import graph
from lepton_celery.catalogue import catalogue, get_entry, public_names
from lepton_celery.catalogue.arrays import Array
from lepton_celery.catalogue.entries import Entry, Refused
from lepton_celery.catalogue.promise import Exactness
from lepton_celery.errors import DtypeNotSupported, InputError, NotExact, NotExactWarning
from lepton_celery.proving.subjects import Trial, sample_images
from tests.exactness.cases.case import FLAT

MODULES = (
    *("filters", "filters.rank", "morphology", "exposure", "color", "restoration", "feature", "measure"),
    *("segmentation", "transform", "util", "numpy", "ndimage"),
)
DOCUMENT = Path(__file__).parents[2] / "docs" / "catalogue.md"


def split_names() -> list[str]:
    """Names of the functions that are not refused."""
    return [name for name in public_names() if not isinstance(catalogue()[name], Refused)]


def lazily(name: str, image: Array) -> Any:
    """A function of the catalogue on an image, with the arguments of its example."""
    entry = get_entry(name)
    trial = Trial("noise", str(image.dtype), image.shape, (7,) * image.ndim, 0)
    example = entry.example_for(image.ndim)
    return graph.apply(name, **{**sample_images(entry, example, trial), **example})


@pytest.mark.parametrize("name", public_names())
def test_nothing_differs_in_silence(name: str) -> None:
    """What is not identical warns or refuses; a warning says how far and why."""
    entry = catalogue()[name]
    if isinstance(entry, Refused):
        assert entry.reason
        assert entry.instead
        with pytest.raises(NotExact, match="is refused"):
            graph.apply(name)
        return
    for ndim in entry.ndims or (2, 3):
        for dtype in entry.declared_dtypes():
            image = np.zeros(FLAT if ndim == 2 else (7, 8, 9)[:ndim], dtype)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                try:
                    lazy = lazily(name, image)
                except InputError:
                    continue  # refuses this one
            first = lazy[0] if isinstance(lazy, tuple) else lazy
            promise = entry.promised(first.arguments)
            said = [str(one.message) for one in caught if one.category is NotExactWarning]
            if promise.exactness is Exactness.IDENTICAL:
                assert said == []
            else:
                assert promise.reason
                assert all(promise.reason in text and str(promise) in text for text in said)
                assert said


@pytest.mark.parametrize("name", split_names())
def test_a_dtype_outside_the_entrys_own_is_refused(name: str) -> None:
    entry = get_entry(name)
    ndim = entry.ndims[0] if entry.ndims else 2
    for dtype in ("bool", "int16", "uint8", "float32", "float16", "longdouble", "complex128"):
        if dtype in entry.declared_dtypes() or not entry.images:
            continue
        image = np.zeros((12,) * ndim, dtype)
        with pytest.raises((DtypeNotSupported, InputError)) as refusal:
            graph.apply(name, **{entry.images[0]: image}, **_others(entry, ndim))
        assert np.dtype(dtype).name in str(refusal.value)


def _others(entry: Entry, ndim: int) -> dict[str, Any]:
    """All arguments but the first image."""
    dtype = entry.declared_dtypes()[0]
    example = entry.example_for(ndim)
    images = sample_images(entry, example, Trial("noise", dtype, (12,) * ndim, (7,) * ndim, 0))
    images.pop(entry.images[0], None)
    return {**images, **example}


def test_the_document_is_that_of_the_catalogue() -> None:
    assert DOCUMENT.read_text() == reference.markdown(), "run `make docs`"


def test_there_are_at_least_150_functions_that_are_identical() -> None:
    rows = [row for row in reference.rows() if row.kind != "refused"]
    assert len([row for row in rows if row.exactness == "identical"]) >= 150
    assert {row.kind for row in rows} <= set(reference.CLASSES)
    modules = {row.name.rpartition(".")[0] for row in rows}
    assert modules >= set(MODULES)
