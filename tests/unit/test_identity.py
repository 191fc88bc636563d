"""The identity of an input changes when the input changes, not when it is read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import zarr

from lepton_celery import stores
from lepton_celery.errors import StoreNotFound


def test_a_file_is_identified_by_its_size_and_time(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.zeros(9))
    before = stores.identity(path)
    np.load(path)
    assert stores.identity(f"file://{path}") == before
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))
    assert stores.identity(path) != before
    with pytest.raises(StoreNotFound):
        stores.identity(tmp_path / "none.npy")


@pytest.mark.parametrize("version", [2, 3])
def test_a_zarr_array_is_identified_by_its_folders(version: Literal[2, 3], tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path / "a.zarr", shape=(40, 40), chunks=(10, 10), dtype="u1", zarr_format=version)
    array[:] = 1
    before = stores.identity(tmp_path / "a.zarr")
    assert np.asarray(array[:]).sum() == 1600
    assert stores.identity(tmp_path / "a.zarr") == before
    array[35:, 35:] = 2
    assert stores.identity(tmp_path / "a.zarr") != before


def test_an_array_in_memory_is_identified_by_all_its_pixels() -> None:
    image = np.arange(1000, dtype=np.int32).reshape(100, 10)
    before = stores.content_identity(image)
    assert stores.content_identity(np.asfortranarray(image)) == before
    for other in (image.reshape(10, 100), image.astype(np.int64), image + (image == 999)):
        assert stores.content_identity(other) != before
    assert stores.content_identity(np.array(3.0)) != stores.content_identity(np.array(4.0))
