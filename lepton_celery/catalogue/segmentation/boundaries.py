"""`skimage.segmentation`: borders of labels, labels grown, and methods that need the whole image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from threading import Lock
from typing import Any

import numpy as np

from lepton_celery.catalogue import geometry
from lepton_celery.catalogue.arrays import Arguments, Array
from lepton_celery.catalogue.entries import Entry, Refused, resolve
from lepton_celery.catalogue.geometry import Stencil, Whole
from lepton_celery.catalogue.morphology.footprints import SPACED, check_spaced, spaced_halo
from lepton_celery.catalogue.promise import IDENTICAL, Promise, approximate
from lepton_celery.catalogue.shared.halos import constant, gaussian_halo, leave_out, local, whole
from lepton_celery.errors import InputError
from lepton_celery.grid import Region


def _whole_pixels(arguments: Arguments) -> None:
    if arguments["mode"] == "subpixel":
        raise InputError("mode='subpixel' changes the image's shape; use 'thick', 'inner' or 'outer'")


# ------------------------------------------------------------------------------------------------ how results lie


ON_PIXELS = Stencil(constant(1), "1")
"""Boundaries are found from the pixels around."""


@dataclass(frozen=True)
class Boundaries:
    """Boundaries on the pixels, or with `mode="subpixel"` also between them: `2 n - 1` on an axis of `n` pixels."""

    on_pixels: Stencil = ON_PIXELS

    def result_shape(self, images: Sequence[tuple[int, ...]], arguments: Arguments) -> tuple[int, ...]:
        if arguments["mode"] != "subpixel":
            return self.on_pixels.result_shape(images, arguments)
        return tuple(2 * n - 1 for n in images[0])

    def reads(self, region: Region, images: Sequence[tuple[int, ...]], arguments: Arguments) -> list[Region]:
        if arguments["mode"] != "subpixel":
            return self.on_pixels.reads(region, images, arguments)
        # what stands one place before and one behind, in pixels: pixel i stands at place 2 i
        start = tuple(max(0, (a - 1) // 2) for a in region.start)
        stop = tuple(min(n, (b + 1) // 2 + 1) for b, n in zip(region.stop, images[0], strict=True))
        return [Region(start, stop)]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        if result.shape == read[0].shape:
            return self.on_pixels.trim(result, region, read)
        first = tuple(2 * a for a in read[0].start)
        return result[region.within(Region(first, tuple(a + n for a, n in zip(first, result.shape, strict=True))))]


@dataclass(frozen=True)
class WholeLabels(Whole):
    """One label for each pixel of the whole image, its channels taken together."""

    def result_shape(self, images: Sequence[tuple[int, ...]], arguments: Arguments) -> tuple[int, ...]:
        shape, axis = images[0], arguments["channel_axis"]
        if axis is None or len(shape) < 3:
            return shape
        return tuple(n for at, n in enumerate(shape) if at != axis % len(shape))


# ------------------------------------------------------------------------------------------------ functions


def _expand_labels(label_image: Array, distance: float = 1, spacing: Any = 1) -> Array:
    """`expand_labels`, but where a block has no label, none grows; SciPy would measure the distance to a phantom."""
    from skimage.segmentation import expand_labels

    if not label_image.any():
        return np.zeros_like(label_image)
    return np.asarray(expand_labels(label_image, distance, spacing))


_CURVATURE = Lock()


def _both(last: Callable[[Array], Array], first: Callable[[Array], Array], levels: Array) -> Array:
    return last(first(levels))


def _snakes(name: str) -> Callable[..., Array]:
    """The function of scikit-image, as its first call in a process gives it.

    Its smoothing takes two operators in turn, and goes on from call to call with the one that is due.
    """

    def function(**arguments: Any) -> Array:
        from skimage.segmentation import morphsnakes

        operators = morphsnakes._curvop  # noqa: SLF001
        inf_sup, sup_inf = morphsnakes.inf_sup, morphsnakes.sup_inf
        with _CURVATURE:
            due = operators.funcs
            operators.funcs = cycle([partial(_both, sup_inf, inf_sup), partial(_both, inf_sup, sup_inf)])
            try:
                return np.asarray(resolve(f"skimage.segmentation.{name}")(**arguments))
            finally:
                operators.funcs = due

    return function


# ------------------------------------------------------------------------------------------------ checks


def _sigma(arguments: Arguments) -> None:
    gaussian_halo(arguments)


def _no_callback(arguments: Arguments) -> None:
    if arguments["iter_callback"].__module__ != "skimage.segmentation.morphsnakes":  # its own, which does nothing
        raise InputError("iter_callback is a function, which cannot be sent to a worker; leave it out")


def _check_quickshift(arguments: Arguments) -> None:
    leave_out(return_tree="compute the tree on the whole image")(arguments)
    if not isinstance(arguments["rng"], int):
        raise InputError(
            f"rng={arguments['rng']!r}: quickshift breaks ties with noise; give a whole number, such as its default 42, "
            "for a result that can be had again"
        )


def _check_random_walker(arguments: Arguments) -> None:
    leave_out(return_full_prob="the probabilities of all labels are an image for each")(arguments)
    data, labels = arguments["data"].shape, arguments["labels"].shape
    if labels != (data if arguments["channel_axis"] is None else WholeLabels().result_shape([data], arguments)):
        raise InputError(f"data of shape {data} and labels of shape {labels} do not match; give a label for each pixel")


def _random_walker_promise(arguments: Arguments) -> Promise:
    if arguments["mode"] == "bf":
        return IDENTICAL
    return approximate(
        "the dot products of its conjugate gradients are added up by BLAS in an order that depends on its number of "
        "threads, so a pixel with two labels equally likely may get the other; use mode='bf'"
    )


_NO_IMAGE = "it takes the shape of an image, not an image"
_LEVEL_SET = "NumPy or scikit-image at once, and give the result as init_level_set"


def entries() -> list[Entry]:
    """Segmentation."""
    return [
        local(
            "segmentation.mark_boundaries",
            images=("image", "label_img"),
            samples={"label_img": "labels"},
            # find_boundaries looks one pixel around, the outline's dilation one more
            geometry=geometry.ColourOverLabels(lambda a: 1 if a["outline_color"] is None else 2),
            check=_whole_pixels,
            cost_ns=60.0,
        ),
        local(
            "segmentation.find_boundaries",
            images=("label_img",),
            dtype_kinds="biu",
            samples={"label_img": "labels"},
            geometry=Boundaries(),
            cost_ns=10.0,
        ),
        local(
            "segmentation.expand_labels",
            images=("label_image",),
            dtype_kinds="biu",
            samples={"label_image": "labels"},
            function=_expand_labels,
            geometry=Stencil(spaced_halo("distance"), SPACED.replace("radius", "distance")),
            check=check_spaced("distance"),
            cost_ns=20.0,
        ),
        local(
            "segmentation.inverse_gaussian_gradient",
            gaussian_halo,
            "int(4 * sigma + 0.5) per axis",
            check=_sigma,
            cost_ns=14.0,
            tap_ns=0.5,
        ),
        whole(
            "segmentation.join_segmentations",
            images=("s1", "s2"),
            dtype_kinds="iu",
            samples={"s1": "labels", "s2": "labels"},
            check=leave_out(return_mapping="the mapping is no image"),
            cost_ns=25.0,
        ),
        whole(
            "segmentation.slic",
            images=("image", "mask"),
            samples={"image": "rgb", "mask": "mask"},
            geometry=WholeLabels(),
            cost_ns=720.0,
        ),
        whole(
            "segmentation.felzenszwalb",
            samples={"image": "rgb"},
            ndims=(1, 2),  # 1: a gray image, whose last axis counts as channels
            geometry=WholeLabels(),
            cost_ns=500.0,
        ),
        whole(
            "segmentation.quickshift",
            samples={"image": "rgb"},
            ndims=(1, 2),  # 1: a gray image, whose last axis counts as channels
            geometry=WholeLabels(),
            check=_check_quickshift,
            example={"convert2lab": False, "kernel_size": 2, "max_dist": 4},
            cost_ns=1700.0,
        ),
        whole(
            "segmentation.random_walker",
            images=("data", "labels"),
            samples={"labels": "markers"},
            geometry=WholeLabels(),
            check=_check_random_walker,
            dtype=lambda arguments: arguments["labels"].dtype,
            promise=_random_walker_promise,
            cost_ns=140_000.0,
        ),
        whole(
            "segmentation.chan_vese",
            images=("image", "init_level_set"),
            values=("init_level_set",),  # the name of a preset is welcome too
            ndims=(2,),
            check=leave_out(extended_output="the level set and the energies are no image of labels"),
            example={"max_num_iter": 10},
            cost_ns=15_000.0,
        ),
        *[
            whole(
                f"segmentation.{name}",
                images=(image, "init_level_set"),
                values=("init_level_set",),
                dtype_kinds=kinds,
                ndims=(2, 3),
                function=_snakes(name),
                check=_no_callback,
                example={"num_iter": 4},
                cost_ns=300.0,
            )
            for name, image, kinds in (
                ("morphological_chan_vese", "image", "biuf"),
                ("morphological_geodesic_active_contour", "gimage", "f"),
            )
        ],
        Refused(
            name="segmentation.active_contour",
            source="skimage.segmentation.active_contour",
            reason="it moves a line over the whole image and gives the line, not an image",
            instead="segmentation.morphological_geodesic_active_contour, or compute it on the whole image",
        ),
        *[
            Refused(
                name=f"segmentation.{name}",
                source=f"skimage.segmentation.{name}",
                images=(),
                reason=_NO_IMAGE,
                instead=_LEVEL_SET,
            )
            for name in ("disk_level_set", "checkerboard_level_set")
        ],
    ]
