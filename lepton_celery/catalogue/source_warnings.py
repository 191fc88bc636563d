"""The warnings that scikit-image gives as soon as it sees the arguments, the dtypes and the shapes of a call.

They are given when the graph is built, once for a call. Warnings that depend on pixels come from the blocks; see
`execution/library_warnings.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments
from lepton_celery.errors import InputError

Found = str | Warning | None
"""A warning, a text that is a `UserWarning`, or no warning."""


def source_warnings(name: str, arguments: Arguments) -> Iterator[Warning]:
    """The warnings of a function for these arguments, which are complete."""
    found = _RULES[name](arguments) if name in _RULES else None
    if found is not None:
        yield found if isinstance(found, Warning) else UserWarning(found)


def renamed(name: str, arguments: Arguments) -> tuple[dict[str, Any], Warning | None]:
    """The given arguments with the new name of a deprecated parameter, and the warning if there was one."""
    old, new = _DEPRECATED.get(name, ("", ""))
    given = arguments.get(old)
    if not isinstance(given, int | float | np.number):
        return dict(arguments), None
    rest = {parameter: value for parameter, value in arguments.items() if parameter != old}
    function = name.rpartition(".")[2]
    warning = FutureWarning(
        f"Parameter `{old}` is deprecated since version 0.26.0 and will be removed in 2.0.0 (or later). To avoid this "
        f"warning, please use the parameter `{new}` instead. For more details, see the documentation of `{function}`. "
        "Note that the new threshold removes objects smaller than **or equal to** its value, while the previous "
        "parameter only removed smaller ones."
    )
    # scikit-image gives the value on as it is, so that the old parameter also removes objects of this size
    return {new: given} | rest, warning


def refuse_both(name: str, arguments: Arguments) -> None:
    """Refuse a deprecated parameter together with the one that replaced it."""
    old, new = _DEPRECATED.get(name, ("", ""))
    if old in arguments and new in arguments:
        raise InputError(
            f"Both deprecated parameter `{old}` and new parameter `{new}` are used. Use only the latter to avoid "
            "conflicting values."
        )


def _alpha_is_rounded(arguments: Arguments) -> Found:
    dtype, alpha = arguments["image"].dtype, arguments["alpha"]
    if not isinstance(alpha, int | float | np.number):
        return None
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        is_same = np.array_equal(np.asarray(alpha).astype(dtype), alpha)
    return None if is_same else f"alpha cannot be safely cast to image dtype {dtype.name}"


def _looks_like_colours(arguments: Arguments) -> Found:
    shape = arguments["image"].shape
    if len(shape) != 3 or shape[-1] >= 4 or arguments["channel_axis"] is not None:
        return None
    return (
        "This might be a color image. The histogram will be computed on the flattened image. You can instead "
        "apply this function to each color channel, or set channel_axis."
    )


def _is_no_gray_image(function: str) -> Callable[[Arguments], Found]:
    def rule(arguments: Arguments) -> Found:
        image = arguments["image"]
        if image is None or len(image.shape) <= 2 or image.shape[-1] not in (3, 4):
            return None
        return (
            f"{function} is expected to work correctly only for grayscale images; image shape {tuple(image.shape)} "
            "looks like that of an RGB image."
        )

    return rule


def _saturation_is_out_of_range(arguments: Arguments) -> Found:
    saturation = arguments["saturation"]
    return None if 0 <= saturation <= 1 else f"saturation must be in range [0, 1], got {saturation}"


def _pattern_of_floats(arguments: Arguments) -> Found:
    if arguments["image"].dtype.kind != "f":
        return None
    return (
        "Applying `local_binary_pattern` to floating-point images may give unexpected results when small numerical "
        "differences between adjacent pixels are present. It is recommended to use this function with images of "
        "integer dtype."
    )


def _derivatives_will_change(arguments: Arguments) -> Found:
    if arguments["use_gaussian_derivatives"] is not None:
        return None
    return FutureWarning(
        "use_gaussian_derivatives currently defaults to False, but will change to True in a future version. Please "
        "specify this argument explicitly to maintain the current behavior"
    )


def _no_distance(arguments: Arguments) -> Found:
    footprint = arguments["footprint"]
    if (footprint is not None and np.size(footprint) != 1) or arguments["min_distance"] >= 1:
        return None
    return RuntimeWarning(
        "When min_distance < 1, peak_local_max acts as finding image > max(threshold_abs, threshold_rel * max(image))."
    )


def _mode_is_discarded(arguments: Arguments) -> Found:
    is_usual = arguments["mode"] == "nearest" and np.isclose(arguments["cval"], 0.0)
    if arguments["behavior"] != "rank" or is_usual:
        return None
    return (
        "Change 'behavior' to 'ndimage' if you want to use the parameters 'mode' or 'cval'. They will be discarded "
        "otherwise."
    )


def _range_is_guessed(arguments: Arguments) -> Found:
    """The warning of `structural_similarity`."""
    from skimage.util.dtype import dtype_range

    dtype = arguments["im1"].dtype
    if arguments["data_range"] is not None or dtype == np.uint8 or dtype.kind not in "iu":
        return _dtypes_differ("im1", "im2", "Inputs have mismatched dtypes. Setting data_range based on im1.dtype.")(
            arguments
        )
    least, greatest = dtype_range[dtype.type]
    return (
        f"Setting data_range based on im1.dtype. data_range = {greatest - least:.0f}. Please specify data_range "
        "explicitly to avoid mistakes."
    )


def _dtypes_differ(one: str, other: str, text: str) -> Callable[[Arguments], Found]:
    def rule(arguments: Arguments) -> Found:
        is_given = arguments["data_range"] is not None
        return None if is_given or arguments[one].dtype == arguments[other].dtype else text

    return rule


def _labels_become_a_mask(arguments: Arguments) -> Found:
    if arguments["ar"].dtype == bool:
        return None
    return "Any labeled images will be returned as a boolean array. Did you mean to use a boolean array?"


def _precision_is_lost(arguments: Arguments) -> Found:
    h = arguments["h"]
    if not isinstance(h, float | np.floating) or arguments["image"].dtype.kind not in "iu" or h % 1 == 0:
        return None
    return (
        "possible precision loss converting image to floating point. To silence this warning, ensure image and h "
        "have same data type."
    )


def _is_too_small_for_extrema(arguments: Arguments) -> Found:
    if arguments["allow_borders"] or min(arguments["image"].shape) >= 3:
        return None
    return "maxima can't exist for an image with any dimension smaller 3 if borders aren't allowed"


def _has_an_axis_of_one_pixel(arguments: Arguments) -> Found:
    shape = arguments["image"].shape
    if len(shape) < 2 or 1 not in shape:
        return None
    return (
        "Image has a length 1 dimension. Consider using an array of lower dimensionality to use a more efficient "
        "algorithm"
    )


def _channels_of_bilateral(arguments: Arguments) -> Found:
    image, axis = arguments["image"], arguments["channel_axis"]
    if axis is None or len(image.shape) != 3:
        return None
    shape = tuple(np.moveaxis(np.empty(image.shape, "V0"), axis, -1).shape)
    if shape[2] in (3, 4):
        return None
    if shape[2] > 4:
        return (
            f"The last axis of the input image is interpreted as channels. Input image with shape {shape} has "
            f"{shape[2]} channels in last axis. ``denoise_bilateral``is implemented for 2D grayscale and color images "
            "only."
        )
    return f"Input image must be grayscale, RGB, or RGBA; but has shape {shape}."


_DEPRECATED = {
    "morphology.remove_small_holes": ("area_threshold", "max_size"),
    "morphology.remove_small_objects": ("min_size", "max_size"),
}
"""Deprecated parameters of functions, and the parameters that replaced them."""

_RULES: dict[str, Callable[[Arguments], Found]] = {
    "color.gray2rgba": _alpha_is_rounded,
    "color.label2rgb": _saturation_is_out_of_range,
    "exposure.histogram": _looks_like_colours,
    "feature.hessian_matrix": _derivatives_will_change,
    "feature.local_binary_pattern": _pattern_of_floats,
    "feature.peak_local_max": _no_distance,
    "filters.median": _mode_is_discarded,
    "filters.threshold_multiotsu": _is_no_gray_image("threshold_multiotsu"),
    "filters.threshold_otsu": _is_no_gray_image("threshold_otsu"),
    "lepton.paint_labels": _saturation_is_out_of_range,
    "metrics.peak_signal_noise_ratio": _dtypes_differ(
        "image_true", "image_test", "Inputs have mismatched dtype.  Setting data_range based on image_true."
    ),
    "metrics.structural_similarity": _range_is_guessed,
    "morphology.h_maxima": _precision_is_lost,
    "morphology.h_minima": _precision_is_lost,
    "morphology.local_maxima": _is_too_small_for_extrema,
    "morphology.local_minima": _is_too_small_for_extrema,
    "morphology.remove_small_holes": _labels_become_a_mask,
    "restoration.denoise_bilateral": _channels_of_bilateral,
    "restoration.unwrap_phase": _has_an_axis_of_one_pixel,
}
"""What each function warns of."""
