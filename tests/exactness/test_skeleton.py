"""Objects that are thinned in rounds."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage import morphology

from lepton_celery import graph
from lepton_celery.catalogue.arrays import Array
from lepton_celery.catalogue.morphology.skeleton import ROUND_ITERATIONS, zhang
from lepton_celery.errors import InputError
from tests.oracle import assert_same_as_whole
from tests.unit.test_rounds import spiral

SHARES = (0.3, 0.5, 0.8, 0.95)


def blobs(shape: tuple[int, ...], seed: int, sigma: float = 6) -> Array:
    smooth = gaussian_filter(np.random.default_rng(seed).random(shape), sigma)
    return np.asarray(smooth > np.quantile(smooth, 0.4))


def agree(name: str, image: Array, block_shape: tuple[int, ...], **options: Any) -> None:
    whole = getattr(morphology, name)(image, **options)
    assert_same_as_whole(graph.apply(f"morphology.{name}", image, **options), whole, block_shape)


def test_every_neighbourhood_is_thinned_as_in_scikit_image() -> None:
    """All patterns of 4 x 4 pixels in one image, far enough apart."""
    patterns = (np.arange(1 << 16)[:, np.newaxis] >> np.arange(16) & 1).astype(bool).reshape(256, 256, 4, 4)
    apart = np.pad(patterns, ((0, 0), (0, 0), (1, 1), (1, 1)))
    image = apart.transpose(0, 2, 1, 3).reshape(1536, 1536)
    np.testing.assert_array_equal(zhang(image, 100), morphology.skeletonize(image))


@pytest.mark.parametrize("share", SHARES)
def test_noise_and_blobs_are_thinned_as_in_scikit_image(share: float) -> None:
    random = np.random.default_rng(int(share * 100))
    for shape in product((1, 2, 13, 64), (1, 3, 40)):
        image = random.random(shape) < share
        np.testing.assert_array_equal(zhang(image, 1000), morphology.skeletonize(image))


@pytest.mark.parametrize("name", ["thin", "skeletonize"])
def test_objects_thicker_than_one_round_removes(name: str) -> None:
    solid = np.zeros((150, 170), bool)
    solid[3:-2, 2:] = True
    for image in (solid, np.ones((131, 117)), blobs((140, 150), 2, 20), blobs((150, 140), 3)):
        agree(name, image, (40, 37))


@pytest.mark.parametrize("name", ["thin", "skeletonize"])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "float32"])
def test_thin_objects_and_noise(name: str, dtype: str) -> None:
    for image in (spiral(41), np.random.default_rng(1).random((61, 47)) < 0.7, np.ones((1, 30)), np.ones((2, 2))):
        agree(name, image.astype(dtype), (6, 11))


@pytest.mark.parametrize("times", [0, 1, 3, ROUND_ITERATIONS, ROUND_ITERATIONS + 1, 3 * ROUND_ITERATIONS])
def test_a_number_of_iterations_may_be_given(times: int) -> None:
    image = np.ones((130, 117), np.uint8)
    image[60, 60] = 0
    agree("thin", image, (40, 37), max_num_iter=times)
    agree("thin", blobs((60, 61), times), (13, 22), max_num_iter=times)


def test_lee_reads_the_whole_image() -> None:
    agree("skeletonize", blobs((40, 45), 4), (11, 12), method="lee")
    agree("skeletonize", blobs((14, 15, 16), 4, 2), (5, 6, 7))


@pytest.mark.parametrize(
    ("name", "shape", "options"),
    [
        ("thin", (9, 9), {"max_num_iter": -1}),
        ("thin", (9, 9), {"max_num_iter": 2.5}),
        ("thin", (9, 9, 9), {}),
        ("skeletonize", (9, 9), {"method": "other"}),
        ("skeletonize", (9, 9, 9), {"method": "zhang"}),
        ("skeletonize", (9,), {}),
    ],
)
def test_arguments_that_cannot_be_split_are_refused(name: str, shape: tuple[int, ...], options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        graph.apply(f"morphology.{name}", np.ones(shape), **options)
