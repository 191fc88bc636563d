"""`skimage.segmentation`: methods that need the whole image at once: superpixels, random walks, active contours."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from threading import Lock
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Shape, Shapes
from lepton_celery.catalogue.declare import leave_out, whole
from lepton_celery.catalogue.entries import resolve
from lepton_celery.catalogue.geometry import Whole
from lepton_celery.catalogue.promise import IDENTICAL, Promise, approximate
from lepton_celery.catalogue.results import always, dtype_of
from lepton_celery.errors import InputError


class WholeLabels(Whole):
    """One label for each pixel of the whole image, all its channels together."""

    def result_shape(self, images: Shapes, arguments: Arguments) -> Shape:
        shape, axis = images[0], arguments["channel_axis"]
        if axis is None or len(shape) < 3:
            return shape
        return tuple(n for other, n in enumerate(shape) if other != axis % len(shape))


# ------------------------------------------------------------------------------------------------ active contours

_OPERATORS_LOCK = Lock()


def _snakes(name: str) -> Callable[..., Array]:
    """The function of scikit-image, with the result of its first call in a process.

    Its smoothing alternates between two operators, and a later call begins with the operator after the last one used.
    """

    def function(**arguments: Any) -> Array:
        from skimage.segmentation import morphsnakes

        operators = morphsnakes._curvop  # noqa: SLF001
        inf_sup: Callable[[Array], Array] = morphsnakes.inf_sup
        sup_inf: Callable[[Array], Array] = morphsnakes.sup_inf
        with _OPERATORS_LOCK:
            following = operators.funcs
            operators.funcs = cycle([lambda u: sup_inf(inf_sup(u)), lambda u: inf_sup(sup_inf(u))])
            try:
                return np.asarray(resolve(f"skimage.segmentation.{name}")(**arguments))
            finally:
                operators.funcs = following

    return function


def _check_no_callback(arguments: Arguments) -> None:
    if (
        getattr(arguments["iter_callback"], "__module__", "") != "skimage.segmentation.morphsnakes"
    ):  # its own, which does nothing
        raise InputError("iter_callback is a function, which cannot be sent to a worker; leave it out")


# ------------------------------------------------------------------------------------------------ checks


def _check_slic(arguments: Arguments) -> None:
    shape, axis = arguments["image"].shape, arguments["channel_axis"]
    if len(shape) == 2 and axis is not None:
        raise InputError(
            f"channel_axis={axis} indicates multichannel, which is not supported for a two-dimensional image; the shape is "
            f"{shape}: give channel_axis=None if it is gray"
        )
    mask, pixels = arguments["mask"], WholeLabels().result_shape([shape], arguments)
    if len(pixels) > 3:
        raise InputError(f"an image of shape {shape} has {len(pixels)} axes of pixels; give one of 2 or 3")
    if mask is not None and mask.shape != pixels:
        raise InputError(f"image and mask should have the same shape: the mask has {mask.shape}, the image {pixels}")


def _check_flat(arguments: Arguments) -> None:
    shape, axis = tuple(arguments["image"].shape), arguments["channel_axis"]
    # with a channel axis an image may also be gray; its last axis then counts as channels
    if len(shape) not in ((2,) if axis is None else (2, 3)):
        raise InputError(
            f"This algorithm works only on single or multi-channel 2d images; this one has the shape {shape} and "
            f"channel_axis={axis}"
        )


def _check_quickshift(arguments: Arguments) -> None:
    leave_out(return_tree="compute the tree on the whole image")(arguments)
    if not isinstance(arguments["rng"], int):
        raise InputError(
            f"rng={arguments['rng']!r}: quickshift breaks ties with noise; give a whole number, such as its default 42, "
            "for a reproducible result"
        )


def _check_random_walker(arguments: Arguments) -> None:
    leave_out(return_full_prob="the probabilities are one image per label")(arguments)
    data, labels = arguments["data"].shape, arguments["labels"].shape
    if labels != (data if arguments["channel_axis"] is None else WholeLabels().result_shape([data], arguments)):
        raise InputError(f"data of shape {data} and labels of shape {labels} do not match; give a label for each pixel")
    if len(labels) not in (2, 3):
        raise InputError(f"data of shape {data} has {len(labels)} axes of pixels; data must be of dimension 2 or 3")


def _random_walker_promise(arguments: Arguments) -> Promise:
    if arguments["mode"] == "bf":
        return IDENTICAL
    return approximate(
        "the dot products of its conjugate gradients are added up by BLAS in an order that depends on its number of "
        "threads, so a pixel with two labels equally likely may get the other; use mode='bf'",
        bound=0.01,  # no label differed in the proofs
    )


ENTRIES = (
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
        WholeLabels(),
        images=("image", "mask"),
        samples={"image": "rgb", "mask": "mask"},
        check=_check_slic,
        choices={"start_label": (0, 1)},
        least={"n_segments": 1, "min_size_factor": 0, "max_size_factor": 0},
        dtype=always(np.int64),  # probing with a mask that has no pixels would fail
        cost_ns=720.0,
    ),
    whole(
        "segmentation.felzenszwalb",
        WholeLabels(),
        samples={"image": "rgb"},
        check=_check_flat,
        cost_ns=500.0,
    ),
    whole(
        "segmentation.quickshift",
        WholeLabels(),
        samples={"image": "rgb"},
        ndims=(1, 2),  # 1: a gray image, whose last axis counts as channels
        check=_check_quickshift,
        example={"convert2lab": False, "kernel_size": 2, "max_dist": 4},
        cost_ns=1700.0,
    ),
    whole(
        "segmentation.random_walker",
        WholeLabels(),
        images=("data", "labels"),
        samples={"labels": "markers"},
        check=_check_random_walker,
        choices={"mode": ("cg_mg", "cg", "cg_j", "bf", None)},
        dtype=dtype_of("labels"),
        promise=_random_walker_promise,
        cost_ns=140_000.0,
    ),
    whole(
        "segmentation.chan_vese",
        images=("image", "init_level_set"),
        values=("init_level_set",),  # or the name of one of scikit-image's level sets
        ndims=(2,),
        check=leave_out(extended_output="the level set and the energies are no image of labels"),
        example={"max_num_iter": 10},
        cost_ns=15_000.0,
    ),
    *(
        whole(
            f"segmentation.{name}",
            images=(image, "init_level_set"),
            values=("init_level_set",),
            dtype_kinds=kinds,
            ndims=(2, 3),
            function=_snakes(name),
            check=_check_no_callback,
            example={"num_iter": 4},
            cost_ns=300.0,
        )
        for name, image, kinds in (
            ("morphological_chan_vese", "image", "biuf"),
            ("morphological_geodesic_active_contour", "gimage", "f"),
        )
    ),
)
