"""Cases of `skimage.restoration`."""

from __future__ import annotations

from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Array
from tests.exactness.cases.case import COMMON, FLAT, FLOATS, NUMBERS, SOLID, Case, signed
from tests.oracle import picture

RGB = (*FLAT, 3)
PSF = np.outer([1, 2, 1], [1, 2, 3, 2, 1]) / 36
CUBE = np.full((3, 3, 3), 1 / 27)
KERNEL = np.array([[1.0, 2, 1, 0.5], [2, 4, 2, np.inf]])
SLOW: dict[str, Any] = {"fast_mode": False, "patch_size": 5, "patch_distance": 2, "h": 0.1}
MODES = ("constant", "edge", "symmetric", "reflect", "wrap")


def holes(image: Array) -> Array:
    return picture(image.shape[:2], "uint8", seed=4) > 200


def phase(shape: tuple[int, ...], dtype: Any) -> Array:
    ramp = np.add.outer(np.arange(shape[0]) * 0.7, np.arange(shape[1]) * 0.3)
    wrapped: Array = np.asarray(np.angle(np.exp(1j * ramp)), dtype)
    return wrapped


CASES: list[Case] = [
    *[Case("restoration.rolling_ball", {"radius": radius}, NUMBERS) for radius in (1, 3.5)],
    Case("restoration.rolling_ball", {"radius": 2}, ("uint8", "float32"), SOLID),
    Case("restoration.rolling_ball", {"radius": 4, "nansafe": True}, COMMON),
    Case("restoration.rolling_ball", {"kernel": KERNEL}, COMMON),
    Case("restoration.denoise_nl_means", SLOW, COMMON),
    Case("restoration.denoise_nl_means", {**SLOW, "patch_size": 4, "sigma": 0.1, "preserve_range": True}, COMMON),
    Case("restoration.denoise_nl_means", {**SLOW, "channel_axis": -1}, COMMON, RGB),
    Case("restoration.denoise_nl_means", {**SLOW, "patch_size": 3, "patch_distance": 1}, FLOATS, SOLID),
    *[
        Case("restoration.denoise_bilateral", {"sigma_color": 0.1, "mode": mode, "cval": 0.3}, ("uint8", "float32"))
        for mode in MODES
    ],
    Case("restoration.denoise_bilateral", {"sigma_color": 0.3, "win_size": 4, "bins": 50}, COMMON),
    Case("restoration.denoise_bilateral", {"sigma_color": 0.2, "sigma_spatial": 1.5}, FLOATS, make=signed),
    Case("restoration.denoise_bilateral", {"sigma_color": 0.1, "channel_axis": -1}, COMMON, RGB),
    Case("restoration.denoise_bilateral", {"channel_axis": -1}, ("uint8",), RGB),
    Case("restoration.denoise_tv_chambolle", {"eps": 0, "max_num_iter": 6}, COMMON),
    Case("restoration.denoise_tv_chambolle", {"eps": 0, "max_num_iter": 3, "weight": 1}, FLOATS, SOLID, make=signed),
    Case("restoration.denoise_tv_chambolle", {"eps": 0, "max_num_iter": 4, "channel_axis": -1}, COMMON, RGB),
    Case("restoration.denoise_tv_bregman", {"max_num_iter": 10}, COMMON),
    Case("restoration.denoise_tv_bregman", {"isotropic": False, "channel_axis": -1}, FLOATS, RGB),
    Case("restoration.denoise_tv_bregman", {"channel_axis": 0}, FLOATS, (3, *FLAT)),
    Case("restoration.richardson_lucy", {"psf": PSF, "num_iter": 5}, COMMON),
    Case("restoration.richardson_lucy", {"psf": CUBE, "num_iter": 3, "filter_epsilon": 1e-3}, FLOATS, SOLID),
    Case("restoration.wiener", {"psf": PSF, "balance": 0.1}, COMMON),
    Case("restoration.wiener", {"psf": CUBE, "balance": 0.1, "clip": False}, FLOATS, SOLID),
    Case("restoration.inpaint_biharmonic", {}, COMMON, given={"mask": holes}),
    Case("restoration.inpaint_biharmonic", {"channel_axis": -1}, ("float32",), RGB, given={"mask": holes}),
    Case("restoration.inpaint_biharmonic", {"split_into_regions": True}, FLOATS, given={"mask": holes}),
    Case("restoration.unwrap_phase", {"rng": 0}, FLOATS, make=phase),
]
