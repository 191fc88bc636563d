"""NumPy's functions on special values at every position: vector instructions treat a row's last pixels differently."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lepton_celery import graph
from lepton_celery.catalogue import catalogue
from lepton_celery.catalogue.arrays import Array
from lepton_celery.errors import InputError, NotExactWarning
from tests.exactness.cases.case import FLAT
from tests.oracle import assert_same_as_whole, evaluate, picture

UFUNCS = sorted(
    name.removeprefix("numpy.")
    for name in catalogue()
    if name.startswith("numpy.") and isinstance(getattr(np, name.removeprefix("numpy."), None), np.ufunc)
)
ZEROS = {"fmin", "fmax"}
SPECIAL = [
    0.0,
    -0.0,
    np.inf,
    -np.inf,
    np.nan,
    1e300,
    1e38,
    1e-310,
    1e-40,
    -2.5,
    1e10,
    3.0,
    0.5,
    1.0,
    -1.0,
    71476.0,
    5e8,
]


def operands(name: str, dtype: str) -> list[Array]:
    random, count = np.random.default_rng(1), getattr(np, name).nin
    if dtype.startswith("float"):
        with np.errstate(over="ignore"):
            return [random.choice(SPECIAL, (19, 43)).astype(dtype) for _ in range(count)]
    info = np.iinfo(dtype)
    edges = [info.min if name not in ("power", "left_shift", "right_shift") else 3, info.max, 0, 1, 2, 7]
    return [random.choice(edges, (19, 43)).astype(dtype) for _ in range(count)]


def supported() -> list[tuple[str, str]]:
    """The functions, each with those of four dtypes that it takes."""
    found = []
    for name in UFUNCS:
        ufunc: np.ufunc = getattr(np, name)
        for dtype in ("float32", "float64", "int32", "uint8"):
            try:
                ufunc.resolve_dtypes((np.dtype(dtype),) * ufunc.nin + (None,))
            except TypeError:
                continue
            found.append((name, dtype))
    return found


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("name", "dtype"), [pair for pair in supported() if pair[0] not in ZEROS])
def test_special_values_give_the_same_at_every_position_of_a_block(name: str, dtype: str) -> None:
    given = operands(name, dtype)
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(*given)
        for block_shape in ((4, 7), (19, 3)):
            assert_same_as_whole(graph.apply(f"numpy.{name}", *given), expected, block_shape)


@pytest.mark.parametrize("name", sorted(ZEROS))
def test_the_sign_of_zero_from_fmin_and_fmax_is_not_promised(name: str) -> None:
    given = operands(name, "float64")
    with pytest.warns(NotExactWarning, match=r"0\.0 and -0\.0"):
        lazy = graph.apply(f"numpy.{name}", *given)
    np.testing.assert_array_equal(evaluate(lazy, (4, 7)), getattr(np, name)(*given))


IMAGE = picture(FLAT, "float32")
MORE = picture(FLAT, "float32", seed=2)
CALLS: list[Callable[[Any], Any]] = [
    lambda x: np.where(x > 0.5, x, MORE),
    lambda x: np.where(x > x.max() * 0.5, 1, 0),
    lambda x: np.clip(x, 0.2, 0.7),
    lambda x: np.clip(x, x.min() + 0.1, MORE),
    lambda x: x.clip(0.2, 0.7).round(1),
    lambda x: x.clip(max=0.5),
    lambda x: np.round(x, 2) + np.around(x, 1),
    lambda x: np.nan_to_num(np.log(x - 0.3), nan=-1, neginf=-2),
    lambda x: np.isclose(x, 0.5, atol=0.2),
    lambda x: np.digitize(x, [0.1, 0.5]),
    lambda x: np.interp(x, [0, 0.5, 1], [1, 0, 3]),
    lambda x: np.stack([x, MORE, x], axis=-1),
    lambda x: np.arcsinh(x) + np.deg2rad(x) - np.copysign(x, -1),
    lambda x: (x - x.mean()) / x.std(),
    lambda x: np.where(x.any(), x, 0) + np.where(x.all(), 1, x.sum()),
]


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::lepton_celery.errors.NotExactWarning")
@pytest.mark.parametrize("call", CALLS)
def test_numpys_own_functions_stay_lazy_and_give_the_same(call: Callable[[Any], Any]) -> None:
    lazy = call(graph.open(IMAGE))
    assert isinstance(lazy, graph.Image)
    with np.errstate(all="ignore"):
        expected = call(IMAGE)
    assert_same_as_whole(lazy, expected, (7, 9))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: np.where(x > 1), "give x and y"),
        (lambda x: np.clip(x, 0, 1, dtype="uint8"), "astype"),
        (lambda x: np.nan_to_num(x, copy=False), "copy"),
        (lambda x: np.stack([x, x[1:]]), "do not match"),
        (lambda x: np.stack([x, x], axis=4), "axis=4"),
        (lambda x: np.digitize(x, [3, 1, 2]), "monotonic"),
        (lambda x: operator.lshift(x, 1), "left_shift"),
    ],
)
def test_invalid_arguments_are_one_clear_input_error(call: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call(graph.open(IMAGE))
