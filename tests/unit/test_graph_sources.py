"""What `lepton.open` takes as an array, and what it refuses with a way out."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

import lepton_celery as lepton
from lepton_celery.errors import InputError
from lepton_celery.skimage import filters
from tests.oracle import assert_identical

A = np.arange(12, dtype=np.uint8).reshape(3, 4)


class Quantity(np.ndarray[Any, Any]):
    """An array with a unit, as astropy's."""

    unit = "mm"


class Tagged(np.ndarray[Any, Any]):
    """An array of a class that only adds to NumPy's, as imageio's."""


class Tensor:
    """A stranger that NumPy can convert."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return A


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ([[1, 2], [3, 4]], np.array([[1, 2], [3, 4]])),
        (((1.5, 2.0),), np.array([[1.5, 2.0]])),
        (range(5), np.arange(5)),
        (A.view(Tagged), A),
        (np.ma.array(A), A),
        (A.astype(">u2"), A.astype("u2")),
        (np.broadcast_to(A, (2, 3, 4)), np.broadcast_to(A, (2, 3, 4))),
        (A[::-1, ::2], A[::-1, ::2]),
        (np.asfortranarray(A), A),
        *(
            (PillowImage.fromarray(A).convert(mode), A.astype(dtype))
            for mode, dtype in {"L": "u1", "I": "i4", "F": "f4"}.items()
        ),
    ],
)
def test_arrays_lists_and_pictures_are_taken_as_they_are(source: Any, expected: Any) -> None:
    image = lepton.open(source)
    assert (image.shape, image.dtype) == (expected.shape, expected.dtype)
    assert_identical(lepton.compute(image), np.ascontiguousarray(expected))


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (np.ma.masked_greater(A, 3), "lose its mask"),
        (A.view(np.matrix), "np.asarray"),
        (A.view(Quantity), "lose its unit"),
        (np.array(3.0), "single number, which has no axes"),
        (np.float32(3), "single number, which has no axes"),
        (np.zeros((0, 3)), "no pixels"),
        ([], "no pixels"),
        ([[1], [2, 3]], "rows of equal length"),
        ([["a"]], "dtype <U1"),
        (A.astype(object), "dtype object"),
        (A.astype(complex), "dtype complex128"),
        (np.zeros((2, 2), [("a", int)]), "integer or float pixels"),
        (np.zeros((2, 2), "M8[s]"), "integer or float pixels"),
        (PillowImage.fromarray(A).convert("P"), r"convert\('RGB'\)"),
        (Tensor(), "np.asarray"),
        (lepton.open(A), "lazy already"),
        (lepton.open(A).max(), "lazy already"),
        (3, "no image"),
        (None, "no image"),
        (b"a.npy", "no image"),
        (io.BytesIO(b""), "no image"),
        ("", "not a path"),
        ("s3://bucket/a.zarr", "copy the data"),
    ],
)
def test_what_would_lose_something_is_refused_with_words(source: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        lepton.open(source)


def test_arrays_whose_pixels_are_elsewhere_are_refused_with_the_way_to_open_them() -> None:
    zarr = pytest.importorskip("zarr")
    with pytest.raises(InputError, match="open it by its path"):
        lepton.open(zarr.array(A))
    for library in ("h5py", "dask"):
        stranger = type("Array", (), {"__module__": f"{library}.core"})()
        with pytest.raises(InputError, match="into memory"):
            lepton.open(stranger)


def test_a_processor_refuses_a_mask_too() -> None:
    processor = lepton.ImageProcessor(filters.gaussian, sigma=1)
    with pytest.raises(InputError, match="lose its mask"):
        processor.split_image(np.ma.masked_greater(A, 3))
    blocks = processor.split_image([[1.0, 2.0], [3.0, 4.0]])
    assert processor.merge_blocks(processor.process_blocks(blocks)).shape == (2, 2)
