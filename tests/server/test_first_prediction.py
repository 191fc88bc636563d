"""The first prediction on a machine that was never calibrated: the shipped figures, and the machine's speed."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

import lepton_celery as lepton
import lepton_celery.skimage
from lepton_celery.calibration import calibrate
from lepton_celery.catalogue.base import Entry
from lepton_celery.config import load_settings
from lepton_celery.graph.nodes import Node
from lepton_celery.ledger import open_ledger
from lepton_celery.planning.cost.keep import model_of_workers
from lepton_celery.planning.cost.model import CostModel, Figure
from lepton_celery.planning.options import PlanOptions
from lepton_celery.planning.planner import make_plan
from tests.server.server import Server


def demonstration(folder: Path) -> dict[str, Node]:
    galaxies = runpy.run_path(str(Path(__file__).parents[2] / "examples/galaxies/galaxies.py"))
    tifffile.imwrite(folder / "photo.tif", np.zeros((2048, 2048, 3), np.uint8), tile=(512, 512), photometric="rgb")
    photo = lepton.open(folder / "photo.tif")
    labels, table = galaxies["find_galaxies"](photo, lepton_celery.skimage)
    picture = galaxies["draw_outlines"](photo, labels)
    return {"galaxies.zarr": labels, "galaxies.csv": table, "galaxies.png": picture}


def test_every_step_of_the_demonstration_has_a_shipped_figure(tmp_path: Path) -> None:
    plan = make_plan(demonstration(tmp_path), PlanOptions(workers=2)).plan
    lines = [line for stage in plan.stages for line in stage.predicted.lines]
    assert {"compute", "read", "write", "partial", "merge", "publish"} <= {line.kind for line in lines}
    for line in lines:
        if line.kind == "compute":
            entry = plan.nodes[line.node].entry
            assert entry.cost_ns != Entry.cost_ns, f"{line.key} has no figure of its own"
        else:
            assert CostModel().figure(line.kind, line.key) != Figure(), line.key


def test_a_prediction_follows_the_speed_of_the_machine(tmp_path: Path) -> None:
    outputs = demonstration(tmp_path)

    def compute_s(speed: float) -> float:
        plan = make_plan(outputs, PlanOptions((512, 512), workers=2, cost=CostModel(speed=speed))).plan
        return sum(stage.predicted.compute_s for stage in plan.stages)

    assert compute_s(5.0) == pytest.approx(5 * compute_s(1.0), rel=0.15)  # calls cost the same
    assert replace(CostModel(), speed=2.5).provenance == (
        "shipped, times 2.5 for this machine; `lepton calibrate` measures them on this machine"
    )


def test_workers_without_figures_get_those_of_this_machines_speed(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEPTON_STATE", str(tmp_path))
    speeds, contentions = iter([2.0, 5.0]), iter([1.5, 1.0])
    monkeypatch.setattr(calibrate, "measure_speed", lambda: next(speeds))
    monkeypatch.setattr(calibrate, "measure_contention", lambda: next(contentions))
    settings = load_settings({"LEPTON_BROKER_URL": server.url, "LEPTON_COST_PROFILE": "never calibrated"})
    calibrate.estimate(settings)
    calibrate.estimate(settings)  # known by now, so it is kept
    assert model_of_workers(open_ledger(settings.ledger), settings.cost_profile).speed == 3.0
