"""Wrong arguments are refused when the graph is built, with an error that is also of scikit-image's class."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from skimage.measure import regionprops_table

from lepton_celery import graph
from lepton_celery.catalogue import catalogue, public_names
from lepton_celery.catalogue.entries import Entry, resolve
from lepton_celery.errors import DtypeNotSupported, InputError
from lepton_celery.proving.subjects import CatalogueFunction, Trial, sample_images
from tests.exactness.cases.case import FLAT
from tests.oracle import picture

BUILT_IN = (NotImplementedError, TypeError, RuntimeError, IndexError, OverflowError, ValueError)
NAMES = [
    name
    for name in public_names()
    if not catalogue()[name].is_refused and not isinstance(resolve(catalogue()[name].source), np.ufunc)
]

OF_ANOTHER_CLASS = {
    ("morphology.medial_axis", "rng"): "NumPy refuses it with a TypeError, because it is no seed",
}
"""Arguments that are refused, but not with an error of the source's class."""


def wrong_values(entry: Entry, example: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Text for each parameter that takes a choice or a number, and a parameter that does not exist."""
    for name, parameter in entry.signature.parameters.items():
        default = example.get(name, parameter.default)
        if isinstance(default, str | int | float) and not isinstance(default, bool):
            yield name, "nonsense"
    yield "no_such_parameter", 1


def refusal(function: Any, *args: Any, **kwargs: Any) -> Exception | None:
    try:
        with np.errstate(all="ignore"):
            function(*args, **kwargs)
    except Exception as error:
        return error
    return None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NAMES)
def test_what_the_source_refuses_is_refused_at_once_with_an_error_of_its_class(name: str) -> None:
    entry = catalogue()[name]
    ndim = 2 if not entry.ndims or 2 in entry.ndims else entry.ndims[0]
    function = CatalogueFunction(entry, {})
    dtypes = entry.declared_dtypes()
    trial = Trial("noise", "uint8" if "uint8" in dtypes else dtypes[-1], (12, 13, 11, 9)[:ndim], (7,) * ndim, 0)
    images = function.images(trial)
    example = entry.example_for(ndim)
    source = resolve(entry.source)
    kinds = [parameter.kind for parameter in inspect.signature(source).parameters.values()]
    if inspect.Parameter.POSITIONAL_ONLY in kinds or inspect.Parameter.VAR_KEYWORD in kinds:
        return
    for parameter, value in wrong_values(entry, example):
        if parameter in images or (parameter == "order" and name.startswith("numpy.")):
            continue  # lazy images have no memory order
        arguments = {**images, **example, parameter: value}
        theirs = refusal(source, **arguments)
        if theirs is None:
            continue
        ours = refusal(graph.apply, name, **arguments)
        assert isinstance(ours, InputError), (parameter, theirs)
        built_in = next((cls for cls in BUILT_IN if isinstance(theirs, cls)), InputError)
        assert isinstance(ours, built_in) or (name, parameter) in OF_ANOTHER_CLASS, (parameter, theirs, ours)


@pytest.mark.parametrize("shape", [(30,), (4, 5, 6, 5)])
@pytest.mark.parametrize("properties", [("label", "area"), ("perimeter",), ("intensity_mean",)])
def test_a_table_of_one_or_four_axes_is_refused_as_by_scikit_image(shape: Any, properties: Any) -> None:
    labels, image = np.ones(shape, int), np.ones(shape)
    for table in (
        regionprops_table,
        lambda *args, **options: graph.apply("measure.regionprops_table", *args, **options),
    ):
        with pytest.raises(TypeError, match="2"):
            table(labels, image, properties=properties)  # type: ignore[no-untyped-call]


@pytest.mark.timeout(100)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("feature.multiscale_basic_features", {"sigma_max": 10_000_000}),
        ("filters.gaussian", {"sigma": 1e9}),
        ("ndimage.gaussian_filter", {"sigma": 1e9}),
        ("feature.hessian_matrix", {"sigma": 1e9, "use_gaussian_derivatives": False}),
    ],
)
def test_a_kernel_that_would_take_for_ever_is_refused_before_it_is_tried(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="smaller sigma"):
        graph.apply(name, picture(FLAT, float), **options)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ndimage.binary_erosion", {"origin": -3}),
        ("ndimage.binary_dilation", {"origin": (0, 2)}),
        ("ndimage.binary_opening", {"origin": 5, "structure": np.ones((3, 5), bool)}),
        ("ndimage.binary_hit_or_miss", {"origin1": -3}),
        ("ndimage.binary_hit_or_miss", {"origin2": 2}),
        ("feature.corner_moravec", {"window_size": -3}),
        ("morphology.h_maxima", {"h": np.nan}),
        ("morphology.h_minima", {"h": np.nan}),
    ],
)
def test_arguments_with_which_the_source_crashes_are_refused(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        graph.apply(name, picture(FLAT, float), **options)


FEW = (9, 10, 3, 4)
UNLIKE_SOURCE = {
    "filters.rank.noise_filter": "the axes of footprint and image are compared first",
    "measure.intersection_coeff": "only the pixels tell that an image is no mask",
    "measure.manders_coloc_coeff": "only the pixels tell that an image is no mask",
    "measure.perimeter": "only the pixels tell that an image is no mask",
    "segmentation.felzenszwalb": "scikit-image fails later, with the index of a superpixel",
}
"""Functions that refuse such images in another way than their sources."""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NAMES)
def test_images_that_the_source_refuses_are_refused_with_an_error_of_its_class(name: str) -> None:
    entry = catalogue()[name]
    source = resolve(entry.source)
    kinds = [parameter.kind for parameter in inspect.signature(source).parameters.values()]
    if inspect.Parameter.POSITIONAL_ONLY in kinds or inspect.Parameter.VAR_KEYWORD in kinds:
        return
    example = entry.example_for(2 if not entry.ndims or 2 in entry.ndims else entry.ndims[0])
    for ndim in (1, 2, 3, 4):
        for dtype in ("bool", "uint8", "float16", "float32"):
            trial = Trial("noise", dtype, FEW[:ndim], (7,) * ndim, 0)
            images = sample_images(entry, example, trial)
            ours = refusal(graph.apply, name, **images, **example)
            assert ours is None or isinstance(ours, InputError), (trial, ours)
            if isinstance(ours, DtypeNotSupported):
                continue  # always a TypeError
            theirs = refusal(source, **images, **example)
            if theirs is None or name in UNLIKE_SOURCE:
                continue
            assert isinstance(ours, next(known for known in BUILT_IN if isinstance(theirs, known))), (trial, theirs)


@pytest.mark.parametrize("index", [12, -13, (0, 0, 0), (..., ...), "x", 1.5])
def test_an_index_that_numpy_refuses_is_an_index_error(index: Any) -> None:
    image = np.zeros((12, 13))
    assert isinstance(refusal(lambda: image[index]), IndexError)
    assert isinstance(refusal(lambda: graph.open(image)[index]), IndexError)
    value = np.percentile(graph.open(image), (5, 95))
    assert isinstance(refusal(lambda: value[index]), IndexError)
