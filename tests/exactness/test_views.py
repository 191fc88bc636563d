"""Sums of views: NumPy's bits where the order of the pixels in memory is known, and a warning where it is not."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lepton_celery import graph
from lepton_celery.catalogue.arrays import Array
from lepton_celery.errors import NotExactWarning
from lepton_celery.graph.nodes import Image
from lepton_celery.skimage import filters
from tests.exactness.cases.reductions import wide
from tests.oracle import evaluate

VIEWS: list[Callable[[Any], Any]] = [
    lambda x: x,
    lambda x: x.T,
    lambda x: x[3:80],
    lambda x: x[3:80].T,
    lambda x: x.T[:, 5:60],
    lambda x: x.T * 2,
    lambda x: (x + 1).T.T,
    lambda x: x[:, 3:60],
    lambda x: x[::2],
    lambda x: x[::-1],
    lambda x: x[:, 3:60] * 2,
    lambda x: x[7],
    lambda x: x[:, 7],
    lambda x: x[None].T,
    lambda x: np.round(x.T, 1),
    lambda x: np.where(x.T > 0, x.T, 0),
    lambda x: x + x[:, :1].T[:, :1],
]
EXACT = [VIEWS[number] for number in (0, 1, 2, 3, 4, 5, 6, 10, 11, 13, 15)]
"""Views whose memory is known to be without gaps: no warning."""
SUMS: list[Callable[[Any], Any]] = [np.sum, np.mean, np.std, lambda x: np.var(x, ddof=1)]


def warned(lazily: Callable[[], Any]) -> tuple[Any, bool]:
    """A lazy result, and whether it came with a warning that it is not exact."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        lazy = lazily()
    return lazy, any(warning.category is NotExactWarning for warning in caught)


def check(whole: Any, lazily: Callable[[], Any], *, exact: bool) -> None:
    lazy, said = warned(lazily)
    found = evaluate(lazy, None)
    assert not (exact and said)
    if said:
        np.testing.assert_allclose(found, whole, rtol=1e-3)
    else:
        assert found.dtype == whole.dtype and np.array_equal(found, whole)


@pytest.mark.parametrize("total", SUMS)
@pytest.mark.parametrize("view", VIEWS)
def test_sums_of_views_are_numpys_or_come_with_a_warning(
    view: Callable[[Any], Any], total: Callable[[Any], Any]
) -> None:
    for dtype in ("float32", "float64"):
        for image in (wide((101, 67), dtype), np.asfortranarray(wide((101, 67), dtype)), wide((67, 101), dtype).T):
            exact = view in EXACT and image.flags.c_contiguous
            check(total(view(image)), lambda image=image: total(view(graph.open(image))), exact=exact)  # type: ignore[misc]


@pytest.mark.parametrize("axis", [0, 1, (0, 2), (1, 2)])
def test_lines_of_views(axis: Any) -> None:
    volume = wide((13, 41, 37), "float32")
    views: list[Callable[[Any], Any]] = [
        lambda x: x,
        lambda x: x[:, 3:20],
        lambda x: x[..., 5:],
        lambda x: x.transpose(1, 2, 0),
        lambda x: x[::-1, ::2],
    ]
    for number, view in enumerate(views):
        whole = view(volume).mean(axis=axis)
        check(whole, lambda view=view: view(graph.open(volume)).mean(axis=axis), exact=number == 0)  # type: ignore[misc]


def test_integers_and_extremes_do_not_depend_on_the_order() -> None:
    image = wide((101, 67), "int32")
    for call in (np.sum, np.max, np.mean, lambda x: np.percentile(x, 5)):
        lazy, said = warned(lambda call=call: call(graph.open(image)[:, 3:20].T))  # type: ignore[misc]
        assert not said
        assert evaluate(lazy, None) == call(image[:, 3:20].T)


def test_arrays_that_are_views_are_opened_as_they_are() -> None:
    base: Array = wide((90, 80), "float64")
    for view in (base[:, 3:60], base.T, np.asfortranarray(base), base[::-1], base[::3, ::2]):
        for call in (np.sum, np.mean, np.std):
            check(call(view), lambda call=call, view=view: call(graph.open(view)), exact=False)  # type: ignore[misc]


def test_filters_of_slices_are_contiguous_again() -> None:
    image = wide((60, 70), "float32")
    lazy, said = warned(lambda: filters.gaussian(graph.open(image)[:, 3:40], 1).mean())
    from skimage.filters import gaussian

    assert not said
    assert evaluate(lazy, None) == gaussian(image[:, 3:40], 1).mean()


def test_a_threshold_of_a_view_warns_too() -> None:
    _, said = warned(lambda: filters.threshold_mean(graph.open(wide((60, 70), "float32"))[:, 3:40]))
    assert said


def test_the_layout_is_that_of_numpys_array() -> None:
    image = wide((13, 17), "float32")
    for view in VIEWS:
        lazy, whole = view(graph.open(image)), view(image)
        assert isinstance(lazy, Image)
        if lazy.layout is not None:
            assert whole.transpose(lazy.layout.order).flags.c_contiguous == lazy.layout.contiguous
