"""The manifest of a job, as JSON and as checked by workers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lepton_celery import graph
from lepton_celery.errors import InputError
from lepton_celery.execution.manifest import JobOptions, Manifest
from lepton_celery.planning.options import PlanOptions
from lepton_celery.planning.planner import make_plan
from lepton_celery.skimage import measure
from lepton_celery.stores.base import Target
from lepton_celery.stores.workspace import DiskWorkspace


def manifest(folder: Path) -> Manifest:
    np.save(folder / "in.npy", np.ones((40, 50), np.uint8))
    labels = measure.label(graph.open(folder / "in.npy") > 0)
    outputs = {"labels": labels, "table": measure.regionprops_table(labels)}
    plan = make_plan(outputs, PlanOptions(block_shape=(16, 16))).plan
    node = plan.outputs["labels"]
    path = str(folder / "labels.zarr")
    target = Target(path, (40, 50), "int32", (16, 16), "job1", overwrite=True)
    return Manifest(
        job_id="job1",
        plan=plan,
        workspace=str(folder / ".lepton-job1"),
        targets={node: (target,)},
        files={str(folder / "table.csv"): plan.outputs["table"]},
        options=JobOptions(overwrite=True),
        names={"labels.zarr": path},
    )


def test_a_manifest_that_went_through_json_is_the_same(tmp_path: Path) -> None:
    job = manifest(tmp_path)
    assert Manifest.from_json(json.loads(json.dumps(job.to_json()))) == job


def test_a_manifest_of_another_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="same release"):
        Manifest.from_json({**manifest(tmp_path).to_json(), "version": 99})


def test_a_manifest_names_its_outputs(tmp_path: Path) -> None:
    job = manifest(tmp_path)
    assert job.output_paths() == [str(tmp_path / "labels.zarr"), str(tmp_path / "table.csv")]
    assert job.title == "labels.zarr, table.csv"


def test_a_worker_refuses_paths_outside_its_roots(tmp_path: Path) -> None:
    job = manifest(tmp_path)
    inside, outside = tmp_path, tmp_path / "elsewhere"
    outside.mkdir()
    context = job.context((inside,))
    assert isinstance(context.workspace, DiskWorkspace)
    assert (context.roots, context.files, context.job_id) == ((inside,), job.files, job.job_id)
    with pytest.raises(InputError, match="allowed"):
        job.context((outside,))


def test_a_worker_refuses_scratch_outside_its_roots(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    elsewhere = replace(manifest(data), options=JobOptions(scratch=str(tmp_path / "scratch")))
    elsewhere.context()
    with pytest.raises(InputError, match="allowed"):
        elsewhere.context((data,))


def test_a_worker_refuses_to_read_outside_its_roots(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    job = manifest(tmp_path)
    moved = Manifest("job1", job.plan, str(data / "work"))
    context = moved.context((data,))
    with pytest.raises(InputError, match="allowed"):
        context.reader(0)
