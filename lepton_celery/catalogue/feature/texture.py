"""`skimage.feature`: textures. Patterns, co-occurrences and descriptors on a grid."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Partial, Partials, View, Where
from lepton_celery.catalogue.entries import Build, Composite, Entry, Local, Reduction, Refused
from lepton_celery.catalogue.geometry import Stencil, Whole, one_block
from lepton_celery.catalogue.shared.axes import Shapes, TrailingAxis, split_channels, uncut
from lepton_celery.catalogue.shared.halos import gaussian_radius
from lepton_celery.errors import InputError
from lepton_celery.grid import BlockGrid, Region

# ------------------------------------------------------------------------------------------------ binary patterns

PATTERN_BITS = 31
"""Points of a pattern whose code still fits the 32 bits that scikit-image has for it."""


def _pattern(image: Array, P: int, R: float, where: Where, method: str = "default") -> Array:  # noqa: N803
    """Source: `skimage.feature.local_binary_pattern`, at coordinates of the whole image.

    The points of a pattern lie between pixels, and how far is found from their coordinates: rounded, so that it depends in
    its last places on where in the image the pixel is. Ties with the pixel in the middle, of which flat regions are full,
    turn on these.
    """
    pixels, method = image.astype(np.float64, copy=False), method.lower()
    points = _points(pixels, P, R, where.region)
    if method == "var":
        return _variance(points)
    signs = [point - pixels >= 0 for point in points]
    if method == "default":
        return _code(signs).astype(np.float64)
    if method == "ror":
        return _least_rotation(_code(signs), P).astype(np.float64)
    return _uniform(signs, method == "nri_uniform")


def _points(pixels: Array, count: int, radius: float, region: Region) -> list[Array]:
    """The image at each point of the circle around each pixel, between pixels, 0 beyond the edge."""
    angles = 2 * np.pi * np.arange(count, dtype=np.float64) / count
    down, right = np.round(-radius * np.sin(angles), 5), np.round(radius * np.cos(angles), 5)
    reach = math.ceil(radius) + 1
    padded = np.pad(pixels, reach)
    rows, columns = (np.arange(a, z, dtype=np.float64) for a, z in zip(region.start, region.stop, strict=True))

    def around(y: int, x: int) -> Array:
        return padded[reach + y : reach + y + rows.size, reach + x : reach + x + columns.size]

    found = []
    for dy, dx in zip(down, right, strict=True):
        y, x = math.floor(dy), math.floor(dx)
        below, beyond = math.ceil(dy), math.ceil(dx)
        fy = ((rows + dy) - (rows + y))[:, np.newaxis]
        fx = (columns + dx) - (columns + x)
        top = (1 - fx) * around(y, x) + fx * around(y, beyond)
        bottom = (1 - fx) * around(below, x) + fx * around(below, beyond)
        found.append((1 - fy) * top + fy * bottom)
    return found


def _variance(points: Sequence[Array]) -> Array:
    """Variance over the points of each pattern, NaN where there is none."""
    total, squares = np.zeros_like(points[0]), np.zeros_like(points[0])
    for point in points:
        total += point
        squares += point * point
    variance = (squares - (total * total) / len(points)) / len(points)
    return np.where(variance != 0, variance, np.nan)


def _code(signs: Sequence[Array]) -> Array:
    code = np.zeros(signs[0].shape, np.int64)
    for bit, sign in enumerate(signs):
        code |= sign.astype(np.int64) << bit
    return code


def _least_rotation(code: Array, count: int) -> Array:
    """The least of all codes that a pattern has when it is turned."""
    least = code
    for _ in range(count - 1):
        code = (code >> 1) | ((code & 1) << (count - 1))
        least = np.minimum(least, code)
    return least


def _uniform(signs: Sequence[Array], turned: bool) -> Array:
    """Patterns with at most two changes, by how many points are set and, where `turned`, by how far they are turned."""
    count = len(signs)
    changes = sum((a != b).astype(np.int64) for a, b in pairwise(signs))
    ones = sum(sign.astype(np.int64) for sign in signs)
    if not turned:
        return np.where(changes <= 2, ones, count + 1).astype(np.float64)
    stacked = np.stack(signs)
    first_one, first_zero = stacked.argmax(axis=0), (~stacked).argmax(axis=0)
    turns = np.where(first_one == 0, ones - first_zero, count - first_one)
    code = 1 + (ones - 1) * count + turns
    code = np.where(ones == 0, 0, np.where(ones == count, count * (count - 1) + 1, code))
    return np.where(changes <= 2, code, count * (count - 1) + 2).astype(np.float64)


_METHODS = ("default", "ror", "uniform", "nri_uniform", "var")


def _check_pattern(arguments: Arguments) -> None:
    count, method = arguments["P"], str(arguments["method"]).lower()
    if method not in _METHODS:
        raise InputError(f"method={arguments['method']!r} is not known; use one of {', '.join(_METHODS)}")
    if not isinstance(count, int) or not 1 <= count <= PATTERN_BITS or not arguments["R"] >= 0:
        raise InputError(f"P={count} points at R={arguments['R']}; give 1 to {PATTERN_BITS} points and a radius from 0")


# ------------------------------------------------------------------------------------------------ figures per pixel


def _features(channels: Sequence[Array], **options: Any) -> Array:
    """Source: `skimage.feature.multiscale_basic_features`, channel after channel."""
    from skimage.feature import multiscale_basic_features

    return np.concatenate([multiscale_basic_features(channel, **options) for channel in channels], axis=-1)


def _feature_count(images: Shapes, arguments: Arguments) -> int:
    count = arguments["num_sigma"]
    if count is None:
        count = int(np.log2(arguments["sigma_max"]) - np.log2(arguments["sigma_min"]) + 1)
    each = bool(arguments["intensity"]) + bool(arguments["edges"]) + len(images[0]) * bool(arguments["texture"])
    return len(images) * int(count) * each


def _features_halo(arguments: Arguments) -> int:
    widest = max(arguments["sigma_min"], arguments["sigma_max"])
    return gaussian_radius(widest * (1 + 1e-12)) + 2  # the scales come out of logarithms


def _expand_features(arguments: Arguments, build: Build) -> Any:
    channels = split_channels(arguments["image"], arguments["channel_axis"], build)
    options = {name: arguments[name] for name in ("intensity", "edges", "texture")}
    scales = {name: arguments[name] for name in ("sigma_min", "sigma_max", "num_sigma")}
    members = {f"channels.{at}": channel for at, channel in enumerate(channels)}
    # a worker process has one core
    return build("lepton.features", **members, **options, **scales, workers=1)


# ------------------------------------------------------------------------------------------------ figures on a grid


@dataclass(frozen=True)
class Patches:
    """A row of figures for each patch of `size` pixels, a patch every `step` pixels from the image's origin on.

    `margin` patches more are read before and behind, as what is computed near the edge of what is read is spoiled. The
    function drops those before (`without_margin`), since only it knows its arguments.
    """

    step: Callable[[Arguments], tuple[int, int]]
    size: Callable[[Arguments], tuple[int, int]]
    figures: Callable[[Arguments], tuple[int, ...]]
    """Shape of the figures for one patch."""
    margin: Callable[[Arguments], tuple[int, int]]

    def result_shape(self, images: Shapes, arguments: Arguments) -> tuple[int, ...]:
        shape = Stencil().result_shape(images, arguments)
        step, size = self.step(arguments), self.size(arguments)
        if any(n < k for n, k in zip(shape, size, strict=True)):
            raise InputError(f"an image of shape {shape} is smaller than one patch of {size} pixels; use smaller ones")
        patches = ((n - k) // s + 1 for n, k, s in zip(shape, size, step, strict=True))
        return (*patches, *self.figures(arguments))

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        step, size, margin = self.step(arguments), self.size(arguments), self.margin(arguments)
        start, stop = region.start[:2], region.stop[:2]
        read = Region(
            tuple(max(0, a - m) * s for a, m, s in zip(start, margin, step, strict=True)),
            tuple(
                min(n, (z - 1 + m) * s + k) for z, m, s, k, n in zip(stop, margin, step, size, images[0], strict=True)
            ),
        )
        return [read for _ in images]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        before = [a if r == 0 else 0 for a, r in zip(region.start[:2], read[0].start, strict=True)]
        cut = [slice(b, b + n) for b, n in zip(before, region.shape[:2], strict=True)]
        return result[(*cut, *region.slices[2:])]


def without_margin(result: Array, margin: tuple[int, int], where: Where) -> Array:
    """The figures without those of patches read only as a margin, where what was read begins behind the image's origin."""
    return result[tuple(slice(m if a else 0, None) for m, a in zip(margin, where.region.start, strict=True))]


def _hog(channels: Sequence[Array], coloured: bool, where: Where, **options: Any) -> Array:
    """Source: `skimage.feature.hog`."""
    from skimage.feature import hog

    image, axis = (np.stack(channels, axis=-1), -1) if coloured else (channels[0], None)
    return without_margin(hog(image, feature_vector=False, channel_axis=axis, **options), (1, 1), where)


_CELLS = Patches(
    step=lambda arguments: tuple(arguments["pixels_per_cell"]),
    size=lambda arguments: tuple(
        c * b for c, b in zip(arguments["pixels_per_cell"], arguments["cells_per_block"], strict=True)
    ),
    figures=lambda arguments: (*arguments["cells_per_block"], arguments["orientations"]),
    margin=lambda arguments: (1, 1),
)


@dataclass(frozen=True)
class Ravel:
    """The image as one long line, read in whole positions of its first axis."""

    def result_shape(self, images: Shapes, arguments: Arguments) -> tuple[int, ...]:
        return (math.prod(images[0]),)

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        first, *others = images[0]
        row = math.prod(others)
        rows = region.start[0] // row, min(first, -(-region.stop[0] // row))
        return [Region((rows[0], *(0 for _ in others)), (rows[1], *others))]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        before = read[0].start[0] * math.prod(read[0].shape[1:])
        return result[region.start[0] - before : region.stop[0] - before]


def _check_hog(arguments: Arguments) -> None:
    if arguments["visualize"]:
        raise InputError("hog with visualize=True is not supported here; draw the cells of the result on a crop")


def _expand_hog(arguments: Arguments, build: Build) -> Any:
    channels = split_channels(arguments["image"], arguments["channel_axis"], build)
    options = {name: arguments[name] for name in ("orientations", "block_norm", "transform_sqrt")}
    cells = {name: tuple(map(int, arguments[name])) for name in ("pixels_per_cell", "cells_per_block")}
    members = {f"channels.{at}": channel for at, channel in enumerate(channels)}
    coloured = arguments["channel_axis"] is not None
    found = build("lepton.hog", **members, coloured=coloured, **options, **cells)
    return build("lepton.ravel", a=found) if arguments["feature_vector"] else found


def _rings(arguments: Arguments) -> tuple[int, float, int]:
    """Radius of a DAISY descriptor, its widest sigma, and the number of its rings."""
    radius, rings, sigmas = arguments["radius"], arguments["rings"], arguments["sigmas"]
    if arguments["ring_radii"] is not None:
        rings, radius = len(arguments["ring_radii"]), arguments["ring_radii"][-1]
    if sigmas is not None:
        return radius, max(sigmas), len(sigmas) - 1
    return radius, radius / 2, rings


def _daisy_margin(arguments: Arguments) -> tuple[int, int]:
    reach = gaussian_radius(_rings(arguments)[1]) + 1
    margin = max(1, -(-reach // arguments["step"]))
    return margin, margin


def _daisy_figures(arguments: Arguments) -> tuple[int, ...]:
    return ((_rings(arguments)[2] * arguments["histograms"] + 1) * arguments["orientations"],)


def _daisy_size(arguments: Arguments) -> tuple[int, int]:
    size = 2 * _rings(arguments)[0] + 1
    return size, size


def _daisy(image: Array, where: Where, **options: Any) -> Array:
    """Source: `skimage.feature.daisy`."""
    from skimage.feature import daisy

    defaults = {name: parameter.default for name, parameter in inspect.signature(daisy).parameters.items()}
    given: dict[str, Any] = {**defaults, **options}
    del given["image"]
    for name in ("sigmas", "ring_radii"):
        given[name] = None if given[name] is None else list(given[name])
    return without_margin(daisy(image, **given), _daisy_margin(given), where)


def _check_daisy(arguments: Arguments) -> None:
    if arguments["visualize"]:
        raise InputError("daisy with visualize=True is not supported here; draw the descriptors of a crop")


# ------------------------------------------------------------------------------------------------ co-occurrences

_FEW_LEVELS = 1 << 11
"""Levels up to which a table of all pairs of them is smaller than sorting a block's pairs is slow."""


def offset(angle: float, distance: float) -> tuple[int, int]:
    """How many pixels down and to the right the second pixel of a pair is, halves away from zero as C rounds them."""
    return _rounded(math.sin(angle) * distance), _rounded(math.cos(angle) * distance)


def _rounded(value: float) -> int:
    whole = math.trunc(value)
    return whole + (int(math.copysign(1, value)) if abs(value - whole) >= 0.5 else 0)


def pairs_partial(
    image: View, distances: Sequence[float], angles: Sequence[float], levels: int, where: Where
) -> Partial:
    """How often each pair of levels occurs, of pairs whose first pixel is in this block; only pairs that occur."""
    found: Partial = {}
    for at, (distance, angle) in enumerate(product(distances, angles)):
        step = offset(angle, distance)
        first = Region(
            tuple(max(a, -d) for a, d in zip(where.region.start, step, strict=True)),
            tuple(
                max(a, -d, min(z, n - d))
                for a, z, d, n in zip(where.region.start, where.region.stop, step, where.shape, strict=True)
            ),
        )
        second = Region(
            tuple(a + d for a, d in zip(first.start, step, strict=True)),
            tuple(z + d for z, d in zip(first.stop, step, strict=True)),
        )
        if first.size:
            pair = image.read(first).astype(np.int64) * levels + image.read(second)
            found[f"pair{at}"], found[f"count{at}"] = _counted(pair.ravel(), levels)
    _check_levels(image.read(where.region), levels)
    return found


def _check_levels(pixels: Array, levels: int) -> None:
    if pixels.min() < 0 or pixels.max() >= levels:
        raise InputError(
            f"the image has pixels from {pixels.min()} to {pixels.max()}, levels={levels} wants 0 to {levels - 1}; "
            "rescale the image or give more levels"
        )


def _counted(values: Array, levels: int) -> tuple[Array, Array]:
    if levels > _FEW_LEVELS:
        return np.unique(values, return_counts=True)
    counts = np.bincount(values)
    present = np.flatnonzero(counts)
    return present, counts[present]


def merge_pairs(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Array:
    """Source: `skimage.feature.graycomatrix`, from the counts."""
    levels = arguments["levels"]
    shape = (len(arguments["distances"]), len(arguments["angles"]))
    counts = np.zeros((levels * levels, *shape), dtype=np.uint32)
    for _, partial in partials:
        for at, (distance, angle) in enumerate(np.ndindex(shape)):
            if f"pair{at}" in partial:
                counts[partial[f"pair{at}"], distance, angle] += partial[f"count{at}"].astype(np.uint32)
    matrix = counts.reshape(levels, levels, *shape)
    if arguments["symmetric"]:
        matrix = matrix + np.transpose(matrix, (1, 0, 2, 3))
    if arguments["normed"]:
        matrix = matrix.astype(np.float64)
        sums = np.sum(matrix, axis=(0, 1), keepdims=True)
        sums[sums == 0] = 1
        matrix /= sums
    return matrix


def _pairs_result(arguments: Arguments) -> tuple[tuple[int, ...], np.dtype[Any]]:
    levels = arguments["levels"]
    shape = (levels, levels, len(arguments["distances"]), len(arguments["angles"]))
    return shape, np.dtype(np.float64 if arguments["normed"] else np.uint32)


def _expand_pairs(arguments: Arguments, build: Build) -> Any:
    image, levels = arguments["image"], arguments["levels"]
    return build(
        "lepton.pairs",
        image=image,
        distances=[float(distance) for distance in arguments["distances"]],
        angles=[float(angle) for angle in arguments["angles"]],
        levels=256 if levels is None else int(levels),
        symmetric=bool(arguments["symmetric"]),
        normed=bool(arguments["normed"]),
    )


def _check_pairs(arguments: Arguments) -> None:
    image = arguments["image"]
    if arguments["levels"] is None and image.dtype.itemsize > 1:
        raise InputError(f"an image of {image.dtype} needs levels, one more than its greatest pixel; give levels")
    for name in ("distances", "angles"):
        if np.ndim(arguments[name]) != 1 or len(arguments[name]) == 0:
            raise InputError(f"{name}={arguments[name]!r}; give a sequence of numbers")


@dataclass(frozen=True)
class Properties:
    """One figure for each distance and angle of a co-occurrence matrix."""

    def result_shape(self, images: Shapes, arguments: Arguments) -> tuple[int, ...]:
        return images[0][2:]

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        return [Region.whole(images[0])]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result[region.slices]


# ------------------------------------------------------------------------------------------------ templates


@dataclass(frozen=True)
class WholeTemplate(Whole):
    """The whole image and the whole template; without `pad_input`, the result has a pixel per place of the template."""

    def result_shape(self, images: Shapes, arguments: Arguments) -> tuple[int, ...]:
        image, template = images
        if len(image) != len(template) or any(n < k for n, k in zip(image, template, strict=True)):
            raise InputError(f"a template of shape {template} does not lie inside an image of shape {image}")
        return image if arguments["pad_input"] else tuple(n - k + 1 for n, k in zip(image, template, strict=True))


# ------------------------------------------------------------------------------------------------ entries


def _float_of(arguments: Arguments) -> np.dtype[Any]:
    image = next(value for name, value in arguments.items() if name in ("image", "channels.0"))
    return np.dtype(np.float32 if image.dtype == np.float32 else np.float64)


_KEYPOINTS = "its keypoints come from the whole image at several scales and are described one by one"
_REFUSED = [
    (
        "multiblock_lbp",
        "it gives one code for one place of an integral image",
        "skimage.feature.multiblock_lbp on a crop",
    ),
    ("draw_multiblock_lbp", "it draws one pattern into a picture", "skimage.feature.draw_multiblock_lbp on a crop"),
    ("haar_like_feature", "it gives a list of figures for one window", "skimage.feature.haar_like_feature on a crop"),
    ("haar_like_feature_coord", "it has no image", "skimage.feature.haar_like_feature_coord itself"),
    ("draw_haar_like_feature", "it draws features of one window into a picture", "the same of skimage, on a crop"),
    ("match_descriptors", "it matches lists of descriptors, not images", "skimage.feature.match_descriptors itself"),
    ("plot_matched_features", "it draws a figure", "skimage.feature.plot_matched_features itself"),
    ("learn_gmm", "it fits a model to lists of descriptors", "skimage.feature.learn_gmm itself"),
    ("fisher_vector", "it works on lists of descriptors", "skimage.feature.fisher_vector itself"),
]


def entries() -> list[Entry]:
    """Textures."""
    here = "lepton_celery.catalogue.feature.texture"
    return [
        Local(
            name="feature.local_binary_pattern",
            source="skimage.feature.local_binary_pattern",
            function=_pattern,
            geometry=Stencil(lambda arguments: math.ceil(arguments["R"]), "ceil(R)"),
            wants_where=True,
            check=_check_pattern,
            ndims=(2,),
            example={"P": 8, "R": 1},
            dtype=lambda arguments: np.dtype(np.float64),
            cost_ns=350.0,
        ),
        Local(
            name="lepton.features",
            source=f"{here}._features",
            images=(),
            sequences=("channels",),
            geometry=TrailingAxis(_feature_count, _features_halo),
            own_stage=uncut(1),
            cost_ns=55.0,
        ),
        Composite(
            name="feature.multiscale_basic_features",
            source="skimage.feature.multiscale_basic_features",
            expand=_expand_features,
            gives="image",
        ),
        Local(
            name="lepton.hog",
            source=f"{here}._hog",
            images=(),
            sequences=("channels",),
            geometry=_CELLS,
            wants_where=True,
            own_stage=uncut(3),
            dtype=_float_of,
            cost_ns=450.0,
        ),
        Local(
            name="lepton.ravel", source="numpy.ravel", images=("a",), function=np.ravel, geometry=Ravel(), cost_ns=1.0
        ),
        Composite(
            name="feature.hog",
            source="skimage.feature.hog",
            check=_check_hog,
            ndims=(2,),
            expand=_expand_hog,
            gives="image",
            example={"pixels_per_cell": (3, 3), "cells_per_block": (1, 1), "feature_vector": False},
        ),
        Local(
            name="feature.daisy",
            source="skimage.feature.daisy",
            function=_daisy,
            geometry=Patches(lambda arguments: (arguments["step"],) * 2, _daisy_size, _daisy_figures, _daisy_margin),
            wants_where=True,
            check=_check_daisy,
            ndims=(2,),
            example={"step": 2, "radius": 2, "rings": 1, "histograms": 4, "orientations": 4},
            own_stage=uncut(1),
            dtype=_float_of,
            cost_ns=1200.0,
        ),
        Reduction(
            name="lepton.pairs",
            source=f"{here}.pairs_partial",
            dtype_kinds="iu",
            partial=lambda symmetric, normed, **arguments: pairs_partial(**arguments),
            merge=merge_pairs,
            result=_pairs_result,
            reads_itself=True,
            cost_ns=10.0,
        ),
        Composite(
            name="feature.graycomatrix",
            source="skimage.feature.graycomatrix",
            dtype_kinds="iu",
            check=_check_pairs,
            ndims=(2,),
            samples={"image": "labels"},
            example={"distances": (1,), "angles": (0.0,), "levels": 16},
            expand=_expand_pairs,
            result=lambda arguments: _pairs_result(
                {**arguments, "levels": 256 if arguments["levels"] is None else int(arguments["levels"])}
            ),
        ),
        Local(
            name="feature.graycoprops",
            source="skimage.feature.graycoprops",
            images=("P",),
            values=("P",),
            geometry=Properties(),
            ndims=(4,),
            dtype=lambda arguments: np.dtype(np.float64),
            cost_ns=20.0,
        ),
        Local(
            name="feature.match_template",
            source="skimage.feature.match_template",
            images=("image", "template"),
            geometry=WholeTemplate(),
            ndims=(2, 3),
            own_stage=one_block,
            cost_ns=170.0,
        ),
        *[
            Refused(name=f"feature.{name}", source=f"skimage.feature.{name}", images=(), reason=reason, instead=instead)
            for name, reason, instead in _REFUSED
        ],
    ]
