"""Workspaces in memory and on disk, checked by one conformance class."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lepton_celery.catalogue.arrays import Partial
from lepton_celery.errors import StoreError
from lepton_celery.grid import BlockGrid, BlockIndex, Region
from lepton_celery.stores.workspace import DiskWorkspace, MemoryWorkspace, Workspace, workspace_root
from tests.oracle import assert_identical, picture
from tests.waiting import eventually

Make = Callable[[], Workspace]


@pytest.fixture(params=["memory", "disk"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Opens the workspace; on disk it is a new object each time, as in another process."""
    if request.param == "memory":
        memory = MemoryWorkspace()
        return lambda: memory
    return lambda: DiskWorkspace(workspace_root(tmp_path, "job1"), "job1")


class TestEveryWorkspace:
    def test_it_can_be_created_again(self, make: Make) -> None:
        make().create()
        make().create()

    @pytest.mark.parametrize("compress", [False, True])
    def test_an_image_left_in_blocks_is_read_back_in_any_region(self, make: Make, compress: bool) -> None:
        make().create()
        image = picture((23, 31), "int32")
        for block in BlockGrid((23, 31), (7, 9)):
            output = make().image_output(3, (23, 31), "int32", (7, 9), compress=compress)
            output.create()
            output.write(block, image[block.slices])
        reader = make().image(3)
        for region in (Region((0, 0), (23, 31)), Region((5, 8), (16, 20))):
            assert_identical(reader.read(region), image[region.slices])

    def test_partials_come_back_in_block_order_and_more_than_once(self, make: Make) -> None:
        make().create()
        kept: dict[int, dict[str, Any]] = {
            block: {"counts": np.arange(block), "labels0": np.full((2, block), block, np.int32)} for block in range(5)
        }
        for block in (3, 0, 4, 2, 1, 3):
            make().put_partial(7, BlockIndex(block), kept[block])
        partials = make().partials(7, 5)
        for _ in range(2):
            found = list(partials)
            assert [block for block, _ in found] == list(range(5))
            for block, partial in found:
                assert_identical(partial, kept[block])

    def test_missing_partials_are_named(self, make: Make) -> None:
        make().create()
        for block in (0, 2):
            make().put_partial(1, BlockIndex(block), {"a": np.zeros(1)})
        assert make().missing_partials(1, 4) == [1, 3]
        assert make().missing_partials(2, 2) == [0, 1]
        assert make().missing_partials(1, 1) == []

    @pytest.mark.parametrize(
        "value",
        [
            np.float32(2.5),
            np.float64(np.nan),
            np.int64(-3),
            np.bool_(True),
            np.arange(6, dtype=np.uint16).reshape(2, 3),
            np.zeros(0),
            {"numbers": np.arange(4), "offsets": np.zeros(0, np.int64), "count": np.array(4)},
            {"bbox-0": np.arange(3), "a/b": np.ones(2)},
            np.arange(300_000, dtype=np.int64),  # large enough to be mapped
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_a_value_comes_back_with_its_kind_and_dtype(self, make: Make, value: Any) -> None:
        make().create()
        make().put_value(4, value)
        found = make().value(4)
        assert_identical(found, value)
        assert np.ndim(found) == np.ndim(value) or isinstance(value, dict)
        assert isinstance(found, np.generic) == isinstance(value, np.generic)

    def test_a_value_may_be_put_again(self, make: Make) -> None:
        make().create()
        for _ in range(3):
            make().put_value(4, np.int64(5))
        assert make().value(4) == 5

    def test_a_discarded_workspace_is_empty(self, make: Make) -> None:
        make().create()
        make().put_partial(1, BlockIndex(0), {"a": np.zeros(1)})
        make().put_value(2, np.int64(5))
        make().discard()
        make().discard()
        assert make().missing_partials(1, 1) == [0]
        with pytest.raises((KeyError, StoreError)):
            make().value(2)


def test_a_mark_is_left_once(tmp_path: Path) -> None:
    workspace = DiskWorkspace(tmp_path / "work", "job1")
    workspace.create()
    assert [workspace.mark("publishing") for _ in range(3)] == [False, True, True]


def test_a_lost_value_is_a_store_error_that_names_the_folder(tmp_path: Path) -> None:
    workspace = DiskWorkspace(tmp_path / "work", "job1")
    workspace.create()
    with pytest.raises(StoreError, match="work/value3"):
        workspace.value(3)


def test_a_workspace_that_cannot_be_created_is_an_error_with_advice(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="write outputs to a directory"):
        DiskWorkspace(tmp_path / "file" / "work", "job1").create()


def test_images_may_be_in_another_folder_than_partials_and_values(tmp_path: Path) -> None:
    workspace = DiskWorkspace(workspace_root(tmp_path, "job1"), "job1", tmp_path / "scratch")
    workspace.create()
    image = picture((20, 30), "float32")
    output = workspace.image_output(3, (20, 30), "float32", (20, 30), compress=False)
    output.create()
    output.write(Region.whole((20, 30)), image)
    workspace.put_partial(1, BlockIndex(0), {"a": np.zeros(1)})
    assert [path.parent for path in tmp_path.rglob("*image3*")] == [tmp_path / "scratch" / ".lepton-job1"]
    assert workspace.partial_path(1, BlockIndex(0)).is_relative_to(tmp_path / ".lepton-job1")
    assert_identical(workspace.image(3).read(Region.whole((20, 30))), image)
    workspace.discard()
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "scratch"]


def test_a_half_written_partial_is_missing(tmp_path: Path) -> None:
    workspace = DiskWorkspace(tmp_path / "work", "job1")
    workspace.create()
    workspace.put_partial(1, BlockIndex(0), {"a": np.zeros(1)})
    left_by_a_killed_worker = workspace.partial_path(1, BlockIndex(1)).with_name(".1.arrays.0123")
    left_by_a_killed_worker.write_bytes(b"PK")
    assert workspace.missing_partials(1, 2) == [1]


def test_no_folder_holds_more_than_a_thousand_partials(tmp_path: Path) -> None:
    workspace = DiskWorkspace(tmp_path, "job1")
    folders = [workspace.partial_path(1, BlockIndex(block)).parent for block in range(5000)]
    assert max(folders.count(folder) for folder in set(folders)) == 1000


def test_a_jobs_workspace_is_hidden_beside_its_output() -> None:
    assert workspace_root("/data/out", "abc") == Path("/data/out/.lepton-abc")


def _compute_shared(root: Path, pause_s: float) -> None:
    def compute() -> Partial:
        with (root / "calls").open("a") as calls:
            calls.write(f"{os.getpid()}\n")
        time.sleep(pause_s)
        return {"a": np.arange(5), "b": np.zeros((0, 2), bool)}

    found = DiskWorkspace(root, "job").shared(3, compute)
    assert np.array_equal(found["a"], np.arange(5)) and found["b"].shape == (0, 2)


def test_one_process_computes_what_all_share(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=_compute_shared, args=(tmp_path, 0.3)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(180)
        assert process.exitcode == 0
    assert len((tmp_path / "calls").read_text().split()) == 1
    DiskWorkspace(tmp_path, "job").discard_node(3)
    _compute_shared(tmp_path, 0)
    assert len((tmp_path / "calls").read_text().split()) == 2


def test_another_process_computes_if_the_first_is_killed(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    first = fork.Process(target=_compute_shared, args=(tmp_path, 60))
    first.start()
    eventually((tmp_path / "calls").exists, "the first process at its computation")
    second = fork.Process(target=_compute_shared, args=(tmp_path, 0))
    second.start()
    first.kill()
    second.join(180)
    assert second.exitcode == 0
    assert len((tmp_path / "calls").read_text().split()) == 2
