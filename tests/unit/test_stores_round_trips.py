"""Every dtype comes back exactly from every format, or is refused when the job is submitted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lepton_celery import errors
from lepton_celery.catalogue.arrays import Array
from lepton_celery.grid import Region
from lepton_celery.stores import Target, array_output, check_dtype, open_array
from tests.unit.test_stores import write_all
from tests.unit.test_stores_table import DTYPES, extreme

SHAPES = [
    (40,),
    (40, 33),
    (40, 33, 2),
    (40, 33, 3),
    (20, 17, 4),
    (5, 40, 33),
    (1, 40, 33),
    (40, 1),
    (1, 1),
    (2, 3, 20, 17),
]
HELD = {
    # by format: the dtypes, and the numbers of axes
    ".npy": ([*DTYPES, "complex64", "complex128", "longdouble"], (1, 2, 3, 4)),
    ".zarr": ([*DTYPES, "complex64", "complex128"], (1, 2, 3, 4)),
    ".tif": ([*DTYPES, "complex64", "complex128"], (2, 3)),
    ".ome.tif": ([d for d in DTYPES if d not in ("int64", "uint64", "float16")] + ["complex64", "complex128"], (2, 3)),
    ".png": (["bool", "uint8", "uint16"], (2, 3)),
}


def picture(dtype: str, shape: tuple[int, ...]) -> Array:
    """Pixels of the dtype's whole range."""
    base = extreme("float64" if dtype in ("complex64", "complex128", "longdouble") else dtype)
    with np.errstate(over="ignore"):
        return np.random.default_rng(5).choice(base, shape).astype(dtype)


@pytest.mark.parametrize("suffix", HELD)
@pytest.mark.parametrize("dtype", [*DTYPES, "complex64", "complex128", "longdouble", "object", "datetime64[s]", "U1"])
def test_pixels_come_back_or_are_refused(tmp_path: Path, suffix: str, dtype: str) -> None:
    held, axes = HELD[suffix]
    for number, shape in enumerate(SHAPES):
        path = tmp_path / f"{number}{suffix}"
        try:
            check_dtype(path, shape, dtype)
        except errors.InputError:
            assert dtype not in held or len(shape) not in axes or suffix == ".png" or shape[0] == 1, (dtype, shape)
            continue
        block = tuple(16 if n > 16 else n for n in shape)
        target = Target(str(path), shape, dtype, block, "j")
        output, image = array_output(target), picture(dtype, shape)
        output.create()
        write_all(target, image)
        output.publish()
        found = open_array(path).read(Region.whole(shape))
        assert (found.dtype, found.shape) == (image.dtype, shape) and np.array_equal(found, image), (dtype, shape)
