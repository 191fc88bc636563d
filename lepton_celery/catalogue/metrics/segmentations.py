"""`skimage.metrics`: comparisons of two segmentations, from the pairs of labels that their pixels have.

Counts of pairs do not depend on an order; scikit-image's own arithmetic turns the same table into the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy, Partial
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite, Reduction, ValueFunction
from lepton_celery.catalogue.metrics.pairs import check_pair
from lepton_celery.catalogue.results import value_of
from lepton_celery.catalogue.shared.value_counts import combine_value_counts, merge_value_counts
from lepton_celery.errors import InputError

_MAX_LABELS = 1 << 31
"""Labels that a table may have, more than fit any memory."""
_STEPS = 1 << 20
"""Additions that are carried out at a time when a number is added to itself."""


@declare(
    Reduction(
        "lepton.label_pairs",
        images=("true", "test"),
        dtype_kinds="iu",
        merge=merge_value_counts,
        combine=combine_value_counts,
        result=value_of(np.int64, -1),
        cost_ns=100.0,
    )
)
def label_pairs(true: Array, test: Array) -> Partial:
    """The pairs of labels that occur at a pixel of this block, and how often."""
    for image in (true, test):
        if image.min() < 0 or image.max() >= _MAX_LABELS:
            raise InputError(
                f"labels go from {image.min()} to {image.max()}, too far for a table of all pairs; "
                "number them from 0 on first, with segmentation.relabel_sequential"
            )
    pairs, counts = np.unique(true.astype(np.int64) * _MAX_LABELS + test.astype(np.int64), return_counts=True)
    return {"values": pairs, "counts": counts}


def _table(pairs: Partial, ignore_labels: Sequence[int] | None, normalize: bool) -> Any:
    """Source: `skimage.metrics.contingency_table`; ignored labels stay in it as zeros."""
    from scipy.sparse import csr_array

    (true, test), counts = np.divmod(pairs["values"], _MAX_LABELS), pairs["counts"]
    taken = np.isin(true, () if ignore_labels is None else ignore_labels, invert=True)
    data = counts.astype(float)
    if normalize:
        data = _repeated(1 / np.float64(counts[taken].sum()), counts)
    return csr_array((np.where(taken, data, 0.0), (true, test)))


def _repeated(number: np.float64, counts: Array) -> Array:
    """`number` added to itself this many times, which is how the sums of a table's pixels come about."""
    sums, total, done = np.zeros(counts.size), np.float64(0), 0
    order = np.argsort(counts)
    first = 0
    while first < counts.size:
        running = np.cumsum(np.concatenate([[total], np.full(_STEPS, number)]))
        end = int(np.searchsorted(counts[order], done + _STEPS, side="right"))
        sums[order[first:end]] = running[counts[order[first:end]] - done]
        first, done, total = end, done + _STEPS, running[-1]
    return sums


@declare(ValueFunction("lepton.variation", values=("pairs",), result=value_of(float, 2)))
def variation(pairs: Partial, ignore_labels: Sequence[int]) -> Array:
    """Source: `skimage.metrics.variation_of_information`, from its table."""
    from scipy.sparse import csr_matrix
    from skimage.metrics import variation_of_information

    table, none = csr_matrix(_table(pairs, ignore_labels, True)), np.zeros(1, int)
    result: Array = variation_of_information(none, none, table=table)
    return result


@declare(ValueFunction("lepton.rand_error", values=("pairs",), result=value_of(float, 3)))
def rand_error(pairs: Partial, ignore_labels: Sequence[int], alpha: float) -> Array:
    """Source: `skimage.metrics.adapted_rand_error`, from its table: error, precision and recall."""
    from skimage.metrics import adapted_rand_error

    return np.array(adapted_rand_error(table=_table(pairs, ignore_labels, False), alpha=alpha))


def _ignored(arguments: Arguments) -> tuple[int, ...]:
    return tuple(int(label) for label in arguments["ignore_labels"] or ())


def _check(arguments: Arguments) -> None:
    images = [value for name, value in arguments.items() if name.startswith("image")]
    if arguments["table"] is not None or any(image is None for image in images):
        raise InputError("the table of labels is made from both images here; give both images and no table")
    check_pair(arguments)
    if not 0 <= arguments.get("alpha", 0) <= 1:
        raise InputError(f"alpha={arguments['alpha']}; give a number from 0 to 1")


@declare(
    Composite(
        "metrics.variation_of_information",
        images=("image0", "image1"),
        check=_check,
        dtype_kinds="iu",
        samples={"image0": "labels", "image1": "labels"},
        gives="",
    )
)
def _expand_variation(arguments: Arguments, build: Build) -> Lazy:
    pairs = build("lepton.label_pairs", true=arguments["image0"], test=arguments["image1"])
    return build("lepton.variation", pairs=pairs, ignore_labels=_ignored(arguments))


@declare(
    Composite(
        "metrics.adapted_rand_error",
        images=("image_true", "image_test"),
        check=_check,
        dtype_kinds="iu",
        returns=3,
        samples={"image_true": "labels", "image_test": "labels"},
        gives="",
    )
)
def _expand_rand(arguments: Arguments, build: Build) -> Lazy:
    pairs = build("lepton.label_pairs", true=arguments["image_true"], test=arguments["image_test"])
    results = build("lepton.rand_error", pairs=pairs, ignore_labels=_ignored(arguments), alpha=arguments["alpha"])
    return build("lepton.item", values=results, index=arguments["result_index"])
