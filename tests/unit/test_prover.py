"""The prover finds errors, and says where they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import ndimage
from skimage import filters

import lepton_celery as lepton
from lepton_celery.catalogue import catalogue
from lepton_celery.catalogue.arrays import Array
from lepton_celery.catalogue.entries import Local
from lepton_celery.catalogue.geometry import Stencil
from lepton_celery.catalogue.promise import approximate, within
from lepton_celery.errors import InputError, NotExact, UnknownOperation
from lepton_celery.proving import prove as prover
from lepton_celery.proving.compare import difference


def blur(image: Array, size: int = 5) -> Array:
    result: Array = ndimage.median_filter(image, size)
    return result


def stretch(image: Array) -> Array:
    result: Array = image / image.max()
    return result


@pytest.fixture
def too_short() -> Iterator[str]:
    """A catalogue whose gaussian declares a halo that is one pixel too short."""
    found = catalogue()
    entry = found["filters.gaussian"]
    assert isinstance(entry, Local)
    assert isinstance(entry.geometry, Stencil)
    right = entry.geometry
    wrong = Stencil(lambda arguments: tuple(h - 1 for h in right.halo_px(len(arguments["image"].shape), arguments)))
    found["filters.gaussian"] = replace(entry, geometry=wrong)
    yield "filters.gaussian"
    found["filters.gaussian"] = entry


def test_a_halo_that_is_too_short_is_found_and_the_right_one_named(too_short: str) -> None:
    proof = lepton.prove(too_short, sigma=1.5, dtypes=["float64"], thorough=False)
    assert not proof.holds
    assert proof.declared_halo == (5, 5)
    assert proof.smallest_halo == (6, 6)
    text = str(proof)
    assert "NOT identical" in text
    assert "halo: declared 5, smallest exact 6" in text
    assert "values differ, the first at" in text


def test_a_function_of_scikit_image_is_found_in_the_catalogue() -> None:
    proof = prover.prove(filters.sobel, dtypes=["uint8"], ndims=[2], thorough=False)
    assert proof.name == "filters.sobel"
    assert proof.holds
    assert (proof.declared_halo, proof.smallest_halo) == ((1, 1), (1, 1))


def test_the_halo_of_a_function_of_the_user_is_found() -> None:
    proof = prover.prove(blur, dtypes=["uint8"], ndims=[2], thorough=False, size=7)
    assert proof.smallest_halo == (3, 3)
    assert "halo: none declared, smallest exact 3" in str(proof)
    assert prover.prove(blur, halo=3, dtypes=["uint8"], ndims=[2], thorough=False, size=7).holds
    assert not prover.prove(blur, halo=2, dtypes=["uint8"], ndims=[2], thorough=False, size=7).holds


def test_a_function_of_the_whole_image_has_no_halo() -> None:
    proof = prover.prove(stretch, halo=4, dtypes=["float64"], ndims=[2], thorough=False)
    assert not proof.holds
    assert proof.smallest_halo is None or proof.smallest_halo > (4, 4)


def test_a_result_that_differs_by_more_ulp_than_promised_fails() -> None:
    whole = np.array([1.0, 1000.0])
    near = np.array([1.0, np.nextafter(1000.0, 2000)])
    assert difference(near, whole)
    assert not difference(near, whole, within(1, "sums"))
    assert difference(whole + 1e-9, whole, within(1, "sums"))
    assert difference(np.array([np.nan, 1000.0]), whole, within(1, "sums"))


@pytest.mark.parametrize(
    ("found", "whole", "what"),
    [
        (np.zeros(3, "f4"), np.zeros(3), "float32"),
        (np.zeros(3), np.zeros(4), "(4,)"),
        (np.zeros(2), -np.zeros(2), "-0.0"),
        ({"a": np.ones(1)}, {"b": np.ones(1)}, "columns"),
        ({"a": np.ones(1)}, {"a": np.zeros(1)}, "column a"),
        ((np.ones(2),), (np.ones(2), np.ones(2)), "1 results instead of 2"),
        ((np.ones(2), np.ones(2)), (np.ones(2), np.zeros(2)), "result 1"),
    ],
)
def test_every_kind_of_difference_is_described(found: Any, whole: Any, what: str) -> None:
    assert what in difference(found, whole)
    assert difference(whole, whole) == ""


def test_nan_equals_nan_whatever_its_bits() -> None:
    assert difference(np.array([-np.nan]), np.array([np.nan])) == ""


def test_unknown_functions_and_wrong_shapes_are_input_errors() -> None:
    with pytest.raises(UnknownOperation, match="did you mean"):
        prover.prove("filters.gausian")


def test_a_function_that_changes_the_shape_is_refused() -> None:
    with pytest.raises(InputError, match="only functions that keep the shape"):
        prover.prove(lambda image: image[::2], dtypes=["uint8"], ndims=[2])


def test_a_function_that_is_refused_says_why() -> None:
    refused = [name for name, entry in catalogue().items() if type(entry).__name__ == "Refused"]
    for name in refused[:1]:
        with pytest.raises(InputError, match="is refused"):
            prover.prove(name)


def test_an_approximate_result_is_compared_with_the_bound() -> None:
    whole = np.array([1.0, 9.0, np.nan])
    near = np.array([1.1, 8.9, 4.0])
    assert not difference(near, whole, approximate("it rounds", bound=0.02))
    assert "the mean error is 0.0111 of" in difference(near, whole, approximate("it rounds", bound=0.01))
    assert difference(np.array([1.0, np.inf, 0.0]), whole, approximate("it rounds", bound=1.0))
    assert not difference(np.zeros(2), np.zeros(2), approximate("it rounds", bound=0.0))
    assert "float32" in difference(near.astype("f4"), whole, approximate("it rounds", bound=1.0))


@pytest.fixture
def broken(request: pytest.FixtureRequest) -> Iterator[str]:
    """A catalogue whose sobel raises an exception on some images, in its check or on blocks."""
    entry = catalogue()["filters.sobel"]
    assert isinstance(entry, Local)

    def fail(arguments: Any) -> None:
        if arguments["image"].dtype == np.uint8:
            raise request.param

    def on_block(image: Array, **options: Any) -> Array:
        if image.shape == (1, 1) and image.dtype == np.uint8:
            raise request.param
        return np.asarray(filters.sobel(image, **options))

    in_check = isinstance(request.param, InputError)
    catalogue()["filters.sobel"] = replace(entry, check=fail) if in_check else replace(entry, function=on_block)
    yield "filters.sobel"
    catalogue()["filters.sobel"] = entry


@pytest.mark.slow
@pytest.mark.parametrize("broken", [KeyError("boom"), AssertionError("boom"), ValueError("boom")], indirect=True)
def test_an_exception_of_ours_on_what_the_source_takes_is_a_failure(broken: str) -> None:
    proof = prover.prove(broken, dtypes=["uint8", "float64"], ndims=[2])
    assert not proof.holds
    assert not proof.differences
    assert {failure.trial.dtype for failure in proof.our_failures} == {"uint8"}
    assert {failure.trial.shape for failure in proof.our_failures} == {(1, 1)}
    assert "NOT DONE in" in str(proof)
    assert "first exception of lepton_celery: uint8 image (1, 1)" in str(proof)
    assert "boom" in str(proof)


@pytest.mark.parametrize("broken", [InputError("no uint8"), NotExact("no uint8")], indirect=True)
def test_a_refusal_by_the_catalogue_is_no_failure(broken: str) -> None:
    proof = prover.prove(broken, dtypes=["uint8", "float64"], ndims=[2], thorough=False)
    assert proof.holds
    assert proof.dtypes_tried == {"float64"}
    assert proof.refused_by_entry > 0
    assert "refused here only, as the catalogue says" in str(proof)


def test_an_image_that_the_source_refuses_too_is_no_failure() -> None:
    proof = prover.prove("morphology.reconstruction", dtypes=["uint8"], ndims=[2], thorough=False, method="sideways")
    assert not proof.holds
    assert proof.refused_by_source > 0
    assert proof.our_failures == []
    assert "not tried: it refused every image" in str(proof)
