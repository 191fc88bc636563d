"""`skimage.filters`: edge filters such as `sobel`, and `laplace`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from typing import Any

from lepton_celery.catalogue.arrays import Arguments
from lepton_celery.catalogue.entries import Local
from lepton_celery.catalogue.geometry import Stencil
from lepton_celery.catalogue.shared.halos import check_mode
from lepton_celery.errors import InputError
from lepton_celery.kernels import Kernel, trials
from lepton_celery.kernels.border import MODES, is_plain

_HALOS = {
    **dict.fromkeys(("sobel", "sobel_h", "sobel_v", "scharr", "scharr_h", "scharr_v"), 1),
    **dict.fromkeys(("prewitt", "prewitt_h", "prewitt_v", "roberts", "roberts_pos_diag", "roberts_neg_diag"), 1),
    **dict.fromkeys(("farid", "farid_h", "farid_v"), 2),
}


def _check_edges(arguments: Arguments) -> None:
    check_mode(arguments)
    if arguments.get("mode") == "wrap" and arguments["mask"] is not None:
        raise InputError(
            "mode='wrap' with a mask is not supported here, since scikit-image wraps the image but not the mask; "
            "multiply the result with the mask eroded by one pixel, ndimage.binary_erosion"
        )


def _edge_kernel(name: str) -> Kernel | None:
    """The compiled edge filter, for 2-D and 3-D images without a mask; None for the Roberts filters."""
    if name.startswith("roberts"):
        return None
    one_direction = name.endswith(("_h", "_v"))

    def covers(arguments: Arguments) -> bool:
        image, mode = arguments["image"], arguments.get("mode", "reflect")
        plain = is_plain(image) and image.ndim in (2, 3) and isinstance(mode, str) and mode in MODES
        return plain and arguments["mask"] is None

    def edge_trials() -> Iterator[dict[str, Any]]:
        modes = cycle(MODES)
        for image in (*trials.floats(), *trials.integers("uint8")):
            if image.ndim == 2:
                more = {} if one_direction else {"axis": None, "mode": "reflect", "cval": 0.0}
                yield {"image": image, "mask": None, **more}
            if not one_direction:
                yield {"image": image, "mask": None, "axis": None, "mode": next(modes), "cval": 0.3}

    return Kernel(f"lepton_celery.kernels.edges.{name}", covers, edge_trials)


def _laplace_halo(arguments: Arguments) -> int:
    return max(int(arguments["ksize"]) // 2, int(arguments["mask"] is not None))  # the mask is eroded by one pixel


ENTRIES = (
    *(
        Local(
            f"filters.{name}",
            geometry=Stencil(halo, str(halo)),
            images=("image", "mask"),
            check=_check_edges,
            kernel=_edge_kernel(name),
            ndims=(2,) if name.startswith("roberts") or name[-2:] in ("_h", "_v") else (),
            cost_ns=30.0,
        )
        for name, halo in _HALOS.items()
    ),
    Local(
        "filters.laplace",
        geometry=Stencil(_laplace_halo, "ksize // 2"),
        images=("image", "mask"),
        cost_ns=20.0,
    ),
)
