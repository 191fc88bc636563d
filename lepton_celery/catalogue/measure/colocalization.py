"""`skimage.measure`: colocalization of two images: overlaps, Manders' and Pearson's coefficients."""

from __future__ import annotations

from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy, Partial, Partials
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite, Local, Reduction, ValueFunction
from lepton_celery.catalogue.measure.moments import BLAS
from lepton_celery.catalogue.promise import approximate
from lepton_celery.catalogue.results import ResultRule, always, value_of
from lepton_celery.catalogue.shared.histograms import merge_counts
from lepton_celery.errors import InputError
from lepton_celery.grid import BlockGrid

_PAIR = ("image0", "image1", "mask")


def _check_shapes(arguments: Arguments) -> None:
    shapes = {name: tuple(value.shape) for name, value in arguments.items() if hasattr(value, "gives")}
    if len(set(shapes.values())) > 1:
        raise InputError(f"Input images must have the same dimensions; these have the shapes {shapes}")


def _check_no_mask(arguments: Arguments) -> None:
    _check_shapes(arguments)
    if arguments["mask"] is not None:
        raise InputError(
            "mask is not supported here: it changes the order of the sums; set both images to 0 outside the mask"
        )


def _binary(image: Array, name: str) -> Array:
    from skimage._shared.utils import as_binary_ndarray

    try:
        binary: Array = as_binary_ndarray(image, variable_name=name)
    except ValueError as error:
        raise InputError(f"{error} Compare it with a threshold first.") from None
    return binary


# ------------------------------------------------------------------------------------------------ overlap

_MASKS = ("image0_mask", "image1_mask", "mask")


@declare(
    Reduction("lepton.overlap_counts", images=_MASKS, merge=merge_counts, result=value_of(np.int64, 2), cost_ns=2.0)
)
def overlap_counts(image0_mask: Array, image1_mask: Array, mask: Array | None) -> Partial:
    """The number of pixels in the first mask, and in both masks."""
    first, second = _binary(image0_mask, "image0_mask"), _binary(image1_mask, "image1_mask")
    if mask is not None:
        first = first & _binary(mask, "mask")
    return {"counts": np.array([np.count_nonzero(first), np.count_nonzero(first & second)])}


@declare(ValueFunction("lepton.overlap_of_counts", values=("counts",)))
def overlap_of_counts(counts: Array) -> Any:
    """`skimage.measure.intersection_coeff`, from the counts."""
    first, both = counts
    return both / first if first else 0  # a whole number, as from scikit-image


@declare(Composite("measure.intersection_coeff", images=_MASKS, check=_check_shapes, gives=""))
def _expand_overlap(arguments: Arguments, build: Build) -> Lazy:
    given = {name: arguments[name] for name in _MASKS}
    return build("lepton.overlap_of_counts", counts=build("lepton.overlap_counts", **given))


# ------------------------------------------------------------------------------------------------ Manders


@declare(Local("lepton.as_binary", dtype=always(bool), cost_ns=2.0))
def as_binary(image: Array) -> Array:
    """The image as bool; refused if it has values other than 0 and 1."""
    return _binary(image, "image1_mask")


@declare(Local("lepton.not_negative", cost_ns=1.0))
def not_negative(image: Array) -> Array:
    """The image itself; refused if a pixel is below 0."""
    if image.min() < 0:
        raise InputError(
            f"the image has pixels down to {image.min()}, but colocalization needs intensities of at least 0; "
            "give an image without pixels below 0"
        )
    return image


def _ratio_of(name: str) -> ResultRule:
    """A number, in the dtype in which NumPy divides two values of the argument's dtype."""
    return lambda arguments: ((), np.true_divide(*np.ones(2, arguments[name].dtype)).dtype)


@declare(ValueFunction("lepton.share", values=("inside", "total"), result=_ratio_of("total")))
def share(inside: Any, total: Any) -> Any:
    """`skimage.measure.manders_coloc_coeff`, from its sums."""
    return 0 if total == 0 else inside / total


@declare(
    Composite("measure.manders_coloc_coeff", images=("image0", "image1_mask", "mask"), check=_check_no_mask, gives="")
)
def _expand_manders(arguments: Arguments, build: Build) -> Lazy:
    image = build("lepton.not_negative", image=arguments["image0"])
    mask = build("lepton.as_binary", image=arguments["image1_mask"])
    inside = build("numpy.sum", a=build("numpy.multiply", x1=image, x2=mask))
    return build("lepton.share", inside=inside, total=build("numpy.sum", a=image))


@declare(ValueFunction("lepton.overlap", values=("both", "square0", "square1"), result=_ratio_of("both")))
def overlap(both: Any, square0: Any, square1: Any) -> Any:
    """`skimage.measure.manders_overlap_coeff`, from its sums."""
    return both / (square0 * square1) ** 0.5


@declare(Composite("measure.manders_overlap_coeff", images=_PAIR, check=_check_no_mask, gives=""))
def _expand_manders_overlap(arguments: Arguments, build: Build) -> Lazy:
    images = [build("lepton.not_negative", image=arguments[name]) for name in ("image0", "image1")]
    squares = [build("numpy.sum", a=build("numpy.square", x=image)) for image in images]
    both = build("numpy.sum", a=build("numpy.multiply", x1=images[0], x2=images[1]))
    return build("lepton.overlap", both=both, square0=squares[0], square1=squares[1])


# ------------------------------------------------------------------------------------------------ Pearson


def merge_product_sums(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Array:
    """The sum of all blocks' sums."""
    return np.asarray(sum(partial["sums"] for _, partial in partials))


@declare(
    Reduction(
        "lepton.product_sums",
        images=_PAIR,
        values=("means",),
        merge=merge_product_sums,
        result=value_of(np.float64, 6),
        cost_ns=8.0,
    )
)
def product_sums(image0: Array, image1: Array, mask: Array | None, means: Array | None) -> Partial:
    """The number of pixels, and sums, sums of squares and sum of products of both images, after subtracting `means`."""
    x, y = (image.ravel() if mask is None else image[_binary(mask, "mask")] for image in (image0, image1))
    x, y = x.astype(np.float64), y.astype(np.float64)
    if means is not None:
        x, y = x - means[0], y - means[1]
    return {"sums": np.array([x.size, x.sum(), y.sum(), x @ x, y @ y, x @ y])}


@declare(ValueFunction("lepton.two_means", values=("sums",), result=value_of(np.float64, 2)))
def two_means(sums: Array) -> Array:
    """The means of both images."""
    means: Array = sums[1:3] / sums[0]
    return means


@declare(ValueFunction("lepton.correlation", values=("sums",), result=value_of(np.float64, 2)))
def correlation(sums: Array) -> Array:
    """Pearson's coefficient and its p-value, as `scipy.stats.pearsonr` computes them, from sums about the means."""
    from scipy.stats import beta

    coefficient = np.clip(sums[5] / np.sqrt(sums[3] * sums[4]), -1.0, 1.0)
    if sums[0] == 2:
        return np.array([np.round(coefficient), 1.0])
    shape = sums[0] / 2 - 1
    return np.array([coefficient, 2 * beta.sf(abs(coefficient), shape, shape, loc=-1, scale=2)])


@declare(
    Composite(
        "measure.pearson_corr_coeff",
        images=_PAIR,
        check=_check_shapes,
        returns=2,
        promise=approximate(BLAS, bound=1e-3),
        gives="",
    )
)
def _expand_correlation(arguments: Arguments, build: Build) -> Lazy:
    given = {name: arguments[name] for name in _PAIR}
    means = build("lepton.two_means", sums=build("lepton.product_sums", **given, means=None))
    sums = build("lepton.product_sums", **given, means=means)
    return build("lepton.python_item", values=build("lepton.correlation", sums=sums), index=arguments["result_index"])
