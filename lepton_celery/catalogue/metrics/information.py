"""`skimage.metrics`: mutual information of two images, from their joint histogram."""

from __future__ import annotations

from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy, Partial, Partials
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite, Reduction, ValueFunction
from lepton_celery.catalogue.metrics.pairs import check_pair
from lepton_celery.catalogue.results import value_of
from lepton_celery.catalogue.shared.values import Extent
from lepton_celery.grid import BlockGrid

_IMAGES = ("image0", "image1")


def _plain(bins: Any) -> Any:
    return list(bins) if isinstance(bins, tuple) else bins


def _ranges(extent0: Extent, extent1: Extent, dtype: str) -> list[Any]:
    # NumPy computes both extents in the dtype that holds both images
    return [tuple(np.asarray(extent).astype(dtype)) for extent in (extent0, extent1)]


def merge_joint(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Array:
    """The sum of all blocks' joint histograms."""
    total: Any = 0
    for _, partial in partials:
        total = total + partial["counts"]
    return np.asarray(total)


@declare(
    Reduction(
        "lepton.joint_counts",
        images=_IMAGES,
        values=("extent0", "extent1"),
        merge=merge_joint,
        result=value_of(np.float64, -1, -1),
        cost_ns=250.0,
    )
)
def joint_counts(image0: Array, image1: Array, extent0: Extent, extent1: Extent, bins: Any, dtype: str) -> Partial:
    """Counts of `numpy.histogram2d` over the whole images' extents, for this block's pixels."""
    counts, *_ = np.histogramdd(
        [image0.reshape(-1), image1.reshape(-1)], bins=_plain(bins), range=_ranges(extent0, extent1, dtype)
    )
    return {"counts": counts}


@declare(ValueFunction("lepton.mutual_information", values=("counts", "extent0", "extent1")))
def mutual_information(counts: Array, extent0: Extent, extent1: Extent, bins: Any, dtype: str) -> Any:
    """Source: `skimage.metrics.normalized_mutual_information`, from the joint histogram."""
    from scipy.stats import entropy

    nothing = np.empty((0, 2), dtype)
    _, edges = np.histogramdd(nothing, bins=_plain(bins), range=_ranges(extent0, extent1, dtype))
    density = counts / np.diff(edges[0])[:, np.newaxis]
    density = density / np.diff(edges[1])
    density /= counts.sum()
    separate = entropy(np.sum(density, axis=0)) + entropy(np.sum(density, axis=1))
    return separate / entropy(np.reshape(density, -1))


@declare(
    Composite(
        "metrics.normalized_mutual_information",
        images=_IMAGES,
        dtype_kinds="iuf",
        check=check_pair,
        least={"bins": 1},
        gives="",
    )
)
def _expand(arguments: Arguments, build: Build) -> Lazy:
    images = arguments["image0"], arguments["image1"]
    extent0, extent1 = (build("lepton.extent", image=image) for image in images)
    given = {"extent0": extent0, "extent1": extent1, "bins": arguments["bins"]}
    given["dtype"] = str(np.result_type(*(image.dtype for image in images)))
    counts = build("lepton.joint_counts", image0=images[0], image1=images[1], **given)
    return build("lepton.mutual_information", counts=counts, **given)
