"""`skimage.segmentation`: `clear_border`, which removes components, and `relabel_sequential`, which numbers labels anew."""

from __future__ import annotations

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite, Local, ValueFunction
from lepton_celery.catalogue.results import dtype_of, value_like
from lepton_celery.catalogue.shared.components import components_where
from lepton_celery.catalogue.shared.value_counts import find_values
from lepton_celery.errors import ArgumentNotImplementedError, InputError

# ------------------------------------------------------------------------------------------------ clear_border


def _check_clear_border(arguments: Arguments) -> None:
    labels, mask, width = arguments["labels"], arguments["mask"], arguments["buffer_size"]
    if labels.dtype != bool and len(labels.shape) > 3:
        raise ArgumentNotImplementedError(
            f"labels of integers have 1 to 3 axes here, as in scikit-image; these have {len(labels.shape)}"
        )
    if mask is not None:
        if mask.dtype != bool or mask.shape != labels.shape:
            raise InputError(
                f"mask is {mask.dtype} of shape {mask.shape} for labels of shape {labels.shape}; "
                "give a bool image of the same shape"
            )
    elif not 0 <= width < min(labels.shape) or int(width) != width:
        raise InputError(
            f"buffer_size={width} for labels of shape {labels.shape}; give a whole number from 0, less than each axis has"
        )


@declare(
    Composite(
        "segmentation.clear_border",
        images=("labels", "mask"),
        dtype_kinds="bui",
        check=_check_clear_border,
        gives="image",
    )
)
def _expand_clear_border(arguments: Arguments, build: Build) -> Lazy:
    labels, mask = arguments["labels"], arguments["mask"]
    if mask is None:
        marker = build("lepton.near_edge", image=labels, widths=(arguments["buffer_size"] + 1,) * len(labels.shape))
    else:
        marker = build("numpy.logical_not", x=mask)
    cleared = components_where(build, labels, marker=marker)
    return build("lepton.filled", image=labels, mask=cleared, value=arguments["bgval"])


# ------------------------------------------------------------------------------------------------ relabel_sequential


@declare(
    ValueFunction("lepton.sequence", values=("labels",), result=lambda arguments: ((-1,), np.dtype(arguments["dtype"])))
)
def sequence(labels: Array, offset: int, dtype: str) -> Array:
    """The new number of each label, as in `skimage.segmentation.relabel_sequential`, in the dtype of the image."""
    if labels.dtype.kind == "i" and labels[0] < 0:
        raise InputError(f"the image has negative labels, such as {labels[0]}; give labels that count from 0")
    numbers = np.arange(offset, offset + labels.size, dtype=object) - int(labels[0] == 0)
    if labels[0] == 0:
        numbers[0] = 0
    last, given = int(numbers[-1]), np.dtype(dtype)
    if last > np.iinfo(given).max or (last == np.iinfo(given).max and np.min_scalar_type(last) != given):
        raise InputError(
            f"{labels.size} labels from {offset} on go up to {last}, for which scikit-image returns another dtype than "
            f"{given}, the dtype of the lazy result; convert the image with .astype first"
        )
    return numbers.astype(given)


@declare(Local("lepton.renumbered", values=("labels", "numbers"), dtype=dtype_of("image"), cost_ns=30.0))
def renumbered(image: Array, labels: Array, numbers: Array) -> Array:
    """The image with each label replaced by its number."""
    return np.asarray(numbers[find_values(image, labels)[0]])


@declare(ValueFunction("lepton.as_map", values=("keys", "values"), result=value_like("values", -1)))
def as_map(keys: Array, values: Array) -> Array:
    """`values` at the indices `keys`, 0 elsewhere: `np.asarray` of an `ArrayMap`."""
    if int(keys.max()) >= 2**31:
        raise InputError(f"a map up to label {keys.max()} is too long; take the relabelled image without its maps")
    result = np.zeros(int(keys.max()) + 1, values.dtype)
    result[keys] = values
    return result


def _check_sequential(arguments: Arguments) -> None:
    image, offset = arguments["label_field"], arguments["offset"]
    if not 0 < offset <= np.iinfo(image.dtype).max:
        raise InputError(
            f"offset={offset} for labels of dtype {image.dtype}; give one from 1 to {np.iinfo(image.dtype).max}, "
            "or convert the labels with .astype first"
        )


@declare(
    Composite(
        "segmentation.relabel_sequential",
        images=("label_field",),
        dtype_kinds="iu",
        samples={"label_field": "labels"},
        check=_check_sequential,
        returns=3,
        gives="",
    )
)
def _expand_sequential(arguments: Arguments, build: Build) -> Lazy:
    image = arguments["label_field"]
    labels = build("lepton.occurring", counts=build("lepton.value_counts", image=image))
    numbers = build("lepton.sequence", labels=labels, offset=int(arguments["offset"]), dtype=str(image.dtype))
    index = arguments["result_index"]
    if index == 0:
        return build("lepton.renumbered", image=image, labels=labels, numbers=numbers)
    keys, values = (labels, numbers) if index == 1 else (numbers, labels)
    return build("lepton.as_map", keys=keys, values=values)
