"""Every entry of the catalogue warns if its result is not exact, and refuses what it cannot take."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from docs import catalogue_page as reference
from lepton_celery import graph
from lepton_celery.catalogue import catalogue, get_entry, public_names
from lepton_celery.catalogue.entries import Entry, Refused
from lepton_celery.catalogue.half import PROMOTING
from lepton_celery.catalogue.promise import Exactness
from lepton_celery.errors import DtypeNotSupported, InputError, NotExact, NotExactWarning
from lepton_celery.proving.subjects import CatalogueFunction, Trial, sample_images
from tests.exactness.cases.case import FLAT

MODULES = (
    *(
        "color",
        "exposure",
        "feature",
        "filters",
        "filters.rank",
        "measure",
        "metrics",
        "morphology",
        "ndimage",
        "numpy",
        "registration",
    ),
    *("restoration", "segmentation", "transform", "util"),
)
REFUSALS = (TypeError, ValueError, RuntimeError)
"""Exceptions by which scikit-image, NumPy and SciPy refuse an image."""
DOCUMENT = Path(__file__).parents[2] / "docs" / "catalogue.md"


def split_names() -> list[str]:
    """Names of the functions that are not refused."""
    return [name for name in public_names() if not catalogue()[name].is_refused]


@pytest.mark.parametrize("name", [name for name in public_names() if name not in split_names()])
def test_a_refusal_gives_a_reason_and_advice(name: str) -> None:
    entry = catalogue()[name]
    assert isinstance(entry, Refused)
    assert entry.reason
    assert entry.instead
    with pytest.raises(NotExact, match="is refused"):
        graph.apply(name)


@pytest.mark.parametrize("name", split_names())
def test_a_result_that_may_differ_comes_with_a_warning(name: str) -> None:
    """A result that is not identical comes with a warning that says how much it may differ, and why."""
    entry = get_entry(name)
    function = CatalogueFunction(entry, {})
    for ndim in entry.ndims or (2, 3):
        for dtype in entry.declared_dtypes():
            trial = Trial("noise", dtype, FLAT if ndim == 2 else (16, 8, 9, 7)[:ndim], (7,) * ndim, 0)
            images = function.images(trial)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                try:
                    _, promise = function.split(images, trial)
                except InputError:
                    with pytest.raises((*REFUSALS, IndexError)):
                        function.whole(images)
                    continue
            messages = [str(warning.message) for warning in caught if warning.category is NotExactWarning]
            if promise.exactness is Exactness.IDENTICAL:
                assert messages == []
            else:
                assert promise.reason
                assert all(promise.reason in message and str(promise) in message for message in messages)
                assert messages


@pytest.mark.parametrize("name", split_names())
def test_an_undeclared_dtype_is_refused(name: str) -> None:
    entry = get_entry(name)
    ndim = entry.ndims[0] if entry.ndims else 2
    for dtype in ("bool", "int16", "uint8", "float32", "float16", "longdouble", "complex128"):
        promoted = dtype == "float16" and name in PROMOTING
        if promoted or dtype in entry.declared_dtypes() or not entry.images:
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


def test_the_document_is_up_to_date() -> None:
    assert DOCUMENT.read_text() == reference.markdown(), "run `make docs`"


def test_the_catalogue_has_as_many_functions_of_each_kind_as_its_page_says() -> None:
    rows = reference.rows()
    split = [row for row in rows if row.kind != "refused"]
    assert (len(split), len(rows) - len(split)) == (458, 84)
    assert Counter(row.exactness.partition(",")[0] for row in split) == {
        "identical": 445,
        "depends on the arguments": 10,
        "approximate": 3,
    }
    assert {row.kind for row in rows} == set(reference.CLASSES)
    assert {row.name.rpartition(".")[0] for row in split} == set(MODULES)
