"""The functions and images that calibration runs, chosen from common pipelines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

import numpy as np

from lepton_celery import graph
from lepton_celery.catalogue import get_entry
from lepton_celery.catalogue.arrays import Array
from lepton_celery.catalogue.entries import Entry
from lepton_celery.proving import samples

_COMMON_DTYPES = ("float32", "float64", "uint8")
_NARROW = np.ones((3, 3), np.uint8)
_WIDE = np.ones((9, 9), np.uint8)


class Workload(NamedTuple):
    """A function of the catalogue, the dtype of its image, and its other arguments."""

    name: str
    dtype: str
    arguments: Mapping[str, Any]

    def node(self, side: int) -> graph.Node:
        """The function on an image of `side` pixels along each axis."""
        entry = get_entry(self.name)
        is_rgb = entry.samples.get(entry.images[0]) == "rgb"
        image = photograph((side, side, 3) if is_rgb else (side, side), self.dtype)
        return cast("graph.Node", graph.apply(self.name, graph.open(image), **self.arguments))


def fast_functions() -> list[Workload]:
    """Functions that take nanoseconds per pixel, with common dtypes."""
    return [
        *_each("filters.gaussian", *_COMMON_DTYPES, sigma=1),
        *_each("filters.gaussian", *_COMMON_DTYPES, sigma=5),
        *_each("color.rgb2gray", "uint8"),
        *_each("filters.sobel", *_COMMON_DTYPES),
        *(
            Workload(f"numpy.{name}", dtype, {get_entry(f"numpy.{name}").images[1]: np.dtype(dtype).type(1)})
            for name in ("greater", "add", "multiply")
            for dtype in _COMMON_DTYPES
        ),
        *_each("numpy.sqrt", "float32"),
        *_each("filters.median", "uint8", footprint=_NARROW),
        *_each("filters.unsharp_mask", "float32"),
        *_each("morphology.erosion", "uint8", footprint=_NARROW),
        *_each("morphology.erosion", "uint8", footprint=_WIDE),
        *_each("morphology.opening", "uint8", footprint=_NARROW),
        *_each("transform.downscale_local_mean", "float32", factors=(2, 2)),
        *_each("exposure.rescale_intensity", "uint8"),
    ]


def typical_functions() -> list[Workload]:
    """A few functions of different libraries and data types, whose times tell the speed of a machine."""
    return [
        *_each("filters.gaussian", "float32", "uint8", sigma=2),
        *_each("filters.sobel", "float32"),
        *_each("filters.median", "uint8", footprint=_NARROW),
        *_each("morphology.erosion", "uint8", footprint=_NARROW),
    ]


def slow_functions() -> list[Workload]:
    """Functions that take microseconds per pixel."""
    name, options = "restoration.denoise_nl_means", {"patch_size": 5, "fast_mode": False}
    return [Workload(name, "float32", {**options, "patch_distance": reach}) for reach in (2, 6)]


def _each(name: str, *dtypes: str, **arguments: Any) -> Iterator[Workload]:
    return (Workload(name, dtype, arguments) for dtype in dtypes)


def objects(side: int, *, with_intensity: bool = True) -> list[graph.Node]:
    """Labels and their table, which have partials and merges; without `with_intensity` the table has areas only."""
    image = graph.open(photograph((side, side), "uint8"))
    mask = graph.apply("numpy.greater", image, graph.apply("filters.threshold_otsu", image))
    labels = graph.apply("measure.label", mask, connectivity=1)
    if not with_intensity:
        return [labels, graph.apply("measure.regionprops_table", labels, properties=("label", "area"))]
    properties = ("label", "area", "bbox", "centroid", "intensity_mean")
    return [labels, graph.apply("measure.regionprops_table", labels, image, properties=properties)]


def example(entry: Entry) -> graph.Node:
    """A node of an entry with the arguments of its example."""
    dtype = np.dtype(next(name for name in ("uint8", "float64", "bool") if name in entry.declared_dtypes()))
    images = {
        name: graph.open(samples.sample_for(entry.samples.get(name, "image"), "noise", (256, 256), dtype))
        for name in entry.images
        if name not in entry.complete({})
    }
    return cast("graph.Node", graph.apply(entry.name, **images, **entry.example_for(2)))


def photograph(shape: tuple[int, ...], dtype: str) -> Array:
    """A photograph of coins with noise, tiled, over the range of the dtype (0 to 1 for floats)."""
    from skimage import data

    coins = data.coins().astype(np.float32) / 255
    rows, columns = np.arange(shape[0]) % coins.shape[0], np.arange(shape[1]) % coins.shape[1]
    values = coins[rows][:, columns].reshape(shape[:2] + (1,) * (len(shape) - 2))
    noise = np.random.default_rng(5).standard_normal(shape, np.float32) * np.float32(0.035)
    values = np.clip(values + noise, 0, 1)
    kind = np.dtype(dtype)
    pixels: Array = values > 0.4 if kind.kind == "b" else (values * (1 if kind.kind == "f" else 255)).astype(kind)
    return pixels


def stored_image(side: int, dtype: str) -> Array:
    """A typical image of a dtype: a photograph, a mask (bool) or labels (int32)."""
    if dtype != "int32":
        return photograph((side, side), dtype)
    mask = photograph((side, side), "bool")
    return np.cumsum(mask, axis=1, dtype=np.int32) * mask
