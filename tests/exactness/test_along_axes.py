"""Reductions along axes: NumPy's dtype, shape and bits, whatever the axes, the blocks and the order of the additions."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lepton_celery import graph
from lepton_celery.catalogue.numpy import along_axes
from lepton_celery.errors import InputError
from lepton_celery.graph.nodes import Image, Value
from lepton_celery.planning.options import Limits, PlanOptions
from lepton_celery.planning.planner import make_plan
from lepton_celery.planning.regions import grid_shape
from lepton_celery.skimage import filters
from tests.exactness.cases.reductions import wide
from tests.oracle import assert_same_as_whole, picture

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # degrees of freedom, and overflows

SUMS = ("sum", "mean", "std", "var", "prod")
ORDERLESS = ("max", "min", "ptp", "any", "all", "count_nonzero", "median")
NAMES = (*SUMS, *ORDERLESS, "argmax", "argmin")
DTYPES = ("bool", "uint8", "uint16", "int32", "int64", "uint64", "float32", "float64")


def check(lazy: Any, whole: Any, seed: int = 0) -> None:
    """Compare in blocks of random lengths, among which 1 and 2 are frequent if the result is not long."""
    assert isinstance(lazy, Image)
    random = np.random.default_rng(seed)
    lengths = grid_shape(whole.shape)
    assert_same_as_whole(lazy, whole, [_length(n, random) for n in lengths])


def _length(total: int, random: np.random.Generator) -> int:
    return min(total, int(random.choice((1, 2, 3, 7, 50) if total < 1000 else (333, 700, 4000))))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(31, 27), (5, 12, 9), (3, 4, 5, 6)])
def test_every_axis_and_combination_of_axes(name: str, shape: tuple[int, ...]) -> None:
    for seed, dtype in enumerate(DTYPES):
        image = wide(shape, dtype) if dtype != "bool" else picture(shape, dtype)
        if name == "ptp" and dtype == "bool":
            continue
        for count in range(1, len(shape)) if not name.startswith("arg") else (1,):
            for axes in itertools.combinations(range(len(shape)), count):
                axis: Any = axes[0] - len(shape) if count == 1 else axes
                whole = getattr(np, name)(image, axis=axis)
                check(getattr(np, name)(graph.open(image), axis=axis), whole, seed)
        whole = getattr(np, name)(image, axis=1, keepdims=True)
        check(getattr(np, name)(graph.open(image), axis=1, keepdims=True), whole, seed)


@pytest.mark.parametrize("name", ["percentile", "quantile"])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_quantiles_come_first(name: str, dtype: str) -> None:
    image = picture((9, 11, 10), dtype)
    scale = 100 if name == "percentile" else 1
    for q in (0.25, (0.1, 0.9), np.array([[0.2], [0.5]])):
        for axis in (0, (0, 2), -1):
            for options in ({}, {"keepdims": True}, {"method": "nearest"}):
                given_q = np.asarray(q) * scale if np.ndim(q) else q * scale
                whole = getattr(np, name)(image, given_q, axis=axis, **options)
                check(getattr(np, name)(graph.open(image), given_q, axis=axis, **options), whole)


@pytest.mark.parametrize("dtype", ["int64", "uint64", "int32", "float32", "float64"])
@pytest.mark.parametrize(
    "shape", [(2, 9000), (9000, 2), (3, 20000), (9000, 2, 3), (2, 9000, 3), (5, 4, 9000), (3, 100, 100)]
)
def test_long_lines_are_added_up_in_numpys_order(shape: tuple[int, ...], dtype: str) -> None:
    image = wide(shape, dtype)
    choices: list[Any] = [0, 1] if len(shape) == 2 else [0, 1, 2, (0, 1), (0, 2), (1, 2)]
    for name, axes in itertools.product(("sum", "mean", "std"), choices):
        check(getattr(np, name)(graph.open(image), axis=axes), getattr(np, name)(image, axis=axes))
    for dtype_of_sum in ("float64", "float32"):
        whole = np.sum(image, axis=-1, dtype=dtype_of_sum)
        check(np.sum(graph.open(image), axis=-1, dtype=dtype_of_sum), whole)


@given(st.data())
def test_any_reduction_of_any_image(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 9), min_size=2, max_size=4)))
    dtype = data.draw(st.sampled_from(DTYPES[1:]))
    name = data.draw(st.sampled_from((*SUMS, *ORDERLESS)))
    axes = tuple(data.draw(st.sets(st.integers(0, len(shape) - 1), min_size=1, max_size=len(shape) - 1)))
    options: dict[str, Any] = {"keepdims": True} if data.draw(st.booleans()) else {}
    if name in ("std", "var"):
        options |= {"ddof": data.draw(st.integers(0, 2))}
    image = wide(shape, dtype)
    whole = getattr(np, name)(image, axis=axes, **options)
    check(
        getattr(graph.open(image), name, lambda **o: getattr(np, name)(graph.open(image), **o))(axis=axes, **options),
        whole,
    )


@pytest.mark.parametrize("name", along_axes.IN_PIECES)
def test_pieces_of_lines_give_what_the_lines_give(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(along_axes, "LINE_PX", 20)
    monkeypatch.setattr(along_axes, "PIECE_PX", 16)
    monkeypatch.setattr(along_axes, "BLOCK_PX", 200)
    for dtype in ("bool", "uint8", "int64", "float32"):
        image = wide((37, 41, 10), dtype) if dtype != "bool" else picture((37, 41, 10), dtype)
        for axis in (0, 1, (0, 1), (1, 2), (0, 2)):
            lazy = getattr(np, name)(graph.open(image), axis=axis)
            check(lazy, getattr(np, name)(image, axis=axis))
            if dtype == "uint8":
                check(np.mean(graph.open(image), axis=axis), np.mean(image, axis=axis))


def test_a_profile_through_planes_too_large_for_a_worker_reads_pieces(tmp_path: Any) -> None:
    volume = np.lib.format.open_memmap(tmp_path / "volume.npy", mode="w+", dtype=np.uint8, shape=(64, 20_000, 20_000))
    del volume  # sparse: 26 GB that are never written nor read
    lazy = graph.open(tmp_path / "volume.npy")
    options = PlanOptions(workers=2, limits=Limits(worker_memory_bytes=100 << 20, pixels=1 << 40))
    plan = make_plan({"out": np.mean(lazy, axis=(1, 2)) + lazy.max(axis=(1, 2))}, options).plan
    assert max(stage.predicted.memory_bytes for stage in plan.stages) <= 100 << 20


def test_filters_before_and_after_a_projection() -> None:
    from skimage.filters import gaussian

    volume = picture((7, 31, 27), "float32")
    lazy = filters.gaussian(graph.open(volume), 1).mean(axis=0)
    check(filters.gaussian(lazy, 2), gaussian(gaussian(volume, 1).mean(axis=0), 2))


def test_methods_take_numpys_arguments() -> None:
    image = picture((9, 11, 4), "float32")
    lazy = graph.open(image)
    check(lazy.max(0), image.max(0))
    check(lazy.mean((0, 1), "float64"), image.mean((0, 1), "float64"))
    check(lazy.std(axis=-1, ddof=1, keepdims=True), image.std(axis=-1, ddof=1, keepdims=True))
    check(lazy.sum(axis=()), image.sum(axis=()))
    check(lazy.max(axis=0, initial=0.7), image.max(axis=0, initial=0.7))
    value = lazy.mean(axis=(0, 1, 2), keepdims=True)
    assert isinstance(value, Value)
    assert_same_as_whole(value, image.mean(axis=(0, 1, 2), keepdims=True), (4, 5))


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "float64"])
def test_sums_of_all_pixels_in_another_dtype(dtype: str) -> None:
    image = wide((130, 150), dtype)
    lazy = graph.open(image)
    for name, other in itertools.product(("sum", "mean", "std"), ("float64", "float32", "int64")):
        if other == "int64" and (name != "sum" or dtype.startswith("float")):
            continue
        if name == "std" and np.result_type(dtype, other) != other:
            with pytest.raises(InputError, match="narrower"):
                getattr(np, name)(lazy, dtype=other)
            continue
        assert_same_as_whole(getattr(np, name)(lazy, dtype=other), getattr(np, name)(image, dtype=other), (40, 77))


def test_values_are_reduced_too() -> None:
    image = picture((23, 31), "float32")
    lazy: Any = np.percentile(graph.open(image), (2, 50, 98))
    whole: Any = np.percentile(image, (2, 50, 98))
    calls: list[Callable[[Any], Any]] = [
        np.mean,
        np.max,
        lambda p: p.sum(),
        lambda p: np.std(p, keepdims=True),
        np.argmax,
        np.median,
    ]
    for call in calls:
        assert_same_as_whole(call(lazy), call(whole), (7, 9))
