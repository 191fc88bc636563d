"""The lazy modules have every public name of the modules that they mirror."""

from __future__ import annotations

import inspect
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import skimage

import lepton_celery as lepton
import lepton_celery.skimage as lazy_skimage
from lepton_celery.catalogue import catalogue
from lepton_celery.catalogue.signatures import library_path
from lepton_celery.errors import NotExact
from lepton_celery.skimage import feature, filters, graph, io, measure, morphology, transform
from lepton_celery.skimage.lazy import public_names

MODULES = [*lazy_skimage.__all__, "filters.rank", "ndimage"]

PIXELS = {"image", "images", "img", "im", "label_image", "labels", "input", "volume"}
"""Parameters that take pixels."""

OF_DTYPES = {"util.dtype_limits"}
"""Functions that look only at the dtype of an image."""


def mirror(module: str) -> ModuleType:
    return import_module("lepton_celery.ndimage" if module == "ndimage" else f"lepton_celery.skimage.{module}")


def test_every_module_of_scikit_image_has_a_lazy_one() -> None:
    assert set(lazy_skimage.__all__) == {name for name in skimage.__all__ if not name.startswith("_")}


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_can_be_imported(module: str) -> None:
    source, lazily = import_module(library_path(module)), mirror(module)
    for name in public_names(module):
        found = getattr(lazily, name)
        if f"{module}.{name}" not in catalogue():
            assert found is getattr(source, name)
    assert set(dir(lazily)) == set(public_names(module))


@pytest.mark.parametrize("module", MODULES)
def test_what_takes_pixels_is_in_the_catalogue(module: str) -> None:
    source = import_module(library_path(module))
    passed = {f"{module}.{name}": getattr(source, name) for name in public_names(module)}
    takes_pixels = [
        name
        for name, value in passed.items()
        if inspect.isroutine(value) and name not in catalogue() and PIXELS & set(inspect.signature(value).parameters)
    ]
    assert set(takes_pixels) <= OF_DTYPES


def test_footprints_transforms_and_models_are_scikit_images_own() -> None:
    assert np.array_equal(morphology.disk(3), skimage.morphology.disk(3))
    assert transform.AffineTransform is skimage.transform.AffineTransform
    assert measure.CircleModel is skimage.measure.CircleModel
    moved = transform.warp(np.eye(8), matrix := transform.AffineTransform(translation=(1, 2)))  # type: ignore[no-untyped-call]
    whole = skimage.transform.warp(np.eye(8), matrix)
    assert np.array_equal(lepton.compute(moved, threads=1), whole)
    opened = morphology.opening(np.eye(8), morphology.footprint_rectangle((3, 3), decomposition="sequence"))
    assert not lepton.compute(opened, threads=1).any()


@pytest.mark.parametrize(
    ("function", "instead"),
    [
        (graph.rag_mean_color, "skimage.graph.rag_mean_color"),
        (graph.route_through_array, "on a crop"),
        (io.imread, "lepton.open"),
        (io.imsave, "lepton.submit"),
        (filters.rank_order, "numpy.digitize"),
    ],
)
def test_what_cannot_be_split_says_why_and_what_to_use(function: Any, instead: str) -> None:
    with pytest.raises(NotExact, match="is refused: ") as refusal:
        function()
    assert instead in str(refusal.value)


def test_an_unknown_name_is_an_attribute_error_that_names_near_ones() -> None:
    with pytest.raises(
        AttributeError, match=r"skimage\.feature has no peak_local_maxx; did you mean feature\.peak_loc"
    ):
        _ = feature.peak_local_maxx
