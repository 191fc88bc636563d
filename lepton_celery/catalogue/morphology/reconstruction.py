"""`skimage.morphology.reconstruction`, and `h_maxima` and `h_minima`, which are based on it.

A flood may spread over the whole image, so no halo is enough. Blocks are reconstructed in rounds, each from its neighbours'
result of the round before. No round floods beyond the whole image's result. When a round changes no block, no pixel can
flood a neighbour any more, and the image is the whole image's result. A compiled kernel takes a tenth of
scikit-image's time, which sorts all pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, DType, Lazy, View, Where
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite, Iterated, Local
from lepton_celery.catalogue.shared.fastest import KERNELS, fastest
from lepton_celery.catalogue.shared.values import Extent
from lepton_celery.errors import InputError
from lepton_celery.kernels import Kernel

# ------------------------------------------------------------------------------------------------ reconstruction


def _reach(ndim: int, footprint: Any) -> tuple[int, ...]:
    """How many pixels one step of a flood reaches along each axis."""
    return (1,) * ndim if footprint is None else tuple(n // 2 for n in np.shape(footprint))


def _dtype(arguments: Arguments) -> DType:
    return np.dtype(np.float32) if arguments["mask"].dtype == np.float32 else np.dtype(np.float64)


@declare(
    Iterated(
        "lepton.flood",
        images=("seed", "mask"),
        halo=lambda arguments: _reach(len(arguments["mask"].shape), arguments["footprint"]),
        wants_kernels=True,
        dtype=_dtype,
        settles_whole=True,
        cost_ns=400.0,
    )
)
def flood_block(
    seed: View, mask: View, method: str, footprint: Any, state: View | None, where: Where, kernels: bool = False
) -> tuple[Array, bool]:
    """Runs `skimage.morphology.reconstruction` on the block and its halo, seeded with the result of the round before."""
    wide = where.region.expand(_reach(len(where.shape), footprint), where.shape)
    inside = where.region.within(wide)
    before, limit = (seed if state is None else state).read(wide), mask.read(wide)
    for name, pixels in (("seed", before), ("mask", limit)):
        if pixels.dtype.kind == "f" and np.isnan(pixels).any():
            raise InputError(f"the {name} image has NaN, for which a flood is undefined; fill NaN first")
    arguments = {"seed": before, "mask": limit, "method": method, "footprint": footprint}
    try:
        after = fastest(reconstructed, arguments, kernels)
    except ValueError as error:
        raise InputError(f"morphology.reconstruction refuses the images: {error}") from error
    changed = state is None or bool((after[inside] != before[inside]).any())
    return after[inside], changed


def reconstructed(seed: Array, mask: Array, method: str, footprint: Any) -> Array:
    """`skimage.morphology.reconstruction`."""
    from skimage.morphology import reconstruction

    result: Array = reconstruction(seed, mask, method, footprint)
    return result


def _covers(arguments: Arguments) -> bool:
    """Whether scikit-image accepts the seed, and no zero of the result may have either sign."""
    seed, mask = arguments["seed"], arguments["mask"]
    above = seed < mask if arguments["method"] == "erosion" else seed > mask
    floats = [image for image in (seed, mask) if image.dtype.kind == "f"]
    return seed.size > 0 and not above.any() and not any((np.signbit(image) & (image == 0)).any() for image in floats)


def _trials() -> Iterator[dict[str, Any]]:
    random = np.random.default_rng(31)
    for shape in ((1,), (30, 41), (9, 10, 11)):
        for dtype in (np.uint8, np.int64, np.float32, np.float64):
            mask = random.integers(0, 50, shape).astype(dtype)
            other = random.integers(0, 50, shape).astype(dtype)
            for footprint in (None, random.random((3,) * len(shape)) < 0.5, np.ones((5,) * len(shape))):
                yield {"seed": np.minimum(mask, other), "mask": mask, "method": "dilation", "footprint": footprint}
                yield {"seed": np.maximum(mask, other), "mask": mask, "method": "erosion", "footprint": footprint}


KERNELS[reconstructed] = Kernel("lepton_celery.kernels.reconstruction.reconstruct", _covers, _trials)


def _check_reconstruction(arguments: Arguments) -> None:
    seed, mask, footprint, offset = (arguments[name] for name in ("seed", "mask", "footprint", "offset"))
    if arguments["method"] not in ("dilation", "erosion"):
        raise InputError(f"method={arguments['method']!r} is not known; give 'dilation' or 'erosion'")
    if tuple(seed.shape) != tuple(mask.shape):
        raise InputError(f"seed of shape {seed.shape} and mask of shape {mask.shape} do not match; give one shape")
    shape = np.shape(footprint) if footprint is not None else (3,) * len(mask.shape)
    if len(shape) != len(mask.shape):
        raise InputError(
            f"footprint of shape {shape} for an image of {len(mask.shape)} axes; give one with the same number of axes"
        )
    if not all(n % 2 for n in shape):
        raise InputError(f"footprint of shape {shape} has no middle; give odd lengths")
    if offset is not None:
        raise InputError(f"offset={offset} is not supported here; centre the footprint by padding it with zeros")


@declare(
    Composite(
        "morphology.reconstruction",
        images=("seed", "mask"),
        check=_check_reconstruction,
        gives="image",
        samples={"mask": "upper"},
        needs_finite=True,  # with NaN, scikit-image's loop reads out of bounds
    )
)
def _expand_reconstruction(arguments: Arguments, build: Build) -> Lazy:
    given = {name: arguments[name] for name in ("seed", "mask", "method", "footprint")}
    return build("lepton.after_rounds", image=build("lepton.flood", **given))


# ------------------------------------------------------------------------------------------------ h-maxima, h-minima


@declare(Local("lepton.lowered", values=("extent",), cost_ns=4.0))
def lowered(image: Array, h: Any, extent: Extent, up: bool) -> Array:
    """The seed of `skimage.morphology.h_maxima`: the image lowered by `h`; with `up`, that of `h_minima`: raised by `h`."""
    from skimage.util.dtype import dtype_limits

    if h > np.ptp(extent):  # no extremum is that high, and `peaks` returns zeros
        return image.astype(_same_kind(image[..., :0], h)[0].dtype)
    image, h = _same_kind(image, h)
    if image.dtype.kind == "f":
        resolution = 2 * np.finfo(image.dtype).resolution * np.abs(image)
        moved: Array = image + h + resolution if up else image - h - resolution
        return moved
    low, high = dtype_limits(image, clip_negative=False)
    shifted: Array
    if up:
        shifted = image + h
        shifted[image > high - h] = high
    else:
        shifted = image - h
        shifted[image < h + low] = low
    return shifted


def _same_kind(image: Array, h: Any) -> tuple[Array, Any]:
    """The image and `h` in one dtype: a fractional `h` makes an integer image float, as in scikit-image."""
    if np.issubdtype(type(h), np.floating) and image.dtype.kind in "iu":
        return (image.astype(float), h) if h % 1 else (image, image.dtype.type(h))
    return image, h


@declare(Local("lepton.as_working", cost_ns=1.0))
def as_working(image: Array, h: Any) -> Array:
    """The image in the dtype in which it is compared with `h`."""
    return _same_kind(image, h)[0]


@declare(Local("lepton.peaks", images=("image", "flooded"), values=("extent",), cost_ns=3.0))
def peaks(image: Array, flooded: Array, extent: Extent, h: Any, up: bool) -> Array:
    """The pixels that differ from the flooded image by at least `h`."""
    if h > np.ptp(extent):
        return np.zeros(image.shape, np.uint8)
    image, h = _same_kind(image, h)
    residue = flooded - image if up else image - flooded
    mask: Array = (residue >= h).astype(np.uint8)
    return mask


def _expand_peaks(up: bool) -> Callable[[Arguments, Build], Lazy]:
    def expand(arguments: Arguments, build: Build) -> Lazy:
        image, h, footprint = arguments["image"], arguments["h"], arguments["footprint"]
        extent = build("lepton.extent", image=image)
        seed = build("lepton.lowered", image=image, h=h, extent=extent, up=up)
        mask = build("lepton.as_working", image=image, h=h)
        method = "erosion" if up else "dilation"
        flooded = build("lepton.flood", seed=seed, mask=mask, method=method, footprint=footprint)
        return build("lepton.peaks", image=image, flooded=flooded, extent=extent, h=h, up=up)

    return expand


def _check_peaks(arguments: Arguments) -> None:
    h = arguments["h"]
    if not isinstance(h, int | float | np.number) or not h > 0:
        raise InputError(f"h={h!r}; give a height above 0, or use local_maxima or local_minima")


ENTRIES = tuple(
    Composite(
        f"morphology.{name}",
        dtype_kinds="iuf",
        check=_check_peaks,
        expand=_expand_peaks(up),
        gives="image",
        example={"h": 0.2},
        needs_finite=True,
    )
    for name, up in (("h_maxima", False), ("h_minima", True))
)
