"""Nothing outside the allowed folders is read, told of, written or removed, and of folders only a job's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import lepton_celery as lepton
from lepton_celery import stores
from lepton_celery.errors import InputError, LeptonError, StoreError, StoreNotFound
from lepton_celery.execution.manifest import JobOptions, Manifest
from lepton_celery.execution.outputs import create_outputs, discard
from lepton_celery.grid import BlockIndex, Place, Region, StageNumber
from lepton_celery.planning.options import PlanOptions
from lepton_celery.planning.planner import make_plan
from lepton_celery.stores.base import Target
from lepton_celery.stores.journal import Journal
from lepton_celery.stores.publish import remove
from lepton_celery.stores.roots import open_beneath, open_file
from lepton_celery.stores.workspace import DiskWorkspace, workspace_root

GREY = np.arange(80, dtype=np.uint8).reshape(8, 10)
SUFFIXES = (".npy", ".zarr", ".tif", ".png")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The only folder that this process may use. Whatever is beside it stays as it is."""
    (tmp_path / "root").mkdir()
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    np.save(outside / "secret.npy", GREY)
    Image.fromarray(GREY).save(outside / "secret.png")
    (outside / "deep" / "canary").write_text("tweet")
    monkeypatch.setenv("LEPTON_ALLOWED_ROOTS", str(tmp_path / "root"))
    before = contents(outside)
    yield tmp_path / "root"
    assert contents(outside) == before
    assert {path.name for path in tmp_path.iterdir()} <= {"root", "outside", "moved"}


def contents(folder: Path) -> dict[str, bytes | None]:
    paths = sorted(folder.rglob("*"))
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in paths}


def target(path: Path, job_id: str = "job1") -> Target:
    return Target(str(path), GREY.shape, "uint8", GREY.shape, job_id)


def manifest(folder: Path, **changes: Any) -> Manifest:
    """The manifest of a job that copies an image."""
    np.save(folder / "in.npy", GREY)
    plan = make_plan({"out": lepton.open(folder / "in.npy") + 1}, PlanOptions()).plan
    targets: dict[int, tuple[Target, ...]] = {plan.outputs["out"]: (target(folder / "out.npy"),)}
    return replace(Manifest("job1", plan, str(workspace_root(folder, "job1")), targets=targets), **changes)


class TestRemoving:
    @pytest.mark.parametrize("roots", [(), ("root",)])
    def test_a_workspace_of_another_name_is_not_removed(self, root: Path, roots: tuple[str, ...]) -> None:
        outside, allowed = root.parent / "outside", tuple(root.parent / name for name in roots)
        (root / "images").mkdir()
        for folder in (outside, outside / "deep", root, root / "images", root / ".lepton-job2", root / ".lepton-job1x"):
            workspace = DiskWorkspace(folder, "job1", roots=allowed)
            with pytest.raises(InputError, match=r"nothing is removed|outside"):
                workspace.discard()
        assert (root / "images").is_dir()

    @pytest.mark.parametrize("job_id", ["../..", "..", "a/b", "", ".", "x" * 101, "a\0b"])
    def test_a_job_id_that_is_no_name_removes_nothing(self, root: Path, job_id: str) -> None:
        outside = root.parent / "outside"
        with pytest.raises(LeptonError):
            DiskWorkspace(outside / f".lepton-{job_id}", job_id).discard()
        with pytest.raises(LeptonError):
            DiskWorkspace(workspace_root(root, "job1"), job_id, scratch=outside).discard()
        with pytest.raises(LeptonError):
            stores.discard_file(outside / "secret.npy", job_id)
        with pytest.raises(LeptonError):
            target(outside / "secret.npy", job_id)

    def test_a_workspace_outside_the_roots_is_not_removed(self, root: Path) -> None:
        workspace = DiskWorkspace(workspace_root(root.parent / "outside", "job1"), "job1", roots=(root,))
        workspace.root.mkdir()
        with pytest.raises(InputError, match="outside"):
            workspace.discard()
        assert workspace.root.is_dir()
        workspace.root.rmdir()

    def test_scratch_outside_the_roots_is_not_removed(self, root: Path) -> None:
        scratch = root.parent / "outside"
        workspace = DiskWorkspace(workspace_root(root, "job1"), "job1", scratch, roots=(root,))
        workspace_root(scratch, "job1").mkdir()
        workspace.root.mkdir()
        with pytest.raises(InputError, match="outside"):
            workspace.discard()
        assert workspace_root(scratch, "job1").is_dir() and workspace.root.is_dir()
        workspace_root(scratch, "job1").rmdir()

    @pytest.mark.parametrize("roots", [(), ("root",)])
    def test_a_workspace_that_was_swapped_for_a_link_is_removed_as_a_link(
        self, root: Path, roots: tuple[str, ...]
    ) -> None:
        workspace = DiskWorkspace(
            workspace_root(root, "job1"), "job1", roots=tuple(root.parent / name for name in roots)
        )
        workspace.root.symlink_to(root.parent / "outside")
        workspace.discard()
        assert not os.path.lexists(workspace.root)

    def test_links_in_a_workspace_are_not_followed(self, root: Path) -> None:
        workspace = DiskWorkspace(workspace_root(root, "job1"), "job1", roots=(root,))
        workspace.create()
        (workspace.root / "stages").symlink_to(root.parent / "outside")
        workspace.discard()
        assert not workspace.root.exists()

    def test_a_folder_above_that_was_swapped_for_a_link_is_not_followed(self, root: Path) -> None:
        folder = root / "images"
        folder.mkdir()
        workspace = DiskWorkspace(workspace_root(folder, "job1"), "job1", roots=(root,))
        workspace.create()
        folder.rename(root.parent / "moved")
        folder.symlink_to(root.parent / "outside")
        workspace_root(root.parent / "outside", "job1").mkdir()
        with pytest.raises(InputError, match="outside"):
            workspace.discard()
        workspace_root(root.parent / "outside", "job1").rmdir()

    @pytest.mark.parametrize("suffix", [*SUFFIXES, ".csv"])
    def test_parts_outside_the_roots_are_not_removed(self, root: Path, suffix: str) -> None:
        outside = root.parent / "outside"
        part = outside / f".a{suffix}.job1.part"
        part.write_text("")
        with pytest.raises(InputError, match="outside"):
            if suffix == ".csv":
                stores.discard_file(outside / "a.csv", "job1", roots=(root,))
            else:
                stores.array_output(target(outside / f"a{suffix}"), roots=(root,)).discard()
        assert part.exists()
        part.unlink()

    def test_discarding_goes_on_past_what_cannot_be_removed(self, root: Path) -> None:
        job = manifest(root)
        context = job.context((root,))
        context.workspace.create()
        create_outputs(context)
        assert (root / ".out.npy.job1.part").exists()
        damaged = replace(context, workspace=DiskWorkspace(root.parent / "outside", "job1", roots=(root,)))
        with pytest.raises(InputError, match="nothing is removed"):
            discard(damaged)
        assert not (root / ".out.npy.job1.part").exists()

    def test_remove_follows_no_link(self, root: Path) -> None:
        (root / "link").symlink_to(root.parent / "outside")
        remove(root / "link")
        remove(root / "none" / "none")
        assert not os.path.lexists(root / "link")


class TestTelling:
    def test_a_refusal_is_the_same_whatever_is_there(self, root: Path) -> None:
        outside = root.parent / "outside"
        refusals = set()
        for name in ("secret.npy", "none.npy", "deep/none.npy", "secret.npy/x.npy", "none.tif"):
            with pytest.raises(InputError, match="outside the allowed folders") as caught:
                lepton.open(outside / name)
            refusals.add(str(caught.value).replace(str(outside / name), "PATH"))
        assert len(refusals) == 1

    def test_no_link_and_no_dots_lead_out(self, root: Path) -> None:
        outside = root.parent / "outside"
        (root / "link.npy").symlink_to(outside / "secret.npy")
        (root / "folder").symlink_to(outside)
        (root / "loop").symlink_to(root / "loop")
        dots = root / ".." / "outside" / "secret.npy"
        for path in (root / "link.npy", root / "folder" / "secret.npy", root / "folder" / "none.npy", dots):
            with pytest.raises(InputError, match="outside the allowed folders") as caught:
                lepton.open(path)
            assert str(outside) not in str(caught.value).replace(str(dots), "")
            with pytest.raises(InputError, match="outside"):
                stores.identity(path, roots=(root,))
            with pytest.raises(InputError, match="outside"):
                stores.read_value(path, roots=(root,))
        with pytest.raises(LeptonError):
            lepton.open(root / "loop" / "a.npy")

    def test_a_changed_input_outside_the_roots_tells_nothing(self, root: Path) -> None:
        job = manifest(root)
        url = str(root.parent / "outside" / "secret.npy")
        nodes = list(job.plan.nodes)
        nodes[0] = replace(nodes[0], arguments={"url": url})
        forged = replace(job, plan=replace(job.plan, nodes=tuple(nodes)), inputs={url: "guess"})
        with pytest.raises(InputError, match="outside") as caught:
            forged.check_inputs((root,))
        assert "bytes" not in str(caught.value)


class TestWriting:
    @pytest.mark.parametrize("name", ["out.npy", "out.png", "out.zarr", "out.csv"])
    def test_no_output_is_made_or_replaced_outside(self, root: Path, name: str) -> None:
        np.save(root / "in.npy", GREY)
        image: Any = lepton.open(root / "in.npy")
        given = image.mean() if name == "out.csv" else image
        for path in (root.parent / "outside" / name, root.parent / "outside" / "secret.npy"):
            with pytest.raises(InputError, match="outside the allowed folders"):
                lepton.run({str(path): image if path.name == "secret.npy" else given}, overwrite=True)

    @pytest.mark.parametrize("name", ["in.png", "in.jpg"])
    def test_no_picture_is_copied_from_outside(self, root: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        path = root.parent / "outside" / "secret.png"
        monkeypatch.delenv("LEPTON_ALLOWED_ROOTS")
        image = lepton.open(path)
        monkeypatch.setenv("LEPTON_ALLOWED_ROOTS", str(root))
        with pytest.raises(InputError, match="outside the allowed folders"):
            lepton.run({str(root / "out.npy"): image + 1})
        assert list(root.iterdir()) == []

    def test_scratch_outside_the_roots_is_refused(self, root: Path) -> None:
        job = manifest(root, options=JobOptions(scratch=str(root.parent / "outside")))
        with pytest.raises(InputError, match="outside"):
            job.context((root,))

    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_outputs_in_the_roots_are_written_as_ever(self, root: Path, suffix: str) -> None:
        np.save(root / "in.npy", GREY)
        for overwrite in (False, True):
            outputs = {
                str(root / f"out{suffix}"): lepton.open(root / "in.npy") + 1,
                str(root / "m.csv"): lepton.open(GREY).max(),
            }
            job = lepton.run(outputs, overwrite=overwrite)
            assert np.array_equal(lepton.compute(lepton.open(root / f"out{suffix}")), GREY + 1)
            assert job.result()[str(root / "m.csv")]["value"][0] == 79
        assert {path.name for path in root.iterdir()} == {"in.npy", f"out{suffix}", "m.csv"}

    @pytest.mark.parametrize("suffix", SUFFIXES)
    @pytest.mark.parametrize("swap", ["link", "nothing", "folder"])
    def test_a_folder_that_is_moved_under_a_job_is_not_made_anew_and_no_link_followed(
        self, root: Path, suffix: str, swap: str
    ) -> None:
        folder = root / "images"
        folder.mkdir()
        output = stores.array_output(target(folder / f"a{suffix}"), roots=(root,))
        output.create()
        folder.rename(root.parent / "moved")
        if swap == "link":
            folder.symlink_to(root.parent / "outside")
        elif swap == "folder":
            folder.mkdir()
        for use in (output.create, lambda: output.write(Region.whole(GREY.shape), GREY), output.publish):
            with pytest.raises(StoreNotFound, match="images was moved"):
                use()
        fresh = stores.array_output
        with pytest.raises(LeptonError):
            fresh(target(folder / f"a{suffix}"), roots=(root,)).write(Region.whole(GREY.shape), GREY)
        output.discard()

    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_a_folder_that_is_gone_is_not_made_anew_without_roots_either(self, root: Path, suffix: str) -> None:
        folder = root / "images"
        folder.mkdir()
        output = stores.array_output(target(folder / f"a{suffix}"))
        output.create()
        folder.rename(root.parent / "moved")
        for use in (
            output.create,
            stores.array_output(target(folder / f"a{suffix}")).create,
            lambda: stores.array_output(target(folder / f"a{suffix}")).write(Region.whole(GREY.shape), GREY),
            DiskWorkspace(workspace_root(folder, "job1"), "job1").create,
        ):
            with pytest.raises(StoreError):
                use()
        assert not folder.exists()

    @pytest.mark.parametrize("suffix", [".npy", ".png"])
    def test_a_part_that_was_swapped_for_a_link_is_not_followed(self, root: Path, suffix: str) -> None:
        output = stores.array_output(target(root / f"a{suffix}"), roots=(root,))
        output.create()
        output.target.part.unlink()
        output.target.part.symlink_to(root.parent / "outside" / "secret.npy")
        with pytest.raises(LeptonError):
            output.write(Region.whole(GREY.shape), GREY + 1)
        with pytest.raises(LeptonError):
            output.reserve()

    def test_a_workspace_that_was_swapped_for_a_link_is_not_followed(self, root: Path) -> None:
        workspace = DiskWorkspace(workspace_root(root, "job1"), "job1", roots=(root,))
        workspace.create()
        workspace.put_partial(1, BlockIndex(0), {"a": np.zeros(1)})
        workspace.root.rename(root.parent / "moved")
        workspace.root.symlink_to(root.parent / "outside")
        workspace.put_partial(1, BlockIndex(1), {"a": np.zeros(1)})  # into the folder that is held open
        assert (root.parent / "moved" / "partials1" / "0" / "1.arrays").exists()
        fresh = DiskWorkspace(workspace_root(root, "job1"), "job1", roots=(root,))
        with pytest.raises(InputError, match="outside"):
            fresh.put_partial(1, BlockIndex(2), {"a": np.zeros(1)})

    @pytest.mark.parametrize("swapped", [".", "stages", "receipts", "receipts/0"])
    def test_a_journal_is_written_behind_no_link(self, root: Path, swapped: str) -> None:
        workspace = DiskWorkspace(workspace_root(root, "job1"), "job1", roots=(root,))
        workspace.create()
        journal = Journal(workspace.root, (root,))
        journal.begin({"a": 1})
        journal.log_stage(StageNumber(0))
        journal.log_receipts(StageNumber(0), [Place(3)])
        assert (journal.read_manifest(), journal.stage(1), journal.receipts(StageNumber(0))) == ({"a": 1}, 0, [3])
        folder = workspace.root / swapped
        folder.rename(root.parent / "moved")
        folder.symlink_to(root.parent / "outside")
        with pytest.raises(LeptonError):
            journal.log_stage(StageNumber(1))
            journal.log_receipts(StageNumber(0), [Place(4)])

    def test_receipts_that_are_no_numbers_of_blocks_are_left_out(self, root: Path) -> None:
        journal = Journal(root)
        journal.log_receipts(StageNumber(0), [Place(3)])
        next((root / "receipts" / "0").iterdir()).write_text(f"3 -1 x {'9' * 5000} \u00b2 99999999999 7\n8")
        assert journal.receipts(StageNumber(0)) == [3, 7]
        (root / "stages").mkdir()
        (root / "stages" / "\u00b2").touch()
        assert journal.stage(1) is None


class TestOpening:
    def test_a_folder_swapped_after_the_check_is_not_followed(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (root / "images").mkdir()
        np.save(root / "images" / "secret.npy", GREY + 1)
        resolve = os.path.realpath

        def swapped(path: Any, **options: Any) -> str:
            found: str = resolve(path, **options)
            if str(path).endswith("secret.npy"):
                (root / "images").rename(root.parent / "moved")
                (root / "images").symlink_to(root.parent / "outside")
            return found

        monkeypatch.setattr("lepton_celery.stores.roots.os.path.realpath", swapped)
        with pytest.raises(OSError, match=r"images|directory|links"):
            open_file(root / "images" / "secret.npy", (root,))

    def test_links_are_refused_beneath_a_folder(self, root: Path) -> None:
        (root / "a").symlink_to(root.parent / "outside")
        folder = os.open(root, os.O_RDONLY)
        try:
            for name in ("a", "a/secret.npy", "a/deep/canary"):
                with pytest.raises(StoreError, match="link"):
                    open_beneath(folder, name, name)
            with pytest.raises(FileNotFoundError):
                open_beneath(folder, "none/none", "none")
        finally:
            os.close(folder)
