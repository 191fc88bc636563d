"""The promises of every array format, checked for each format by one conformance class."""

from __future__ import annotations

import os
import random
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lepton_celery import errors
from lepton_celery.grid import BlockIndex, Region
from lepton_celery.stores import MemoryOutput, MemoryReader, Target, array_output, open_array
from lepton_celery.stores.base import AnyArray
from lepton_celery.stores.documents import from_document, to_document

# From Python 3.12 on, forking while zarr's thread is alive warns; the tests show that this is harmless here.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@dataclass(frozen=True)
class Format:
    """A format under test, and what it can hold."""

    suffix: str
    dtypes: tuple[str, ...]
    ndims: tuple[int, ...] = (1, 2, 3)
    step: int = 1
    smallest: int = 0

    def __str__(self) -> str:
        return self.suffix


NUMBERS = ("bool", "uint8", "int16", "uint16", "int32", "int64", "uint64", "float32", "float64", "complex64")
FORMATS = [
    Format(".npy", (*NUMBERS, "float16", "longdouble")),
    Format(".zarr", (*NUMBERS, "float16")),
    Format(".tif", NUMBERS[1:], ndims=(2, 3), step=16, smallest=2),
    Format(".png", ("uint8", "uint16", "bool"), ndims=(2,), smallest=1),
]


def pixels(shape: tuple[int, ...], dtype: str, seed: int = 0) -> AnyArray:
    """An array whose values are spread over the range of `dtype`."""
    values = np.random.default_rng(seed).integers(0, 250, shape)
    return (values > 120 if dtype == "bool" else values).astype(dtype)


def write_all(target: Target, image: AnyArray, order: list[int] | None = None) -> None:
    for index in order if order is not None else range(len(target.grid)):
        region = target.grid.region(BlockIndex(index))
        array_output(target).write(region, image[region.slices])


def in_fork(work: Callable[[], None]) -> int:
    """Start `work` in a forked child; the child's process id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def ended_well(*children: int) -> bool:
    return all(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0 for child in children)


@pytest.fixture(params=FORMATS, ids=str)
def fmt(request: pytest.FixtureRequest) -> Format:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def target(fmt: Format, tmp_path: Path) -> Target:
    return Target(str(tmp_path / f"out{fmt.suffix}"), (70, 50), "uint8", (32, 16), "job-1")


@pytest.fixture
def image(target: Target) -> AnyArray:
    return pixels(target.shape, target.dtype)


class TestEveryFormat:
    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_blocks_in_any_order_come_back_as_the_image(
        self, fmt: Format, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
    ) -> None:
        ndim = data.draw(st.sampled_from(fmt.ndims))
        shape = tuple(data.draw(st.lists(st.integers(fmt.smallest, 70), min_size=ndim, max_size=ndim)))
        shape = tuple(min(n, 8) if axis < ndim - 2 else n for axis, n in enumerate(shape))
        if fmt.suffix == ".tif" and ndim == 3 and shape[2] in (3, 4):
            shape = (*shape[:2], 5)
        block = tuple(fmt.step * data.draw(st.integers(max(1, n // (4 * fmt.step)), 80 // fmt.step)) for n in shape)
        if fmt.suffix == ".tif" and ndim == 3:
            block = (data.draw(st.integers(1, 9)), *block[1:])
        image = pixels(shape, data.draw(st.sampled_from(fmt.dtypes)), seed=sum(shape))
        path = tmp_path_factory.mktemp("round") / f"out{fmt.suffix}"
        target = Target(str(path), shape, image.dtype.name, block, "job-1")
        order = list(range(len(target.grid)))
        random.Random(len(order)).shuffle(order)

        array_output(target).create()
        write_all(target, image, order)
        array_output(target).publish()
        reader = open_array(path)

        assert (reader.shape, reader.dtype) == (shape, image.dtype)
        assert len(reader.chunks) == len(shape)
        assert np.array_equal(reader.read(Region.whole(shape)), image)
        for seed in range(3):
            chance = random.Random(seed)
            ends = [sorted((chance.randint(0, n), chance.randint(0, n))) for n in shape]
            region = Region(tuple(a for a, _ in ends), tuple(b for _, b in ends))
            found = reader.read(region)
            assert np.array_equal(found, image[region.slices])
            assert found.flags.c_contiguous and found.flags.owndata and found.flags.writeable

    def test_creating_twice_keeps_the_blocks(self, target: Target, image: AnyArray) -> None:
        array_output(target).create()
        write_all(target, image)
        array_output(target).create()
        array_output(target).publish()
        assert np.array_equal(open_array(target.path).read(Region.whole(target.shape)), image)

    def test_writing_a_block_again_changes_nothing(self, target: Target, image: AnyArray) -> None:
        output = array_output(target)
        output.create()
        write_all(target, image)
        write_all(target, image)
        output.publish()
        assert np.array_equal(open_array(target.path).read(Region.whole(target.shape)), image)

    def test_the_final_name_does_not_exist_before_publishing(self, target: Target, image: AnyArray) -> None:
        output = array_output(target)
        assert not list(target.final.parent.iterdir())
        output.create()
        write_all(target, image)
        assert [entry.name for entry in target.final.parent.iterdir()] == [target.part.name]

    def test_publishing_twice_is_publishing_once(self, target: Target, image: AnyArray) -> None:
        output = array_output(target)
        output.create()
        write_all(target, image)
        output.publish()
        output.publish()
        array_output(target).publish()
        assert [entry.name for entry in target.final.parent.iterdir()] == [target.final.name]
        with pytest.raises(errors.StoreNotFound):
            array_output(replace(target, job_id="job-2")).write(target.grid.region(BlockIndex(0)), image[:32, :16])

    def test_publishing_an_output_that_was_never_created_is_refused(self, target: Target) -> None:
        with pytest.raises(errors.StoreNotFound, match="no part"):
            array_output(target).publish()

    def test_an_output_that_appeared_meanwhile_is_not_replaced(self, target: Target, image: AnyArray) -> None:
        output = array_output(target)
        output.create()
        write_all(target, image)
        target.final.write_text("precious")
        with pytest.raises(errors.OutputExists, match="overwrite=True"):
            output.publish()
        assert target.final.read_text() == "precious"
        target.final.unlink()
        output.publish()
        assert np.array_equal(open_array(target.path).read(Region.whole(target.shape)), image)

    @pytest.mark.parametrize("standing", ["file", "folder", "output"])
    def test_overwriting_replaces_any_file_or_folder(self, target: Target, image: AnyArray, standing: str) -> None:
        if standing == "file":
            target.final.write_text("old")
        elif standing == "folder":
            target.final.mkdir()
            (target.final / "old").write_text("old")
        else:
            array_output(target).create()
            write_all(target, image[::-1].copy())
            array_output(target).publish()
        again = replace(target, overwrite=True, job_id="job-2")
        array_output(again).create()
        write_all(again, image)
        array_output(again).publish()
        array_output(again).publish()
        assert np.array_equal(open_array(target.path).read(Region.whole(target.shape)), image)
        assert [entry.name for entry in target.final.parent.iterdir()] == [target.final.name]

    def test_discarding_leaves_nothing_and_may_be_repeated(self, target: Target, image: AnyArray) -> None:
        output = array_output(target)
        output.discard()
        output.create()
        write_all(target, image)
        target.part.with_name(f"{target.part.name}.of-a-killed-writer.tmp").write_text("")
        output.discard()
        output.discard()
        assert not list(target.final.parent.iterdir())
        with pytest.raises(errors.StoreError):
            output.write(target.grid.region(BlockIndex(0)), image[:32, :16])
        assert not list(target.final.parent.iterdir())

    def test_discarding_leaves_a_published_output(self, target: Target, image: AnyArray) -> None:
        output = array_output(target)
        output.create()
        write_all(target, image)
        output.publish()
        output.discard()
        assert np.array_equal(open_array(target.path).read(Region.whole(target.shape)), image)

    def test_two_jobs_may_write_to_one_name_at_once(self, target: Target, image: AnyArray) -> None:
        other = replace(target, job_id="job-2")
        array_output(target).create()
        array_output(other).create()
        write_all(target, image)
        write_all(other, image[::-1].copy())
        array_output(target).publish()
        with pytest.raises(errors.OutputExists):
            array_output(other).publish()
        array_output(other).discard()
        assert np.array_equal(open_array(target.path).read(Region.whole(target.shape)), image)

    def test_only_whole_blocks_of_the_right_dtype_are_written(self, target: Target, image: AnyArray) -> None:
        output = array_output(target)
        output.create()
        with pytest.raises(errors.InputError, match="whole blocks only"):
            output.write(Region((0, 8), (32, 24)), image[:32, 8:24])
        with pytest.raises(errors.InputError, match="whole blocks only"):
            output.write(Region((0, 0), (32, 30)), image[:32, :30])
        with pytest.raises(errors.InputError, match="does not fill"):
            output.write(target.grid.region(BlockIndex(0)), image[:31, :16])
        with pytest.raises(errors.InputError, match="convert it"):
            output.write(target.grid.region(BlockIndex(0)), image[:32, :16].astype("float32"))

    def test_a_box_of_blocks_is_written_at_once(self, target: Target, image: AnyArray) -> None:
        output = array_output(target)
        output.create()
        for box in (Region((0, 0), (64, 32)), Region((0, 32), (70, 50)), Region((64, 0), (70, 32))):
            output.write(box, np.ascontiguousarray(image[box.slices]))
        output.publish()
        assert np.array_equal(open_array(target.path).read(Region.whole(target.shape)), image)

    def test_a_region_outside_is_refused(self, target: Target, image: AnyArray) -> None:
        array_output(target).create()
        write_all(target, image)
        array_output(target).publish()
        with pytest.raises(errors.InputError, match="not inside"):
            open_array(target.path).read(Region((0, 0), (71, 50)))
        with pytest.raises(errors.InputError, match="not inside"):
            open_array(target.path).read(Region((0,), (70,)))

    def test_objects_opened_and_used_before_a_fork_work_in_the_child(self, target: Target, image: AnyArray) -> None:
        output = array_output(target)
        output.create()
        first, last = target.grid.region(BlockIndex(0)), target.grid.region(BlockIndex(len(target.grid) - 1))
        output.write(first, image[first.slices])
        assert ended_well(in_fork(lambda: output.write(last, image[last.slices])))
        write_all(target, image)
        output.publish()
        reader = open_array(target.path)
        assert np.array_equal(reader.read(first), image[first.slices])

        def read() -> None:
            assert np.array_equal(reader.read(last), image[last.slices])
            assert np.array_equal(open_array(target.path).read(last), image[last.slices])

        assert ended_well(in_fork(read), in_fork(read))

    def test_processes_create_write_and_publish_together(self, target: Target, image: AnyArray) -> None:
        def work(half: int) -> None:
            array_output(target).create()
            write_all(target, image, list(range(half, len(target.grid), 2)))

        assert ended_well(in_fork(lambda: work(0)), in_fork(lambda: work(1)))
        publishers = [in_fork(lambda: array_output(target).publish()) for _ in range(4)]
        assert ended_well(*publishers)
        assert np.array_equal(open_array(target.path).read(Region.whole(target.shape)), image)
        assert [entry.name for entry in target.final.parent.iterdir()] == [target.final.name]

    def test_overwriting_publishers_race_without_losing_the_output(self, target: Target, image: AnyArray) -> None:
        target.final.write_text("old")
        target = replace(target, overwrite=True)
        array_output(target).create()
        write_all(target, image)
        publishers = [in_fork(lambda: array_output(target).publish()) for _ in range(4)]
        assert ended_well(*publishers)
        assert np.array_equal(open_array(target.path).read(Region.whole(target.shape)), image)

    def test_an_output_may_be_named_by_a_url(self, target: Target, image: AnyArray) -> None:
        named = replace(target, path=target.final.with_name(f"a b{target.final.suffix}").as_uri())
        array_output(named).create()
        write_all(named, image)
        array_output(named).publish()
        assert np.array_equal(open_array(named.path).read(Region.whole(target.shape)), image)
        assert named.final.name.startswith("a b")


@pytest.mark.parametrize("suffix", [".npy", ".zarr", ".png"])
def test_a_part_of_another_shape_is_refused(tmp_path: Path, suffix: str) -> None:
    target = Target(str(tmp_path / f"a{suffix}"), (70, 50), "uint8", (32, 16), "j")
    array_output(target).create()
    with pytest.raises(errors.StoreError, match="discard it"):
        array_output(replace(target, shape=(64, 50))).create()


class TestInterruptedPublishing:
    def test_a_merge_killed_between_link_and_unlink_is_finished_by_the_next(self, tmp_path: Path) -> None:
        target = Target(str(tmp_path / "a.npy"), (4,), "uint8", (4,), "j")
        array_output(target).create()
        os.link(target.part, target.final)
        array_output(target).publish()
        assert [entry.name for entry in tmp_path.iterdir()] == ["a.npy"]

    @pytest.mark.parametrize("suffix", [".tif", ".png"])
    def test_a_merge_killed_before_it_removed_the_part_is_finished_by_the_next(
        self, tmp_path: Path, suffix: str
    ) -> None:
        target = Target(str(tmp_path / f"a{suffix}"), (40, 40), "uint8", (40, 40), "j")
        array_output(target).create()
        write_all(target, pixels((40, 40), "uint8"))
        done = target.part.with_name(f"{target.part.name}.encoded")
        done.write_text("encoded")
        os.link(done, target.final)
        array_output(target).publish()
        assert target.final.read_text() == "encoded"
        assert [entry.name for entry in tmp_path.iterdir()] == [target.final.name]

    @pytest.mark.parametrize("finish", ["publish", "discard"])
    def test_a_folder_moved_aside_is_replaced_or_put_back(self, tmp_path: Path, finish: str) -> None:
        target = Target(str(tmp_path / "a.zarr"), (4,), "uint8", (4,), "j", overwrite=True)
        array_output(target).create()
        replaced = target.part.with_name(f"{target.part.name}.replaced")
        replaced.mkdir()
        (replaced / "old").write_text("")
        getattr(array_output(target), finish)()
        assert [entry.name for entry in tmp_path.iterdir()] == ["a.zarr"]
        assert (target.final / "old").exists() == (finish == "discard")

    def test_a_tiff_with_a_block_missing_is_not_published(self, tmp_path: Path) -> None:
        target = Target(str(tmp_path / "a.tif"), (64, 64), "uint8", (32, 32), "j")
        array_output(target).create()
        write_all(target, pixels((64, 64), "uint8"), [0, 1, 3])
        with pytest.raises(errors.StoreError, match="block 2 was not written"):
            array_output(target).publish()
        assert not target.final.exists()


class TestMemory:
    def test_blocks_come_back_as_the_image(self) -> None:
        image = pixels((7, 5), "float32")
        target = Target("result", (7, 5), "float32", (3, 4), "j")
        output = MemoryOutput(target)
        with pytest.raises(errors.StoreError, match="create it first"):
            output.publish()
        output.create()
        for region in target.grid:
            output.write(region, image[region.slices])
        output.create()
        with pytest.raises(errors.StoreError, match="not published"):
            _ = output.array
        output.publish()
        output.publish()
        output.discard()
        assert np.array_equal(output.array, image)

    def test_a_reader_gives_copies_in_native_order(self) -> None:
        image: np.ndarray[Any, Any] = np.asfortranarray(np.arange(12, dtype=">i4").reshape(3, 4))
        reader = MemoryReader(image)
        found = reader.read(Region((1, 1), (3, 3)))
        assert found.dtype.isnative and found.flags.c_contiguous and found.flags.owndata
        found[:] = 0
        assert reader.read(Region((1, 1), (3, 3))).tolist() == [[5, 6], [9, 10]]
        assert reader.url == "memory:"


class TestTarget:
    def test_a_target_survives_json(self) -> None:
        target = Target("a.npy", (3, 4), "float32", (2, 2), "j", overwrite=True)
        assert from_document(to_document(target), Target, "it") == target

    @pytest.mark.parametrize("job_id", ["", "../x", "a/b", ".hidden", "a b"])
    def test_a_job_id_cannot_lead_to_another_folder(self, job_id: str) -> None:
        with pytest.raises(errors.InputError, match="job id"):
            Target("a.npy", (3,), "float32", (2,), job_id)

    def test_wrong_json_is_an_input_error(self) -> None:
        with pytest.raises(errors.InputError, match=r"the target is damaged: .*shape"):
            from_document({"path": "a.npy"}, Target, "the target")
        with pytest.raises(errors.InputError, match="not a dtype"):
            Target("a.npy", (3,), "colour", (2,), "j")
