"""Functions of your own on lazy images: `map_blocks` and `map_overlap`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np

from lepton_celery.catalogue.arrays import Array
from lepton_celery.catalogue.own import BLENDS
from lepton_celery.catalogue.shared.functions import path_of
from lepton_celery.catalogue.stitching import joined_labels
from lepton_celery.errors import InputError
from lepton_celery.graph.nodes import Image, make, open

MODES = (None, "reflect", "mirror", "nearest", "constant", "wrap")


def map_blocks(
    function: Callable[..., Any] | str,
    *images: Image | Array,
    halo: int | Sequence[int] = 0,
    mode: str | None = None,
    **parameters: Any,
) -> Image:
    """Apply a function of your own block by block.

    Args:
        function: takes one array per image and `parameters` as keyword arguments; returns an array of the first one's shape.
            It is called with C-contiguous blocks that include the halo, in no particular order, and more than once for a
            block if work is repeated. Celery workers must be able to import it, and their setting `allowed_functions` must
            name its `package.module:function`; a function that cannot be imported (a lambda) needs `lepton.compute`.
        images: lazy images or arrays of one shape.
        halo: pixels around a block that the function reads, one number or one per axis; they are trimmed off the result.
            `lepton.prove(function)` finds the smallest halo.
        mode: boundary mode that fills the halo outside the image: `reflect`, `mirror`, `nearest`, `constant` (zeros) or
            `wrap`, as in SciPy; None to clip the halo at the image's edge.
        parameters: plain values for the function.

    Raises:
        InputError: the shapes differ, the halo is too large for the image, or the function fails when it is tried on a few
            pixels.
    """
    lazy = [_lazy(image) for image in images]
    if not lazy:
        raise InputError("map_blocks was given no image; give at least one after the function")
    ndim = lazy[0].ndim
    reach = _per_axis(halo, ndim)
    if len(reach) != ndim or any(h < 0 for h in reach):
        raise InputError(f"halo {halo} for an image of {ndim} axes; give a number from 0, or one per axis")
    if any(h >= n for h, n in zip(reach, lazy[0].shape, strict=True) if h):
        raise InputError(
            f"halo {halo} reaches over the whole image of shape {lazy[0].shape}; "
            "give a smaller halo, or call the function on the whole image"
        )
    if mode not in MODES:
        raise InputError(f"mode {mode!r} is not one of {', '.join(map(repr, MODES))}")
    named = {f"images.{at}": image for at, image in enumerate(lazy)}
    return _made("lepton.map_blocks", function, parameters, **named, halo=reach, mode=mode)


def map_overlap(
    function: Callable[..., Any] | str,
    image: Image | Array,
    *,
    window: int | Sequence[int],
    overlap: int | Sequence[int],
    blend: str | Array = "average",
    channels: int | None = None,
    merge: str = "blend",
    **parameters: Any,
) -> Image:
    """Apply a function to overlapping windows and merge the results, as in tiled inference with a neural network.

    Windows begin every `window - overlap` pixels from the image's origin, and the last one ends at the image's edge. The
    result does not depend on the block shape. The least work is repeated if block lengths are multiples of
    `window - overlap`.

    Args:
        function: takes one window, with all channels if the image has them, and `parameters` as keyword arguments; returns
            an array of the window's spatial shape, with a last axis of length `channels` if that is given. As for
            `map_blocks`, workers must be able and allowed to import it.
        image: spatial axes, and possibly a last axis of channels.
        window: pixels per spatial axis; an image shorter than a window is covered by one.
        overlap: pixels that neighbouring windows share, less than `window`.
        blend: `average`; `max`; `hann` or `gaussian`, weights that fall towards the window's edge; or an array of weights
            above zero, of the window's shape.
        channels: length of the last axis of the function's result; None if the result has spatial axes only.
        merge: `blend` for images; `labels` if the function segments, and returns whole numbers from 0, the background. An
            object of one window and one of a neighbouring window are the same if their intersection over union, among the
            pixels that both windows have, is at least `iou_threshold` (0.5, or another number above 0 up to 1). A pixel
            belongs to the window that has most to spare around it, and objects are numbered as by `measure.label`. The
            result is that of the whole image if the function is local and the overlap wider than the objects.
        parameters: plain values for the function.

    Returns:
        A float64 image; an int32 image of labels.

    Raises:
        InputError: the lengths or the weights do not fit the image.
    """
    lazy = _lazy(image)
    lengths = _per_axis(window, lazy.ndim)
    shared = _per_axis(overlap, len(lengths))
    fits = len(lengths) in (lazy.ndim, lazy.ndim - 1) and len(shared) == len(lengths)
    if not fits or any(not 0 <= o < n for o, n in zip(shared, lengths, strict=True)):
        raise InputError(
            f"window {window} and overlap {overlap} for an image of shape {lazy.shape}; "
            "give one length per spatial axis, the overlap from 0 to less than the window"
        )
    if merge == "labels":
        layout = {"window": lengths, "overlap": shared}
        return _joined(lazy, function, parameters, blend != "average" or bool(channels), layout)
    if merge != "blend":
        raise InputError(f"merge {merge!r} is not 'blend' or 'labels'")
    blend = _checked_blend(blend, lengths)
    windows = {"window": lengths, "overlap": shared, "blend": blend, "channels": channels or 0}
    return _made("lepton.map_overlap", function, parameters, image=lazy, **windows)


def _checked_blend(blend: str | Array, lengths: tuple[int, ...]) -> str | Array:
    """A way of blending windows: its name, or weights above zero."""
    if isinstance(blend, str) and blend not in BLENDS:
        raise InputError(f"blend {blend!r} is not one of {', '.join(BLENDS)}, nor an array of weights")
    if not isinstance(blend, str):
        blend = np.asarray(blend, dtype=np.float64)
        if blend.shape != lengths or not (blend > 0).all():
            raise InputError(
                f"weights of shape {blend.shape} for windows of {lengths}; give that shape, all above zero"
            )
    return blend


def _joined(
    image: Image,
    function: Callable[..., Any] | str,
    parameters: dict[str, Any],
    is_blended: bool,
    layout: dict[str, tuple[int, ...]],
) -> Image:
    """The label image of a function that segments windows."""
    threshold = parameters.pop("iou_threshold", 0.5)
    if not 0 < threshold <= 1:
        raise InputError(f"iou_threshold={threshold!r}; give a number above 0, up to 1")
    if is_blended:
        raise InputError('merge="labels" joins labels, which are not blended and have no channels; leave both out')
    given = {"function": path_of(function), "parameters": tuple(parameters.items()), **layout}
    return cast("Image", joined_labels(make, image, threshold, **given))


def _per_axis(lengths: int | Sequence[int], ndim: int) -> tuple[int, ...]:
    return (lengths,) * ndim if isinstance(lengths, int) else tuple(int(n) for n in lengths)


def _lazy(image: Image | Array) -> Image:
    return image if isinstance(image, Image) else open(np.asarray(image))


def _made(name: str, function: Callable[..., Any] | str, parameters: dict[str, Any], **arguments: Any) -> Image:
    called = path_of(function)
    try:
        node = make(name, function=called, parameters=tuple(parameters.items()), **arguments)
    except InputError:
        raise
    except Exception as error:  # the function was tried on a few pixels, and may raise anything
        raise InputError(f"{called} fails on a few pixels: {type(error).__name__}: {error}") from error
    assert isinstance(node, Image)
    return node
