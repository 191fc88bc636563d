"""Files of several arrays: arrays are read back as they were written, and damaged files are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from lepton_celery.errors import InputError, StoreError, StoreNotFound
from lepton_celery.stores.base import AnyArray
from lepton_celery.stores.bundle import read_bundle, write_bundle

ARRAYS = npst.arrays(
    dtype=st.sampled_from(["?", "u1", "<i4", ">u2", "<i8", "<f4", "<f8", "<c8", "<U3"]),
    shape=npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
)


@pytest.mark.parametrize("mapped", [False, True])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arrays=st.dictionaries(st.text(max_size=5), ARRAYS, max_size=4))
def test_arrays_come_back_as_they_were(mapped: bool, arrays: dict[str, AnyArray], tmp_path: Path) -> None:
    write_bundle(tmp_path / "b", arrays)
    found = read_bundle(tmp_path / "b", mapped=mapped)
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes()


def test_arrays_that_were_read_are_writable(tmp_path: Path) -> None:
    write_bundle(tmp_path / "b", {"a": np.zeros(3)})
    found = read_bundle(tmp_path / "b")
    found["a"] += 1
    assert read_bundle(tmp_path / "b")["a"].tolist() == [0, 0, 0]


def test_objects_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give arrays of numbers"):
        write_bundle(tmp_path / "b", {"a": np.array([None])})
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "b"
    write_bundle(path, {"a": np.arange(1000)})
    whole = path.read_bytes()
    for damaged in (whole[:500], whole[:10], b"", b"[1, 2]\n", whole.replace(b"<i8", b"|O8")):
        path.write_bytes(damaged)
        for mapped in (False, True):
            with pytest.raises(StoreError):
                read_bundle(path, mapped=mapped)


def test_a_missing_file_or_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFound, match="b"):
        read_bundle(tmp_path / "b")
    with pytest.raises(StoreNotFound):
        write_bundle(tmp_path / "gone" / "b", {"a": np.zeros(1)})
