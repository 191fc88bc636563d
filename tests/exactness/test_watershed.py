"""Watersheds with a halo that is checked, and floods within a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.segmentation import watershed as source

import lepton_celery as lepton
from lepton_celery import graph
from lepton_celery.catalogue.arrays import Array
from lepton_celery.catalogue.segmentation import watershed
from lepton_celery.catalogue.shared.fastest import KERNELS
from lepton_celery.errors import InputError
from lepton_celery.grid import Region
from lepton_celery.kernels import installed, load
from lepton_celery.stores import MemoryReader
from tests.oracle import assert_identical, assert_same_as_whole, evaluate
from tests.unit.test_rounds import spiral

NAME = "segmentation.watershed"
needs_numba = pytest.mark.skipif(not installed(), reason="the whole image is flooded without the kernel")
KINDS = ("noise", "ties", "smooth", "levels", "distances", "constant")
TIED = ("ties", "levels", "distances", "constant")
WIDE = np.ones((5, 3), bool)


def relief(kind: str, shape: tuple[int, ...], random: np.random.Generator) -> Array:
    noise = random.random(shape)
    smooth = ndimage.gaussian_filter(noise, 2)
    kinds: dict[str, Array] = {
        "noise": noise,
        "ties": np.floor(noise * 4),
        "smooth": smooth,
        "levels": np.round(smooth * 200).astype(np.uint8),
        "distances": -ndimage.distance_transform_edt(noise > 0.1),
        "constant": np.zeros(shape),
    }
    return kinds[kind]


def seeds(shape: tuple[int, ...], random: np.random.Generator, share: float = 0.02) -> Array:
    return np.where(random.random(shape) < share, random.integers(-3, 9, shape), 0).astype(np.int32)


@needs_numba
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("connectivity", [1, 2, WIDE])
def test_decided_pixels_of_a_crop_are_those_of_the_whole(kind: str, connectivity: Any) -> None:
    part = load(KERNELS[watershed.flooded_without_ties], watershed.flooded_without_ties)
    assert part is not None
    contested_wrong = decided = 0
    for seed in range(25):
        random = np.random.default_rng(seed)
        shape = tuple(int(n) for n in random.integers(8, 45, 2))
        image, markers = relief(kind, shape, random), seeds(shape, random, 0.05)
        mask = random.random(shape) < 0.9 if seed % 2 else np.ones(shape, bool)
        whole = source(image, markers, connectivity, mask=mask)
        crop = Region(tuple(int(n) // 5 for n in shape), tuple(n - n // 6 for n in shape))
        footprint = watershed._footprint(connectivity, 2)
        views = watershed._Views(MemoryReader(image), MemoryReader(markers), MemoryReader(mask), footprint)
        pixels = views.read(crop)
        cut = pixels.cut(crop, Region.whole(shape))
        numbers, flags = part(heights=pixels.heights, numbers=pixels.numbers, cut=cut, steps=pixels.steps)
        inner, expected = flags[pixels.inner], whole[crop.slices]
        sure, contested = inner == 0, inner == watershed.CONTESTED
        found = pixels.names[np.where(inner & watershed.FROM_FACES, 0, numbers[pixels.inner])]
        np.testing.assert_array_equal(found[sure], expected[sure])
        decided += int(sure.sum())
        contested_wrong += int((found != expected)[contested].sum())
    assert decided > 0
    assert contested_wrong == 0 or kind in TIED


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.0005, 0.02])
def test_blocks_with_small_halos(kind: str, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watershed, "FIRST_HALO_PX", 2)
    for seed in range(3):
        random = np.random.default_rng(seed)
        shape = (83, 67)
        image, markers = relief(kind, shape, random), seeds(shape, random, share)
        mask = None if seed % 2 else random.random(shape) < 0.85
        lazy = graph.apply(NAME, image, markers, connectivity=1 + seed % 2, mask=mask)
        assert_same_as_whole(lazy, source(image, markers, 1 + seed % 2, mask=mask), (16, 19))


@needs_numba
def test_a_smooth_image_is_never_flooded_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    image = ndimage.gaussian_filter(random.random((300, 280)), 4)
    markers = ndimage.label(image == ndimage.minimum_filter(image, 9))[0]
    monkeypatch.setattr(watershed, "_whole_flood", None)
    monkeypatch.setattr(watershed, "WHOLE_PX", 0)
    assert_same_as_whole(graph.apply(NAME, image, markers), source(image, markers), (64, 70))


def nuclei(shape: tuple[int, ...], random: np.random.Generator) -> tuple[Array, Array, Array]:
    """Distances to the background, seeds at their peaks, and the mask of the nuclei, some of which touch."""
    mask = ndimage.gaussian_filter(random.random(shape), 2) > 0.5
    distance = ndimage.distance_transform_edt(mask)
    peaks = (distance == ndimage.maximum_filter(distance, 3)) & mask
    return -distance, ndimage.label(peaks)[0], mask


@pytest.mark.parametrize("shape", [(150, 170), (30, 36, 40)])
@pytest.mark.parametrize("kernels", [True, False])
def test_nuclei_of_which_few_are_contested(shape: tuple[int, ...], kernels: bool) -> None:
    block_shape = (50, 60) if len(shape) == 2 else (12, 18, 20)
    for seed in range(4):
        image, markers, mask = nuclei(shape, np.random.default_rng(seed))
        lazy = graph.apply(NAME, image, markers, connectivity=1 + seed % 2, mask=mask)
        assert_identical(evaluate(lazy, block_shape, kernels=kernels), source(image, markers, 1 + seed % 2, mask=mask))


def test_contested_labels_depend_on_distant_markers() -> None:
    """scikit-image's heap orders equal markers by all that it held before, so the whole image has to be flooded."""
    image, markers, mask = np.zeros((5, 60)), np.zeros((5, 60), np.int32), np.ones((5, 60), bool)
    markers[[0, 4, 0, 2], [1, 6, 9, 4]] = 1, 2, 3, 4
    mask[:, 12] = False
    alone = source(image[:, :12], markers[:, :12])
    differ = 0
    for seed in range(20):
        random = np.random.default_rng(seed)
        markers[:, 13:] = np.where(random.random((5, 47)) < 0.1, 9, 0)
        whole = source(image, markers, mask=mask)
        differ += int((whole[:, :12] != alone).any())
        assert_same_as_whole(graph.apply(NAME, image, markers, mask=mask), whole, (5, 12))
    assert differ > 0


def test_a_flood_that_does_not_fit_into_memory_is_refused() -> None:
    shape = (1 << 27, 1 << 27)  # more than a process can address
    image, markers = np.broadcast_to(0.0, shape), np.broadcast_to(np.int32(1), shape)
    views = watershed._Views(MemoryReader(image), MemoryReader(markers), None, watershed._footprint(1, 2))
    with pytest.raises(InputError, match=f"{1 << 54:,} pixels at once"):
        views.read(Region.whole(shape))


def test_a_basin_that_winds_through_all_blocks() -> None:
    path = spiral(131) > 0
    image = np.where(path, np.linspace(0, 1, path.size).reshape(path.shape), 9.0)
    markers = np.zeros(path.shape, np.uint8)
    markers[0, 0], markers[65, 65] = 3, 4
    assert_same_as_whole(graph.apply(NAME, image, markers, mask=path), source(image, markers, mask=path), (30, 40))


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "int64", "uint64"])
def test_labels_keep_the_dtype_of_the_markers(dtype: str) -> None:
    random = np.random.default_rng(1)
    image, markers = relief("noise", (150, 140), random), np.abs(seeds((150, 140), random)).astype(dtype)
    assert_same_as_whole(graph.apply(NAME, image, markers), source(image, markers), (31, 30))


@pytest.mark.parametrize(
    "options",
    [
        {"markers": 7},
        {"markers": None},
        {"compactness": 0.1},
        {"watershed_line": True},
        {"connectivity": np.array([[0, 1, 0], [0, 1, 1], [0, 0, 0]])},
        {"connectivity": np.ones((2, 3)), "offset": (1, 1)},
    ],
)
def test_other_floods_read_the_whole_image(options: dict[str, Any]) -> None:
    random = np.random.default_rng(2)
    options = {"markers": seeds((40, 45), random), **options}
    image = relief("smooth", (40, 45), random)
    assert_same_as_whole(graph.apply(NAME, image, **options), source(image, **options), (11, 12))


def test_images_that_cannot_be_flooded_are_refused() -> None:
    image, markers = np.zeros((200, 9)), np.ones((200, 9), np.int32)
    for options in ({"markers": image}, {"markers": markers[:5]}, {"markers": markers, "connectivity": WIDE[0]}):
        with pytest.raises(InputError):
            graph.apply(NAME, image, **options)
    for offset in ((0, 0), (1,)):  # scikit-image may crash on the first offset: it writes past the image
        with pytest.raises(InputError, match="offset"):
            graph.apply(NAME, image, markers, connectivity=np.ones((2, 2)), offset=offset)
    image[4, 4] = np.nan
    with pytest.raises(InputError, match="NaN"):
        lepton.compute(graph.apply(NAME, image, markers), block_shape=(20, 9), threads=1)


@pytest.mark.parametrize("structure", [None, np.ones((3, 3)), np.array([[0, 1, 1, 0, 0]]), np.eye(7)])
def test_binary_propagation(structure: Any) -> None:
    random = np.random.default_rng(4)
    start, mask = random.random((61, 53)) < 0.01, random.random((61, 53)) < 0.7
    for limit in (mask, None):
        given = {"structure": structure, "mask": limit}
        whole = ndimage.binary_propagation(start, **given)
        assert_same_as_whole(graph.apply("ndimage.binary_propagation", start, **given), whole, (9, 13))
    start, mask = start[:15, :18], mask[:15, :18]
    whole = ndimage.binary_propagation(start, structure, mask)
    assert_same_as_whole(graph.apply("ndimage.binary_propagation", start, structure, mask), whole, (1, 2))


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_propagation_of_any_images(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(3, 11), min_size=1, max_size=3)))
    deal = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    start = (deal.random(shape) < data.draw(st.sampled_from((0.0, 0.05, 0.3)))) * deal.integers(1, 5, shape)
    mask = data.draw(st.sampled_from((None, deal.integers(0, 3, shape))))
    structure = data.draw(st.sampled_from((None, np.ones((3,) * len(shape)), deal.random((3,) * len(shape)) < 0.5)))
    if structure is not None:
        structure[(1,) * len(shape)] = True
    block_shape = tuple(data.draw(st.integers(1, n)) for n in shape)
    given = {"structure": structure, "mask": mask}
    whole = ndimage.binary_propagation(start, **given)
    assert_same_as_whole(graph.apply("ndimage.binary_propagation", start, **given), whole, block_shape)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_watersheds_of_small_images_with_ties(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(3, 14), min_size=2, max_size=3)))
    deal = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    mask = deal.random(shape) < data.draw(st.sampled_from((0.3, 0.6, 0.95)))
    heights = data.draw(st.sampled_from(("distances", "levels", "distinct")))
    image = deal.permutation(mask.size).reshape(shape) if heights == "distinct" else deal.integers(0, 3, shape)
    if heights == "distances":
        image = -ndimage.distance_transform_edt(mask)
    markers = deal.integers(1, 6, shape) * (deal.random(shape) < data.draw(st.sampled_from((0.02, 0.1))))
    connectivity = data.draw(st.integers(1, len(shape)))
    block_shape = tuple(data.draw(st.integers(1, n)) for n in shape)
    lazy = graph.apply(NAME, image, markers, connectivity, mask=mask)
    assert_same_as_whole(lazy, source(image, markers, connectivity, mask=mask), block_shape)


def test_binary_propagation_along_a_path_through_all_blocks() -> None:
    path = spiral(33)
    whole = ndimage.binary_propagation(path == 2, mask=path > 0)
    assert_same_as_whole(graph.apply("ndimage.binary_propagation", path == 2, mask=path > 0), whole, (7, 6))


@pytest.mark.parametrize(
    "options",
    [
        {"border_value": 1},
        {"origin": (0, 1)},
        {"structure": np.ones((2, 3))},
        {"structure": np.array([[1, 0, 1]])},
        {"structure": np.ones((11, 3))},
        {"mask": np.ones((8, 9))},
    ],
)
def test_propagation_that_does_not_settle_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        graph.apply("ndimage.binary_propagation", np.ones((9, 9)), **options)


@needs_numba
@settings(max_examples=150, deadline=None)
@given(
    ndim=st.integers(1, 3),
    levels=st.sampled_from([1, 2, 5, 50, 10**6]),
    share=st.sampled_from([0.01, 0.1, 0.4]),
    walls=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 2**32),
)
def test_the_flood_in_order_is_that_of_scikit_images_heap(
    ndim: int, levels: int, share: float, walls: float, seed: int
) -> None:
    """Among equal markers too, whose order depends on all that the heap held before."""
    kernel = load(KERNELS[watershed.flooded_in_order], watershed.flooded_in_order)
    assert kernel is not None
    random = np.random.default_rng(seed)
    shape = tuple(int(n) for n in random.integers(3, {1: 300, 2: 40, 3: 14}[ndim], ndim))
    heights = random.integers(-levels, levels, shape).astype(float)
    markers = np.where(random.random(shape) < share, random.integers(1, 20, shape), 0)
    mask = random.random(shape) >= walls
    footprint = watershed._footprint(int(random.integers(1, ndim + 1)), ndim)
    views = watershed._Views(MemoryReader(heights), MemoryReader(markers), MemoryReader(mask), footprint)
    pixels = views.read(Region.whole(shape))
    given: dict[str, Any] = {"heights": pixels.heights, "numbers": pixels.numbers, "steps": pixels.steps}
    expected = watershed.flooded_in_order(**given)
    assert_identical(kernel(**given), expected)
    assert_identical(
        pixels.names[np.maximum(expected[pixels.inner], 0)], source(heights, markers, footprint, mask=mask)
    )
