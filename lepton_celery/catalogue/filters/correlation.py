"""`skimage.filters`: `correlate_sparse`, `gabor`, and `butterworth`, which runs on the whole image."""

from __future__ import annotations

import numpy as np

from lepton_celery.catalogue.arrays import Arguments
from lepton_celery.catalogue.declare import whole
from lepton_celery.catalogue.entries import Local
from lepton_celery.catalogue.geometry import Stencil
from lepton_celery.catalogue.shared.halos import check_mirroring, check_mode
from lepton_celery.catalogue.sizes import MAX_KERNEL_PX
from lepton_celery.errors import InputError
from lepton_celery.kernels.border import MODES


def _gabor_halo(arguments: Arguments) -> tuple[int, int]:
    """Half the shape of the kernel that `skimage.filters.gabor_kernel` returns."""
    from skimage.filters import gabor_kernel
    from skimage.filters._gabor import _sigma_prefactor

    usual = _sigma_prefactor(arguments["bandwidth"]) / arguments["frequency"]
    widest = max(abs(usual if arguments[name] is None else arguments[name]) for name in ("sigma_x", "sigma_y"))
    if (2 * abs(arguments["n_stds"]) * widest + 3) ** 2 > MAX_KERNEL_PX:
        raise InputError(
            f"the kernel has a standard deviation of {widest:g} pixels, and would have more than {MAX_KERNEL_PX:,} pixels; "
            "give a higher frequency, or smaller sigma_x, sigma_y or n_stds"
        )
    names = ("frequency", "theta", "bandwidth", "sigma_x", "sigma_y", "n_stds", "offset")
    rows, columns = gabor_kernel(**{name: arguments[name] for name in names}).shape
    check_mirroring((rows // 2, columns // 2), arguments["image"].shape, arguments["mode"])
    return rows // 2, columns // 2


def _kernel_halo(arguments: Arguments) -> tuple[int, ...]:
    return tuple(n // 2 for n in np.shape(arguments["kernel"]))


def _check_kernel(arguments: Arguments) -> None:
    kernel, ndim = np.shape(arguments["kernel"]), len(arguments["image"].shape)
    if len(kernel) != ndim or any(n % 2 == 0 for n in kernel):
        raise InputError(
            f"kernel of shape {kernel} for an image of {ndim} axes; give one of {ndim} axes with odd lengths"
        )
    if arguments["mode"] not in MODES:
        raise InputError(
            f"mode={arguments['mode']!r} is not supported here; give {', '.join(MODES)}; for 'valid', slice the border off"
        )


ENTRIES = (
    Local(
        "filters.gabor",
        geometry=Stencil(_gabor_halo, "half of gabor_kernel"),
        check=check_mode,
        ndims=(2,),
        returns=2,
        example={"frequency": 0.3},
        cost_ns=300.0,
    ),
    Local(
        "filters.correlate_sparse",
        geometry=Stencil(_kernel_halo, "kernel // 2"),
        check=_check_kernel,
        example={"kernel": lambda ndim: np.eye(3) if ndim == 2 else np.ones((3,) * ndim)},
        cost_ns=40.0,
    ),
    whole("filters.butterworth", cost_ns=150.0),
)
