"""`skimage.filters`: smoothing and edges."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, product
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array
from lepton_celery.catalogue.entries import Build, Composite, Entry, Local, Refused
from lepton_celery.catalogue.feature.corners import check_mode
from lepton_celery.catalogue.filters import rank
from lepton_celery.catalogue.geometry import Stencil, Whole, one_block
from lepton_celery.catalogue.promise import IDENTICAL, Promise, within
from lepton_celery.catalogue.shared.axes import integral
from lepton_celery.catalogue.shared.halos import gaussian_halo, local, mirrored
from lepton_celery.errors import InputError
from lepton_celery.grid import Region
from lepton_celery.kernels import Kernel, trials
from lepton_celery.kernels.border import MODES, is_plain

GAUSSIAN = "int(truncate * sigma + 0.5) per axis"
WINDOW = "window_size // 2 + 1"

_EDGES = {
    **dict.fromkeys(("sobel", "sobel_h", "sobel_v", "scharr", "scharr_h", "scharr_v"), 1),
    **dict.fromkeys(("prewitt", "prewitt_h", "prewitt_v", "roberts", "roberts_pos_diag", "roberts_neg_diag"), 1),
    **dict.fromkeys(("farid", "farid_h", "farid_v"), 2),
}


def _difference_halo(arguments: Arguments) -> tuple[int, ...]:
    low, high = arguments["low_sigma"], arguments["high_sigma"]
    if high is None:  # scikit-image's default, the ratio that approximates the Laplacian best
        high = [1.6 * float(s) for s in np.atleast_1d(low)]
        high = high[0] if np.isscalar(low) else high
    return gaussian_halo({**arguments, "high_sigma": high}, "high_sigma")


def _laplace_halo(arguments: Arguments) -> int:
    return max(int(arguments["ksize"]) // 2, int(arguments["mask"] is not None))  # the mask is eroded by one pixel


def _check_edges(arguments: Arguments) -> None:
    check_mode(arguments)
    if arguments.get("mode") == "wrap" and arguments["mask"] is not None:
        raise InputError(
            "mode='wrap' with a mask is not supported here, since the mask does not go on at the opposite side; "
            "multiply the result with the mask eroded by one pixel, ndimage.binary_erosion"
        )


def _check_median(arguments: Arguments) -> None:
    check_mode(arguments)
    image = arguments["image"]
    if arguments["behavior"] == "rank" and image.dtype.name not in rank.DTYPES:
        raise InputError(
            f"behavior='rank' for an image of {image.dtype}, which scikit-image scales by its maximum; "
            "convert it to uint8 or uint16 first, or use behavior='ndimage'"
        )


def _median_promise(arguments: Arguments) -> Promise:
    """SciPy goes over lines of floats with a running rank."""
    image = arguments["image"]
    if len(image.shape) > 1 or image.dtype.kind != "f" or arguments["behavior"] == "rank":
        return IDENTICAL
    return within(1, "of 0.0 and -0.0, it gives now the one and now the other")


def _expand_median(arguments: Arguments, build: Build) -> Any:
    image, footprint = arguments["image"], arguments["footprint"]
    footprint = np.ones((3,) * len(image.shape), bool) if footprint is None else footprint
    if arguments["behavior"] == "rank":
        return build("filters.rank.median", image=image, footprint=footprint)
    edge = {"mode": arguments["mode"], "cval": arguments["cval"]}
    return build("ndimage.median_filter", input=image, footprint=footprint, **edge)


def _check_gaussian(arguments: Arguments) -> None:
    check_mode(arguments)
    gaussian_halo(arguments)


def _smooths_plainly(arguments: Arguments, *sigmas: str) -> bool:
    """Whether the compiled gaussian takes the arguments: images of native floats or integers, one mode for all axes."""
    image, mode = arguments["image"], arguments["mode"]
    given = [arguments[name] for name in sigmas if arguments[name] is not None]
    positive = all(bool(np.all(np.asarray(sigma) >= 0)) for sigma in given)
    return is_plain(image) and isinstance(mode, str) and mode in MODES and positive


def _smoothing_trials(example: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    defaults = {"cval": 0.3, "truncate": 4.0, "channel_axis": None, **example}
    modes = cycle(MODES)
    for image in (*trials.floats(), *trials.integers("uint8", "int16")):
        yield {"image": image, "mode": next(modes), **defaults}


_GAUSSIAN = Kernel(
    "lepton_celery.kernels.gaussian.gaussian",
    lambda arguments: _smooths_plainly(arguments, "sigma"),
    lambda: _smoothing_trials({"sigma": 2.2, "preserve_range": False}),
)
_DIFFERENCE = Kernel(
    "lepton_celery.kernels.gaussian.difference_of_gaussians",
    lambda arguments: _smooths_plainly(arguments, "low_sigma", "high_sigma"),
    lambda: _smoothing_trials({"low_sigma": 1.3, "high_sigma": None}),
)


def _edge_kernel(name: str) -> Kernel | None:
    """The compiled edge filter, if there is one; a mask is left to scikit-image."""
    if name.startswith("roberts"):
        return None
    along = name.endswith(("_h", "_v"))

    def covers(arguments: Arguments) -> bool:
        image, mode = arguments["image"], arguments.get("mode", "reflect")
        plain = is_plain(image) and image.ndim in (2, 3) and isinstance(mode, str) and mode in MODES
        return plain and arguments["mask"] is None

    def edge_trials() -> Iterator[dict[str, Any]]:
        modes = cycle(MODES)
        for image in (*trials.floats(), *trials.integers("uint8")):
            if image.ndim == 2:
                yield {
                    "image": image,
                    "mask": None,
                    **({} if along else {"axis": None, "mode": "reflect", "cval": 0.0}),
                }
            if not along:
                yield {"image": image, "mask": None, "axis": None, "mode": next(modes), "cval": 0.3}

    return Kernel(f"lepton_celery.kernels.edges.{name}", covers, edge_trials)


def _unsharp(image: Array, bounds: Sequence[float] | None, radius: float, amount: float, channel_axis: Any) -> Array:
    """`unsharp_mask` of a float image, clipped to bounds that were found over the whole image."""
    from skimage.filters import unsharp_mask

    result: Array = unsharp_mask(image, radius, amount, preserve_range=True, channel_axis=channel_axis)
    return result if bounds is None else np.clip(result, bounds[0], bounds[1], out=result)


def _unsharp_clipped(image: Array, negative: Any, radius: Any, amount: Any, channel_axis: Any = None) -> Array:
    return _unsharp(image, (-1.0, 1.0) if negative else (0.0, 1.0), radius, amount, channel_axis)


def _check_unsharp(arguments: Arguments) -> None:
    axis = arguments["channel_axis"]
    if axis is not None and axis < 0:
        raise InputError(
            f"scikit-image leaves pixels unset for channel_axis={axis}; "
            f"count from the first axis: channel_axis={axis + len(arguments['image'].shape)}"
        )


def _expand_unsharp(arguments: Arguments, build: Build) -> Any:
    image, preserve = arguments["image"], arguments["preserve_range"]
    options = {name: arguments[name] for name in ("radius", "amount", "channel_axis")}
    single = image.dtype == np.float32
    if preserve:
        return build("lepton.unsharp", image=image, bounds=None, **options)
    scaled = build("util.img_as_float", image=image)
    scaled = scaled if single else build("numpy.astype", x=scaled, dtype="float64")
    if image.dtype.kind in "bu":
        return build("lepton.unsharp", image=scaled, bounds=[0.0, 1.0], **options)
    negative = build("lepton.any_negative", image=scaled)
    return build("lepton.unsharp_clipped", image=scaled, negative=negative, **options)


def _gabor_halo(arguments: Arguments) -> tuple[int, int]:
    """Half the kernel, which `skimage.filters.gabor_kernel` knows."""
    from skimage.filters import gabor_kernel

    names = ("frequency", "theta", "bandwidth", "sigma_x", "sigma_y", "n_stds", "offset")
    rows, columns = gabor_kernel(**{name: arguments[name] for name in names}).shape
    mirrored((rows // 2, columns // 2), arguments["image"].shape, arguments["mode"])
    return rows // 2, columns // 2


def _window(arguments: Arguments, name: str) -> tuple[int, ...]:
    ndim = len(arguments["image"].shape)
    return tuple(int(n) for n in np.broadcast_to(arguments[name], ndim))


def _check_local(arguments: Arguments) -> None:
    check_mode(arguments)
    ndim, size = len(arguments["image"].shape), arguments["block_size"]
    if np.ndim(size) and len(size) != ndim:
        raise InputError(f"block_size {size} for an image of {ndim} axes; give one number, or one per axis")
    if any(n % 2 == 0 or n < 1 for n in _window(arguments, "block_size")):
        raise InputError(f"block_size {size} has even lengths; give odd ones")
    if arguments["method"] not in ("gaussian", "mean", "median"):
        raise InputError(
            f"method={arguments['method']!r} is not supported here; use 'gaussian', 'mean' or 'median', "
            "or lepton.map_blocks for a function of your own"
        )


_BLURS = {"mean": "ndimage.uniform_filter", "median": "ndimage.median_filter"}


def _expand_local(arguments: Arguments, build: Build) -> Any:
    image, method, param = arguments["image"], arguments["method"], arguments["param"]
    size = _window(arguments, "block_size")
    edge = {"mode": arguments["mode"], "cval": arguments["cval"]}
    image = build("numpy.astype", x=image, dtype="float32" if image.dtype == np.float32 else "float64")
    if method == "gaussian":
        sigma = tuple((n - 1) / 6.0 for n in size) if param is None else param
        blurred = build("filters.gaussian", image=image, sigma=sigma, **edge)
    else:
        blurred = build(_BLURS[method], input=image, size=size, **edge)
    return build("numpy.subtract", x1=blurred, x2=arguments["offset"])


@dataclass(frozen=True)
class _Windows:
    """Pixels follow from a window of `arguments["size"]` and one more of the padded image's sums, which begins at them."""

    def result_shape(self, images: Sequence[tuple[int, ...]], arguments: Arguments) -> tuple[int, ...]:
        return tuple(n - size for n, size in zip(images[0], arguments["size"], strict=True))

    def reads(self, region: Region, images: Sequence[tuple[int, ...]], arguments: Arguments) -> list[Region]:
        stop = tuple(at + size for at, size in zip(region.stop, arguments["size"], strict=True))
        return [Region(region.start, stop) for _ in images]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result


def window_threshold(
    sums: Array, squares: Array, size: Sequence[int], k: float, r: float | None, single: bool
) -> Array:
    """`skimage.filters.threshold_niblack`, or with `r` `threshold_sauvola`, from the integral images of the padded image.

    Source: `skimage.filters.threshold_sauvola`, which adds the corners up in this order.
    """
    corners = list(product(*((0, n) for n in size)))

    def mean(integral: Array) -> Array:
        spans = [
            tuple(slice(at, at + n - s) for at, n, s in zip(c, integral.shape, size, strict=True)) for c in corners
        ]
        signs = [(-1) ** (len(size) % 2 != sum(corner) % 2) for corner in corners]
        total: Array = signs[0] * integral[spans[0]]
        for sign, span in zip(signs[1:], spans[1:], strict=True):
            total += sign * integral[span]
        total = total.astype(np.float32 if single else np.float64, copy=False)
        total /= math.prod(size)
        return total

    m, g2 = mean(sums), mean(squares)
    s = np.sqrt(np.clip(g2 - m * m, 0, None))
    result: Array = m - k * s if r is None else m * (1 + k * ((s / r) - 1))
    return result


def _adds_exactly(image: Any, size: Sequence[int]) -> bool:
    """Whether float64 holds the sum of all squares of the padded image, so that it does not matter where sums begin."""
    bits = 1 if image.dtype == bool else 8 * image.dtype.itemsize
    pixels = math.prod(float(n + s) for n, s in zip(image.shape, size, strict=True))
    return bool(image.dtype.kind in "biu" and 4.0**bits * pixels < 2**53)


def _expand_window(name: str) -> Callable[[Arguments, Build], Any]:
    def expand(arguments: Arguments, build: Build) -> Any:
        from skimage.util.dtype import dtype_range

        image, size = arguments["image"], _window(arguments, "window_size")
        if _adds_exactly(image, size):
            return build(f"lepton.threshold_{name}", **{**arguments, "window_size": size})
        r = arguments.get("r")
        if name == "sauvola" and r is None:
            low, high = dtype_range[image.dtype.type]  # as `skimage.util.dtype.dtype_limits` has it
            r = 0.5 * (float(high) - float(low))
        single = image.dtype == np.float32
        image = build("numpy.astype", x=image, dtype="float32" if single else "float64")
        pairs = tuple((n // 2 + 1, n // 2) for n in size)
        image = build("numpy.pad", array=image, pad_width=pairs, mode="reflect")
        sums = integral(image, build)
        squares = integral(build("numpy.multiply", x1=image, x2=image), build)
        return build(
            "lepton.window_threshold", sums=sums, squares=squares, size=size, k=arguments["k"], r=r, single=single
        )

    return expand


def _check_window(arguments: Arguments) -> None:
    sizes = np.atleast_1d(arguments["window_size"])
    if any(n % 2 == 0 or n < 1 for n in sizes) or sizes.size not in (1, len(arguments["image"].shape)):
        raise InputError(f"window_size {arguments['window_size']}; give one odd number, or one per axis")


def _kernel_halo(arguments: Arguments) -> tuple[int, ...]:
    return tuple(n // 2 for n in np.shape(arguments["kernel"]))


def _check_kernel(arguments: Arguments) -> None:
    kernel, ndim = np.shape(arguments["kernel"]), len(arguments["image"].shape)
    if len(kernel) != ndim or any(n % 2 == 0 for n in kernel):
        raise InputError(f"kernel of shape {kernel} for an image of {ndim} axes; give one of as many axes, lengths odd")
    if arguments["mode"] not in MODES:
        raise InputError(
            f"mode={arguments['mode']!r} is not supported here; give {', '.join(MODES)}; for 'valid', slice the border off"
        )


_REFUSED = {
    "gabor_kernel": ("it makes a kernel, not an image", "skimage.filters.gabor_kernel"),
    "rank_order": ("its ranks are a place among all values of the image", "numpy.digitize with the levels you need"),
    "LPIFilter2D": ("it makes a filter, not an image", "ndimage.correlate with the impulse response"),
    "window": ("it makes a window, not an image", "skimage.filters.window"),
    "wiener": ("it divides spectra of the whole image", "restoration.wiener, or compute it on the whole image"),
    "filter_forward": ("it multiplies the spectrum of the whole image", "ndimage.correlate with the impulse response"),
    "filter_inverse": ("it divides by the spectrum of the whole image", "restoration.richardson_lucy"),
    "try_all_threshold": ("it draws a figure", "the threshold you want, such as filters.threshold_otsu"),
}


def entries() -> list[Entry]:
    """Smoothing and edges."""
    return [
        local(
            "filters.gaussian",
            gaussian_halo,
            "int(truncate * sigma + 0.5) per axis",
            check=_check_gaussian,
            kernel=_GAUSSIAN,
            cost_ns=4.0,
            tap_ns=0.33,
        ),
        local(
            "filters.difference_of_gaussians",
            _difference_halo,
            "as gaussian, of high_sigma",
            check=check_mode,
            example={"low_sigma": 1},
            kernel=_DIFFERENCE,
            cost_ns=9.0,
            tap_ns=0.6,
        ),
        Local(
            name="lepton.unsharp",
            source="lepton_celery.catalogue.filters.smoothing._unsharp",
            geometry=Stencil(lambda a: gaussian_halo(a, "radius")),
            cost_ns=8.0,
            tap_ns=0.33,
        ),
        Local(
            name="lepton.unsharp_clipped",
            source="lepton_celery.catalogue.filters.smoothing._unsharp_clipped",
            values=("negative",),
            geometry=Stencil(lambda a: gaussian_halo(a, "radius")),
            cost_ns=9.0,
            tap_ns=0.33,
        ),
        Composite(
            name="filters.median",
            source="skimage.filters.median",
            check=_check_median,
            promise=_median_promise,
            expand=_expand_median,
            gives="image",
        ),
        local("filters.laplace", _laplace_halo, "ksize // 2", images=("image", "mask"), cost_ns=20.0),
        *[
            local(
                f"filters.{name}",
                radius,
                images=("image", "mask"),
                check=_check_edges,
                kernel=_edge_kernel(name),
                ndims=(2,) if name.startswith("roberts") or name[-2:] in ("_h", "_v") else (),
                cost_ns=30.0,
            )
            for name, radius in _EDGES.items()
        ],
        local(
            "filters.gabor",
            _gabor_halo,
            "half of gabor_kernel",
            check=check_mode,
            ndims=(2,),
            returns=2,
            example={"frequency": 0.3},
            cost_ns=300.0,
        ),
        local(
            "filters.correlate_sparse",
            _kernel_halo,
            "kernel // 2",
            check=_check_kernel,
            example={"kernel": lambda ndim: np.eye(3) if ndim == 2 else np.ones((3,) * ndim)},
            cost_ns=40.0,
        ),
        *[
            Composite(
                name=f"filters.threshold_{name}",
                source=f"skimage.filters.threshold_{name}",
                check=_check_window,
                expand=_expand_window(name),
                gives="image",
            )
            for name in ("niblack", "sauvola")
        ],
        *[
            Local(
                name=f"lepton.threshold_{name}",
                source=f"skimage.filters.threshold_{name}",
                geometry=Stencil(lambda arguments: tuple(n // 2 + 1 for n in arguments["window_size"]), WINDOW),
                cost_ns=90.0,
            )
            for name in ("niblack", "sauvola")
        ],
        Local(
            name="lepton.window_threshold",
            source="lepton_celery.catalogue.filters.smoothing.window_threshold",
            images=("sums", "squares"),
            geometry=_Windows(),
            cost_ns=40.0,
        ),
        Composite(
            name="filters.threshold_local",
            source="skimage.filters.threshold_local",
            check=_check_local,
            expand=_expand_local,
            gives="image",
        ),
        Local(
            name="filters.butterworth",
            source="skimage.filters.butterworth",
            geometry=Whole(),
            own_stage=one_block,
            cost_ns=150.0,
        ),
        *[
            Refused(name=f"filters.{name}", source=f"skimage.filters.{name}", images=(), reason=reason, instead=instead)
            for name, (reason, instead) in _REFUSED.items()
        ],
        Composite(
            name="filters.unsharp_mask",
            source="skimage.filters.unsharp_mask",
            check=_check_unsharp,
            expand=_expand_unsharp,
            gives="image",
        ),
    ]
