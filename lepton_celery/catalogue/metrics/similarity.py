"""`skimage.metrics`: how much two images, or two segmentations, are alike.

Means of floats are added up in NumPy's own order. Counts of pairs of labels do not depend on an order; what follows from
them is scikit-image's own arithmetic on the same table.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Partial, Partials, View, Where
from lepton_celery.catalogue.entries import Build, Composite, Entry, Local, Reduction, Refused, Sample
from lepton_celery.catalogue.numpy.reductions import merge_unique
from lepton_celery.catalogue.shared.axes import TrailingAxis, WithoutTrailing, split_channels
from lepton_celery.catalogue.shared.pairwise import BUFFER, READ_PX, in_raster_order, read_run, share_of
from lepton_celery.catalogue.shared.values import value_function
from lepton_celery.errors import InputError
from lepton_celery.grid import BlockGrid

# ------------------------------------------------------------------------------------------------ sums in buffers


def buffers(first: int, stop: int, layout: Sequence[int], converted: bool) -> Iterator[tuple[int, int]]:
    """The stretches that begin in a run and that NumPy adds up one after the other: (start, stop) of each, in order.

    So it does where pixels do not lie in one piece (a crop) or are converted on the way. A buffer takes whole inner axes of
    `layout`, as many positions of the next axis as fit, and never goes over to the next position of the axis before.
    """
    axes = [n for n in layout if n > 1] or [1]
    inner = 1
    while axes and inner * axes[-1] <= BUFFER:
        inner *= axes.pop()
    unit = inner * (axes[-1] if axes else 1)
    length = BUFFER // inner * inner
    if inner == 1 and not converted:
        length = unit  # lines longer than a buffer that need no conversion are added in place
    start = first // unit * unit
    at = min(start + -(-(first - start) // length) * length, start + unit)
    while at < stop:
        end = min(at + length, at // unit * unit + unit)
        yield at, end
        at = end


def buffer_sums(image: View, layout: Sequence[int], dtype: str, where: Where) -> Partial:
    """The sums of the buffers in a block's share of the pixels."""
    sums: list[Any] = []
    stretches: list[tuple[int, int]] = []

    def add() -> None:
        if stretches:
            start = stretches[0][0]
            run = read_run(image, start, stretches[-1][1]).astype(dtype, copy=False)
            sums.extend(np.add.reduce(run[a - start : z - start]) for a, z in stretches)
            stretches.clear()

    for stretch in buffers(*share_of(where.region, where.shape), layout, image.dtype != np.dtype(dtype)):
        if stretches and stretch[1] - stretches[0][0] > READ_PX:
            add()
        stretches.append(stretch)
    add()
    return {"sums": np.array(sums, dtype)}


def merge_buffers(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Any:
    total = np.dtype(arguments["dtype"]).type(0)
    for _, partial in partials:
        for one in partial["sums"]:
            total = total + one
    return total


def sum_in_buffers(image: Any, layout: Sequence[int], dtype: str, build: Build) -> Any:
    """The sum of an image that NumPy would see as an array of `layout`, not in one piece or converted to `dtype`."""
    return build("lepton.buffer_sums", image=in_raster_order(image, build), layout=tuple(layout), dtype=dtype)


def crop_sum(image: Any, crop: Sequence[tuple[int, int]], dtype: str, build: Build) -> Any:
    """`np.sum` of a part of an image, which is not in one piece; or of all of it."""
    if all((a, z) == (0, n) for (a, z), n in zip(crop, image.shape, strict=True)):
        return _sum(image, dtype, build)
    part = build("lepton.select", image=image, index=tuple((a, z, 1) for a, z in crop))
    return sum_in_buffers(part, part.shape, dtype, build)


def _sum(image: Any, dtype: str, build: Build) -> Any:
    if image.dtype == np.dtype(dtype):
        return build("numpy.sum", a=image)
    return sum_in_buffers(image, (math.prod(image.shape),), dtype, build)


def _mean(image: Any, build: Build) -> Any:
    """`np.mean` with `dtype=np.float64`."""
    return build("lepton.mean_of", total=_sum(image, "float64", build), count=math.prod(image.shape))


# ------------------------------------------------------------------------------------------------ differences


def _floats(arguments: Arguments, names: tuple[str, str], build: Build) -> tuple[Any, Any]:
    """Both images in the float dtype that holds both."""
    images = [arguments[name] for name in names]
    dtype = "float32" if all(image.dtype == np.float32 for image in images) else "float64"
    left, right = (one if one.dtype == dtype else build("numpy.astype", x=one, dtype=dtype) for one in images)
    return left, right


def _squared_error(left: Any, right: Any, build: Build) -> Any:
    return _mean(build("numpy.square", x=build("numpy.subtract", x1=left, x2=right)), build)


def _expand_error(arguments: Arguments, build: Build) -> Any:
    return _squared_error(*_floats(arguments, ("image0", "image1"), build), build)


_PAIR = ("image_true", "image_test")
_NORMALIZATIONS = ("euclidean", "min-max", "mean")


def _expand_root_error(arguments: Arguments, build: Build) -> Any:
    true, test = _floats(arguments, _PAIR, build)
    form = arguments["normalization"].lower()
    if form == "min-max":
        scale = build("numpy.ptp", a=true)
    elif form == "mean":
        scale = build("numpy.mean", a=true)
    else:
        scale = build("lepton.root", mean=_mean(build("numpy.multiply", x1=true, x2=true), build))
    return build("lepton.normalized_error", error=_squared_error(true, test, build), scale=scale)


def root(mean: Any) -> Any:
    return np.sqrt(mean)


def normalized_error(error: Any, scale: Any) -> Any:
    return np.sqrt(error) / scale


def _check_root_error(arguments: Arguments) -> None:
    _check_pair(arguments)
    if str(arguments["normalization"]).lower() not in _NORMALIZATIONS:
        raise InputError(f"normalization={arguments['normalization']!r}; use one of {', '.join(_NORMALIZATIONS)}")


def _expand_signal_ratio(arguments: Arguments, build: Build) -> Any:
    true = arguments["image_true"]
    extent = build("lepton.extent", image=true) if arguments["data_range"] is None else None
    error = _squared_error(*_floats(arguments, _PAIR, build), build)
    given = {"data_range": arguments["data_range"], "dtype": str(true.dtype)}
    return build("lepton.signal_ratio", error=error, extent=extent, **given)


def signal_ratio(error: Any, extent: Any, data_range: Any, dtype: str) -> Any:
    """Source: `skimage.metrics.peak_signal_noise_ratio`, from the mean squared error."""
    if data_range is None:
        low, high = _dtype_range(dtype)
        if extent[1] > high or extent[0] < low:
            raise InputError(
                f"image_true has values from {extent[0]} to {extent[1]}, more than the {low} to {high} expected of {dtype}; "
                "give data_range"
            )
        data_range = high if extent[0] >= 0 else high - low
    return 10 * np.log10(float(data_range) ** 2 / error)


def _dtype_range(dtype: Any) -> tuple[Any, Any]:
    from skimage.util.dtype import dtype_range

    low, high = dtype_range[np.dtype(dtype).type]
    return low, high


def _check_pair(arguments: Arguments) -> None:
    shapes = {name: tuple(value.shape) for name, value in arguments.items() if name.startswith("im")}
    if len(set(shapes.values())) > 1:
        raise InputError(f"images of shapes {shapes} do not match; both images need the same shape")


# ------------------------------------------------------------------------------------------------ structure

_PRODUCTS = 5


def _products(im1: Array, im2: Array, dtype: str) -> Array:
    """Both images, their squares and their product, as figures of each pixel."""
    x, y = im1.astype(dtype, copy=False), im2.astype(dtype, copy=False)
    return np.stack([x, y, x * x, y * y, x * y], axis=-1)


def _similarity(means: Array, norm: float, data_range: Any, K1: float, K2: float) -> Array:  # noqa: N803
    """Source: `skimage.metrics.structural_similarity`, from the windows' means."""
    ux, uy, uxx, uyy, uxy = (means[..., at] for at in range(_PRODUCTS))
    vx, vy, vxy = norm * (uxx - ux * ux), norm * (uyy - uy * uy), norm * (uxy - ux * uy)
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    a1, a2 = 2 * ux * uy + c1, 2 * vxy + c2
    b1, b2 = ux**2 + uy**2 + c1, vx + vy + c2
    found: Array = a1 * a2 / (b1 * b2)
    return found


def _window(arguments: Arguments) -> int:
    size = arguments["win_size"]
    if size is not None:
        return int(size)
    return 2 * int(3.5 * arguments.get("sigma", 1.5) + 0.5) + 1 if arguments["gaussian_weights"] else 7


def _expand_similarity(arguments: Arguments, build: Build) -> Any:
    axis, dtype = arguments["channel_axis"], "float32" if arguments["im1"].dtype == np.float32 else "float64"
    pairs = zip(*(split_channels(arguments[name], axis, build) for name in ("im1", "im2")), strict=True)
    maps = [_similarity_map(arguments, x, y, dtype, build) for x, y in pairs]
    if arguments.get("part") == 1:
        if axis is None:
            return maps[0]
        whole = build("numpy.stack", **{f"arrays.{at}": one for at, one in enumerate(maps)}, axis=axis)
        return whole if whole.dtype == dtype else build("numpy.astype", x=whole, dtype=dtype)
    pad = (_window(arguments) - 1) // 2
    crop = [(pad, n - pad) for n in maps[0].shape]
    count = math.prod(z - a for a, z in crop)
    means = [build("lepton.mean_of", total=crop_sum(one, crop, "float64", build), count=count) for one in maps]
    if axis is None:
        return means[0]
    return build("lepton.mean_of_channels", **{f"mean{at}": one for at, one in enumerate(means)}, dtype=dtype)


def _similarity_map(arguments: Arguments, im1: Any, im2: Any, dtype: str, build: Build) -> Any:
    size, ndim = _window(arguments), len(im1.shape)
    products = build("lepton.products", im1=im1, im2=im2, dtype=dtype)
    if arguments["gaussian_weights"]:
        window = {"sigma": arguments.get("sigma", 1.5), "truncate": 3.5, "mode": "reflect", "channel_axis": -1}
        means = build("filters.gaussian", image=products, **window)
    else:
        means = build("ndimage.uniform_filter", input=products, size=(size,) * ndim, axes=tuple(range(ndim)))
    data_range = arguments["data_range"]
    if data_range is None:
        low, high = _dtype_range(im1.dtype)
        data_range = high - low
    number = size**ndim
    norm = number / (number - 1) if arguments.get("use_sample_covariance", True) else 1.0
    constants = {"K1": arguments.get("K1", 0.01), "K2": arguments.get("K2", 0.03)}
    return build("lepton.similarity", means=means, norm=norm, data_range=data_range, **constants)


def mean_of_channels(dtype: str, **means: Any) -> Any:
    return np.array(list(means.values()), dtype).mean()


_OPTIONS = ("K1", "K2", "sigma", "use_sample_covariance")


def _check_similarity(arguments: Arguments) -> None:
    _check_pair(arguments)
    signature = ("im1", "im2", "win_size", "gradient", "data_range", "channel_axis", "gaussian_weights", "full", "part")
    for name in set(arguments) - set(signature) - {"kwargs"} - set(_OPTIONS):
        raise InputError(
            f"structural_similarity has no parameter {name!r}; beside its own there are {', '.join(_OPTIONS)}"
        )
    if arguments["gradient"]:
        raise InputError("gradient=True is not supported here; leave it out")
    for name in _OPTIONS[:3]:
        if arguments.get(name, 1) < 0:
            raise InputError(f"{name}={arguments[name]}; give a number of 0 or more")
    kinds = {arguments[name].dtype.kind for name in ("im1", "im2")}
    if arguments["data_range"] is None and "f" in kinds:
        raise InputError("the range of float images is not known; give data_range, for instance 1.0")
    if _window(arguments) == 1 and arguments.get("use_sample_covariance", True):
        raise InputError("a window of one pixel has no sample covariance; give a larger win_size")
    size, axis = _window(arguments), arguments["channel_axis"]
    shape = [
        n for at, n in enumerate(arguments["im1"].shape) if axis is None or at != axis % len(arguments["im1"].shape)
    ]
    if size % 2 == 0 or size < 1 or size > min(shape):
        raise InputError(f"a window of {size} pixels for an image of {shape}; give an odd win_size that fits in")


# ------------------------------------------------------------------------------------------------ information


def joint_counts(image0: Array, image1: Array, extent0: Array, extent1: Array, bins: Any, dtype: str) -> Partial:
    """Counts of `numpy.histogram2d` over the whole images' extents, for this block's pixels."""
    counts, *_ = np.histogramdd(
        [image0.reshape(-1), image1.reshape(-1)], bins=_plain(bins), range=_ranges(extent0, extent1, dtype)
    )
    return {"counts": counts}


def _plain(bins: Any) -> Any:
    return list(bins) if isinstance(bins, tuple) else bins


def _ranges(extent0: Array, extent1: Array, dtype: str) -> list[Any]:
    # NumPy finds both extents in the dtype that holds both images
    return [tuple(np.asarray(extent).astype(dtype)) for extent in (extent0, extent1)]


def merge_joint(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Array:
    total: Any = 0
    for _, partial in partials:
        total = total + partial["counts"]
    return np.asarray(total)


def mutual_information(counts: Array, extent0: Array, extent1: Array, bins: Any, dtype: str) -> Any:
    """Source: `skimage.metrics.normalized_mutual_information`, from the joint histogram."""
    from scipy.stats import entropy

    nothing = np.empty((0, 2), dtype)
    _, edges = np.histogramdd(nothing, bins=_plain(bins), range=_ranges(extent0, extent1, dtype))
    density = counts / np.diff(edges[0])[:, np.newaxis]
    density = density / np.diff(edges[1])
    density /= counts.sum()
    separate = entropy(np.sum(density, axis=0)) + entropy(np.sum(density, axis=1))
    return separate / entropy(np.reshape(density, -1))


def _expand_information(arguments: Arguments, build: Build) -> Any:
    images = arguments["image0"], arguments["image1"]
    extent0, extent1 = (build("lepton.extent", image=image) for image in images)
    given = {"extent0": extent0, "extent1": extent1, "bins": arguments["bins"]}
    given["dtype"] = str(np.result_type(*(image.dtype for image in images)))
    counts = build("lepton.joint_counts", image0=images[0], image1=images[1], **given)
    return build("lepton.mutual_information", counts=counts, **given)


# ------------------------------------------------------------------------------------------------ segmentations


_LABELS = 1 << 31
"""Labels that a table may have, more than any has room for."""


def label_pairs(true: Array, test: Array) -> Partial:
    """Which pairs of labels occur at a pixel of this block, and how often."""
    for image in (true, test):
        if image.min() < 0 or image.max() >= _LABELS:
            raise InputError(
                f"labels go from {image.min()} to {image.max()}, too far for a table of all pairs; "
                "number them from 0 on first, with segmentation.relabel_sequential"
            )
    pairs, counts = np.unique(true.astype(np.int64) * _LABELS + test.astype(np.int64), return_counts=True)
    return {"values": pairs, "counts": counts}


def _table(found: dict[str, Array], ignore_labels: Sequence[int] | None, normalize: bool) -> Any:
    """Source: `skimage.metrics.contingency_table`; ignored labels stay in it as zeros."""
    from scipy.sparse import csr_array

    (true, test), counts = np.divmod(found["values"], _LABELS), found["counts"]
    taken = np.isin(true, () if ignore_labels is None else ignore_labels, invert=True)
    data = counts.astype(float)
    if normalize:
        data = _repeated(1 / np.float64(counts[taken].sum()), counts)
    return csr_array((np.where(taken, data, 0.0), (true, test)))


def _repeated(one: float, counts: Array) -> Array:
    """`one` added to itself so many times, which is where the sums of the table's pixels come from."""
    found, total, done = np.zeros(counts.size), np.float64(0), 0
    order = np.argsort(counts)
    at = 0
    while at < counts.size:
        sums = np.cumsum(np.concatenate([[total], np.full(READ_PX, one)]))
        end = int(np.searchsorted(counts[order], done + READ_PX, side="right"))
        found[order[at:end]] = sums[counts[order[at:end]] - done]
        at, done, total = end, done + READ_PX, sums[-1]
    return found


def variation(pairs: dict[str, Array], ignore_labels: Sequence[int]) -> Array:
    """Source: `skimage.metrics.variation_of_information`, from its table."""
    from scipy.sparse import csr_matrix
    from skimage.metrics import variation_of_information

    table, none = csr_matrix(_table(pairs, ignore_labels, True)), np.zeros(1, int)
    found: Array = variation_of_information(none, none, table=table)
    return found


def rand_error(pairs: dict[str, Array], ignore_labels: Sequence[int], alpha: float) -> Array:
    """Source: `skimage.metrics.adapted_rand_error`, from its table: error, precision and recall."""
    from skimage.metrics import adapted_rand_error

    return np.array(adapted_rand_error(table=_table(pairs, ignore_labels, False), alpha=alpha))


def _labels(*names: str) -> dict[str, Sample]:
    return dict.fromkeys(names, "labels")


def _pairs(true: Any, test: Any, build: Build) -> Any:
    return build("lepton.label_pairs", true=true, test=test)


def _expand_variation(arguments: Arguments, build: Build) -> Any:
    pairs = _pairs(arguments["image0"], arguments["image1"], build)
    return build("lepton.variation", pairs=pairs, ignore_labels=_listed(arguments))


def _expand_rand(arguments: Arguments, build: Build) -> Any:
    pairs = _pairs(arguments["image_true"], arguments["image_test"], build)
    found = build("lepton.rand_error", pairs=pairs, ignore_labels=_listed(arguments), alpha=arguments["alpha"])
    return build("lepton.item", values=found, index=arguments["part"])


def _listed(arguments: Arguments) -> tuple[int, ...]:
    return tuple(int(label) for label in arguments["ignore_labels"] or ())


def _check_table(arguments: Arguments) -> None:
    images = [value for name, value in arguments.items() if name.startswith("image")]
    if arguments["table"] is not None or any(image is None for image in images):
        raise InputError("the table of labels is found from both images here; give both images and no table")
    _check_pair(arguments)
    if not 0 <= arguments.get("alpha", 0) <= 1:
        raise InputError(f"alpha={arguments['alpha']}; give a number from 0 to 1")


# ------------------------------------------------------------------------------------------------ distances


def _expand_distance(arguments: Arguments, build: Build) -> Any:
    images = arguments["image0"], arguments["image1"]
    found: dict[str, Any] = {}
    for at, (one, other) in enumerate((images, images[::-1])):
        distance = build("ndimage.distance_transform_edt", input=build("numpy.equal", x1=one, x2=0))
        there = build("numpy.not_equal", x1=other, x2=0)
        found[f"farthest{at}"] = build("numpy.max", a=build("numpy.where", condition=there, x=distance, y=0.0))
        found[f"count{at}"] = build("numpy.count_nonzero", a=one)
    return build("lepton.hausdorff", **found)


def hausdorff(farthest0: Any, farthest1: Any, count0: Any, count1: Any) -> Any:
    """Source: `skimage.metrics.hausdorff_distance`, from how far the pixels of one image are from the other's."""
    if count0 == 0 or count1 == 0:
        return 0 if count0 == count1 else np.inf
    return max(farthest0, farthest1)


def _check_distance(arguments: Arguments) -> None:
    _check_pair(arguments)
    if arguments["method"] != "standard":
        raise InputError(f"method={arguments['method']!r} is not supported here; use method='standard'")


# ------------------------------------------------------------------------------------------------ entries


def _scalar(dtype: Any = np.float64) -> Any:
    return lambda arguments: ((), np.dtype(dtype))


def _composite(name: str, images: tuple[str, str], expand: Any, check: Any = _check_pair, **options: Any) -> Composite:
    return Composite(
        name=f"metrics.{name}",
        source=f"skimage.metrics.{name}",
        images=images,
        expand=expand,
        check=check,
        gives="",
        **options,
    )


def entries() -> list[Entry]:
    """Comparisons of two images."""
    here = "lepton_celery.catalogue.metrics.similarity"
    return [
        Reduction(
            name="lepton.buffer_sums",
            source=f"{here}.buffer_sums",
            partial=buffer_sums,
            merge=merge_buffers,
            result=lambda arguments: ((), np.dtype(arguments["dtype"])),
            reads_itself=True,
            cost_ns=1.0,
        ),
        value_function(root, ("mean",), _scalar()),
        value_function(normalized_error, ("error", "scale"), _scalar()),
        value_function(signal_ratio, ("error", "extent"), _scalar()),
        value_function(mean_of_channels, (), lambda arguments: ((), np.dtype(arguments["dtype"]))),
        _composite("mean_squared_error", ("image0", "image1"), _expand_error),
        _composite("normalized_root_mse", _PAIR, _expand_root_error, _check_root_error),
        _composite("peak_signal_noise_ratio", _PAIR, _expand_signal_ratio),
        Local(
            name="lepton.products",
            source=f"{here}._products",
            images=("im1", "im2"),
            geometry=TrailingAxis(lambda images, arguments: _PRODUCTS),
            cost_ns=12.0,
        ),
        Local(
            name="lepton.similarity",
            source=f"{here}._similarity",
            images=("means",),
            dtype_kinds="f",
            geometry=WithoutTrailing(),
            cost_ns=40.0,
        ),
        _composite(
            "structural_similarity",
            ("im1", "im2"),
            _expand_similarity,
            _check_similarity,
            returns=lambda arguments: 2 if arguments["full"] else 0,
        ),
        Reduction(
            name="lepton.joint_counts",
            source=f"{here}.joint_counts",
            images=("image0", "image1"),
            values=("extent0", "extent1"),
            partial=joint_counts,
            merge=merge_joint,
            result=lambda arguments: ((-1, -1), np.dtype(np.float64)),
            cost_ns=250.0,
        ),
        value_function(mutual_information, ("counts", "extent0", "extent1"), _scalar()),
        _composite("normalized_mutual_information", ("image0", "image1"), _expand_information, dtype_kinds="iuf"),
        Reduction(
            name="lepton.label_pairs",
            source=f"{here}.label_pairs",
            images=("true", "test"),
            dtype_kinds="iu",
            partial=label_pairs,
            merge=merge_unique,
            result=lambda arguments: ((-1,), np.dtype(np.int64)),
            cost_ns=100.0,
        ),
        value_function(variation, ("pairs",), lambda arguments: ((2,), np.dtype(np.float64))),
        value_function(rand_error, ("pairs",), lambda arguments: ((3,), np.dtype(np.float64))),
        _composite(
            "variation_of_information",
            ("image0", "image1"),
            _expand_variation,
            _check_table,
            dtype_kinds="iu",
            samples=_labels("image0", "image1"),
        ),
        _composite(
            "adapted_rand_error",
            _PAIR,
            _expand_rand,
            _check_table,
            dtype_kinds="iu",
            returns=3,
            samples=_labels(*_PAIR),
        ),
        Refused(
            name="metrics.contingency_table",
            source="skimage.metrics.contingency_table",
            images=("im_true", "im_test"),
            reason="its result is a sparse matrix, not an image or an array",
            instead="metrics.adapted_rand_error or metrics.variation_of_information, which are found from it",
        ),
        value_function(hausdorff, ("farthest0", "farthest1", "count0", "count1"), _scalar()),
        _composite("hausdorff_distance", ("image0", "image1"), _expand_distance, _check_distance),
        Refused(
            name="metrics.hausdorff_pair",
            source="skimage.metrics.hausdorff_pair",
            images=("image0", "image1"),
            reason="of pairs that are equally far apart it gives the one that its search tree finds first",
            instead="metrics.hausdorff_distance for how far they are apart",
        ),
    ]
