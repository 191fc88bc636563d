"""`skimage.feature.corner_*`: the corner response of each pixel."""

from __future__ import annotations

from typing import Any

from lepton_celery.catalogue.entries import Local
from lepton_celery.catalogue.feature.derivatives import TENSOR, check_one_pixel_axes, check_tensor, tensor_halo
from lepton_celery.catalogue.geometry import Stencil
from lepton_celery.catalogue.shared.halos import check_mode

_OF_TENSOR: dict[str, Any] = {
    "geometry": Stencil(tensor_halo, TENSOR),
    "check": check_tensor,
    "ndims": (2,),
    "tap_ns": 1.7,
}

ENTRIES = (
    Local("feature.corner_harris", cost_ns=130.0, **_OF_TENSOR),
    Local("feature.corner_shi_tomasi", cost_ns=130.0, **_OF_TENSOR),
    Local("feature.corner_foerstner", returns=2, cost_ns=170.0, **_OF_TENSOR),
    Local("feature.corner_kitchen_rosenfeld", geometry=Stencil(2, "2"), check=check_mode, ndims=(2,), cost_ns=330.0),
    Local(
        "feature.corner_moravec",
        geometry=Stencil(lambda arguments: 2 * int(arguments["window_size"]), "2 * window_size"),
        least={"window_size": 0},
        ndims=(2,),
        cost_ns=90.0,
    ),
    Local("feature.corner_fast", geometry=Stencil(3, "3"), check=check_one_pixel_axes, ndims=(2,), cost_ns=220.0),
)
