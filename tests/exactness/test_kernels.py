"""Compiled kernels give scikit-image's bytes, and leave other arguments to scikit-image."""

from __future__ import annotations

import logging
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from lepton_celery import graph, kernels
from lepton_celery.catalogue import catalogue
from lepton_celery.catalogue.arrays import Array
from lepton_celery.catalogue.entries import Local, resolve
from lepton_celery.catalogue.morphology.skeleton import zhang
from lepton_celery.catalogue.shared.fastest import fastest
from lepton_celery.catalogue.shared.smoothing import smooth_along
from lepton_celery.jobs.compute import compute
from lepton_celery.kernels import Kernel, load
from lepton_celery.kernels.border import MODES
from lepton_celery.proving import prove as prover
from lepton_celery.skimage import filters
from tests.oracle import assert_identical, evaluate

pytest.importorskip("numba")

WITH_KERNEL = [name for name, e in catalogue().items() if isinstance(e, Local) and e.kernel is not None]

X86 = platform.machine() == "x86_64"
"""On other machines the libraries may be compiled to other arithmetic, and then kernels are not used."""

ODD = (0.0, -0.0, np.inf, -np.inf, np.nan, 5e-324, 1e-40, 3.4e38, 1.7e308, 1.0, 0.1)


@st.composite
def images(draw: st.DrawFn, dtypes: str = "float32 float64 uint8 int16 bool", most_axes: int = 3) -> Array:
    """Small images, some with axes of one pixel; floats include NaN, infinity, signed zeros and denormals."""
    dtype = np.dtype(draw(st.sampled_from(dtypes.split())))
    shape = draw(st.lists(st.integers(1, 9), min_size=1, max_size=most_axes))
    if draw(st.booleans()):
        shape[-1] += draw(st.sampled_from((20, 1281)))
    deal = np.random.default_rng(draw(st.integers(0, 2**32)))
    if dtype.kind != "f":
        return deal.integers(0, 256, shape).astype(dtype)
    image = deal.normal(size=shape)
    if draw(st.booleans()):
        odd = deal.random(shape) < 0.1
        image[odd] = deal.choice(ODD, int(odd.sum()))
    with np.errstate(all="ignore"):
        return image.astype(dtype)


def kernel_and_source(name: str, arguments: Mapping[str, Any]) -> tuple[Array, Array]:
    """The results of the kernel, which must take the arguments, and of scikit-image on the whole image."""
    entry = catalogue()[name]
    assert isinstance(entry, Local)
    assert entry.kernel is not None
    assert entry.kernel.covers(entry.complete(arguments))
    assert load(entry.kernel, resolve(entry.source)) is not None or not X86
    with np.errstate(all="ignore"):
        return entry.evaluate(dict(arguments), kernels=True), entry.evaluate(dict(arguments))


SIGMAS = st.sampled_from((0, 1e-16, 0.05, 0.3, 1.0, 1.7, 4.0))


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_the_gaussian_gives_the_same_bytes(data: st.DataObject) -> None:
    image = data.draw(images())
    channel_axis = data.draw(st.sampled_from((None, *range(-image.ndim, image.ndim)) if image.ndim > 1 else (None,)))
    spatial = image.ndim - (channel_axis is not None)
    arguments = {
        "image": image,
        "sigma": data.draw(st.one_of(SIGMAS, st.tuples(*[SIGMAS] * spatial))),
        "mode": data.draw(st.sampled_from(MODES)),
        "cval": data.draw(st.sampled_from((0.0, 0.1, -1e300, np.nan))),
        "preserve_range": data.draw(st.booleans()),
        "truncate": data.draw(st.sampled_from((4.0, 0.1, 2.5, 9.0))),
        "channel_axis": channel_axis,
    }
    assert_identical(*kernel_and_source("filters.gaussian", arguments))


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_the_difference_of_gaussians_gives_the_same_bytes(data: st.DataObject) -> None:
    image = data.draw(images())
    arguments = {
        "image": image,
        "low_sigma": data.draw(st.sampled_from((0.5, 1.5, [1.0] * image.ndim))),
        "high_sigma": data.draw(st.sampled_from((None, 2, [1.5, 3.0, 2.0][: image.ndim]))),
        "mode": data.draw(st.sampled_from(MODES)),
        "cval": 0.3,
    }
    assert_identical(*kernel_and_source("filters.difference_of_gaussians", arguments))


@pytest.mark.parametrize("name", ["sobel", "scharr", "prewitt", "farid"])
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_edge_filters_give_the_same_bytes(name: str, data: st.DataObject) -> None:
    image = data.draw(images().filter(lambda image: image.ndim > 1))
    arguments = {
        "image": image,
        "axis": data.draw(st.sampled_from((None, 0, -1, (0, 1), [1], image.ndim - 1))),
        "mode": data.draw(st.sampled_from(MODES)),
        "cval": data.draw(st.sampled_from((0.0, 0.1, -1e300, np.nan))),
    }
    assert_identical(*kernel_and_source(f"filters.{name}", arguments))
    if image.ndim == 2:
        for along in "hv":
            assert_identical(*kernel_and_source(f"filters.{name}_{along}", {"image": image}))


@given(st.lists(st.integers(1, 20), max_size=2), st.integers(2, 150), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_luminance_gives_the_same_bytes(shape: list[int], width: int, seed: int) -> None:
    picture = np.random.default_rng(seed).integers(0, 256, (*shape, width, 3), np.uint8)
    assert_identical(*kernel_and_source("color.rgb2gray", {"rgb": picture}))


SHEAR, TURN = [[0.9, 0.2, 1.5], [-0.1, 1.1, 2.25], [0, 0, 1]], [[0.8, -0.6, 9.3], [0.6, 0.8, -7.1], [0, 0, 1]]
FAR, TILTED = [[3, 0, -60], [0, 2, 35.5], [0, 0, 1]], [[0.9, 0.2, 1.5], [-0.1, 1.1, 2.25], [1e-3, 2e-3, 1]]


@pytest.mark.filterwarnings("ignore:All-NaN slice:RuntimeWarning")  # where every pixel is cval
@given(st.data())
@settings(max_examples=60, deadline=None)
def test_warps_by_a_matrix_give_the_same_bytes(data: st.DataObject) -> None:
    image = data.draw(images("float32 float64").filter(lambda image: image.ndim > 1 and image.shape[1] < 99))
    matrix = np.array(data.draw(st.sampled_from((SHEAR, TURN, FAR, TILTED, np.eye(3)))))
    options = {
        "order": data.draw(st.sampled_from((1, 3))),
        "mode": data.draw(st.sampled_from(("constant", "edge", "symmetric", "reflect", "wrap"))),
        "cval": data.draw(st.sampled_from((0.0, 0.3, np.nan))),
        "clip": data.draw(st.booleans()),
    }
    whole = resolve("skimage.transform.warp")(image, matrix, **options)
    lazy = graph.apply("transform.warp", image, inverse_map=matrix, **options)
    block = tuple(min(n, data.draw(st.integers(1, 20))) for n in image.shape)
    assert_identical(evaluate(lazy, block), whole)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_skeletons_are_thinned_to_the_same_pixels(data: st.DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(1, 50), st.integers(1, 60)))
    noise = np.random.default_rng(data.draw(st.integers(0, 2**32))).random(shape)
    image = gaussian_filter(noise, data.draw(st.sampled_from((0, 1, 3)))) > data.draw(st.sampled_from((0.1, 0.5)))
    few = data.draw(st.integers(1, 5))
    assert_identical(zhang(image, few, kernels=True), zhang(image, few))
    assert_identical(zhang(image, 1000, kernels=True), resolve("skimage.morphology.skeletonize")(image))


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_gaussians_and_their_second_derivatives_along_an_axis_give_the_same_bytes(data: st.DataObject) -> None:
    arguments: dict[str, Any] = {
        "image": data.draw(images("float32 float64")),
        "sigma": data.draw(st.sampled_from((0.3, 1.0, 4.0, 31.0))),
        "order": data.draw(st.sampled_from((0, 2))),
    }
    arguments["axis"] = data.draw(st.integers(0, arguments["image"].ndim - 1))
    with np.errstate(all="ignore"):
        assert_identical(fastest(smooth_along, arguments, kernels=True), smooth_along(**arguments))


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_small_medians_give_the_same_bytes(data: st.DataObject) -> None:
    dtype: Any = data.draw(st.sampled_from((np.uint8, np.uint16, np.int16)))
    shape = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 150)))
    deal = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    greatest = data.draw(st.sampled_from((1, 3, np.iinfo(dtype).max)))
    arguments = {
        "input": deal.integers(0, greatest, shape, dtype, endpoint=True),
        "mode": data.draw(st.sampled_from(MODES)),
        "cval": data.draw(st.sampled_from((0, 1, 200.0))),
        **data.draw(st.sampled_from(({"size": 3}, {"size": (3, 3)}, {"footprint": np.ones((3, 3), bool)}))),
    }
    assert_identical(*kernel_and_source("ndimage.median_filter", arguments))


@pytest.mark.parametrize(
    "other",
    [{"size": 5}, {"size": (3, 5)}, {"footprint": np.eye(3)}, {"origin": 1}, {"mode": "constant", "cval": 0.5}],
    ids=str,
)
def test_other_medians_go_to_scipy(other: dict[str, Any]) -> None:
    entry = catalogue()["ndimage.median_filter"]
    assert isinstance(entry, Local)
    assert entry.kernel is not None
    image = np.zeros((9, 9), np.uint8)
    assert entry.kernel.covers(entry.complete({"input": image, "size": 3}))
    assert not entry.kernel.covers(entry.complete({"input": image, "size": 3, **other}))
    assert not entry.kernel.covers(entry.complete({"input": image.astype(float), "size": 3}))


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_the_gaussian_of_scipy_gives_the_same_bytes(data: st.DataObject) -> None:
    image = data.draw(images("float32 float64"))
    arguments = {
        "input": image,
        "sigma": data.draw(st.one_of(SIGMAS, st.tuples(*[SIGMAS] * image.ndim))),
        "mode": data.draw(st.sampled_from(MODES)),
        "cval": 0.1,
    }
    assert_identical(*kernel_and_source("ndimage.gaussian_filter", arguments))


@pytest.mark.parametrize("name", WITH_KERNEL)
def test_kernels_pass_their_own_trials(name: str) -> None:
    entry = catalogue()[name]
    assert isinstance(entry, Local)
    assert entry.kernel is not None
    assert load(entry.kernel, resolve(entry.source)) is not None or not X86


def test_the_prover_proves_kernels_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """`test_proofs` proves each function; this test shows that the prover uses the kernel."""
    monkeypatch.setitem(kernels._loaded, "lepton_celery.kernels.edges.sobel", wrong)
    monkeypatch.setattr(prover, "QUICK_TRIALS", 1)
    assert not prover.prove("filters.sobel", thorough=False, dtypes=["float64"], ndims=[2]).holds
    monkeypatch.setenv("LEPTON_KERNELS", "0")
    assert prover.prove("filters.sobel", thorough=False, dtypes=["float64"], ndims=[2]).holds


def test_images_that_are_not_plain_memory_go_to_scikit_image() -> None:
    image = np.random.default_rng(1).random((40, 50))
    entry = catalogue()["filters.gaussian"]
    assert isinstance(entry, Local)
    assert entry.kernel is not None
    for other in (image.T, image[:, ::2], image.astype(">f8"), image[:0]):
        assert not entry.kernel.covers(entry.complete({"image": other}))
    assert not entry.kernel.covers(entry.complete({"image": image, "mode": "grid-mirror"}))
    assert not entry.kernel.covers(entry.complete({"image": image, "mode": ["nearest", "wrap"]}))
    assert_identical(entry.evaluate({"image": image.T}, kernels=True), resolve(entry.source)(image.T))


def wrong(image: Array, **_: Any) -> Array:
    """A kernel with a wrong result."""
    return image + 1


def test_a_kernel_that_differs_here_is_not_used(caplog: pytest.LogCaptureFixture) -> None:
    trials = [{"image": np.zeros((3, 3)), "sigma": 1}]
    kernel = Kernel("tests.exactness.test_kernels.wrong", lambda arguments: True, lambda: trials)
    with caplog.at_level(logging.WARNING):
        assert load(kernel, resolve("skimage.filters.gaussian")) is None
        assert load(kernel, resolve("skimage.filters.gaussian")) is None
    assert [record.message for record in caplog.records] == [
        "tests.exactness.test_kernels.wrong differs from scikit-image on this machine; scikit-image is used"
    ]


SMOOTH = """
import sys
{before}
import numpy as np
import lepton_celery as lepton
from lepton_celery.skimage import filters
image = np.random.default_rng(1).random((300, 300), dtype=np.float32)
found = lepton.compute(filters.gaussian(lepton.open(image), sigma=2){options})
from skimage.filters import gaussian
assert found.tobytes() == gaussian(image, sigma=2).tobytes()
print("numba" in sys.modules and sys.modules["numba"] is not None)
"""


def uses_numba(before: str = "", options: str = "", **environ: str) -> bool:
    code = SMOOTH.format(before=before, options=options)
    env = {**os.environ, **environ}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    return done.stdout.strip() == "True"


def test_without_numba_scikit_image_is_used() -> None:
    assert not uses_numba(before="sys.modules['numba'] = None", options=", kernels=True")


def test_the_setting_turns_them_off() -> None:
    big = "import lepton_celery.jobs.compute; lepton_celery.jobs.compute.MIN_KERNEL_PX = 1"
    assert uses_numba(before=big)
    assert not uses_numba(before=big, LEPTON_KERNELS="0")


def test_small_images_do_not_wait_for_kernels() -> None:
    assert not uses_numba()


def test_kernels_are_compiled_where_nothing_can_be_cached() -> None:
    from numba import float64, void

    from lepton_celery.kernels.compiled import kernel, writes

    found: dict[str, Any] = {}
    exec(compile("def double(pixels):\n    pixels *= 2\n", "<nowhere>", "exec"), found)
    double = kernel(void(writes(float64)))(found["double"])
    pixels = np.ones(3)
    double(pixels)
    assert pixels.tolist() == [2, 2, 2]


def test_read_only_images_are_taken() -> None:
    image = np.random.default_rng(2).random((64, 64))
    image.flags.writeable = False
    assert_identical(*kernel_and_source("filters.gaussian", {"image": image, "sigma": 2}))
    assert_identical(
        compute(filters.gaussian(image, sigma=2), block_shape=(20, 30), kernels=True),
        resolve("skimage.filters.gaussian")(image, sigma=2),
    )
