"""The cost model: its figures, predictions from them, and their refinement by jobs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import lepton_celery as lepton
from lepton_celery import graph
from lepton_celery.config import Settings
from lepton_celery.errors import InputError
from lepton_celery.execution.manifest import JobOptions
from lepton_celery.grid import StageNumber
from lepton_celery.jobs.prepare import prepare
from lepton_celery.jobs.run import run_prepared
from lepton_celery.ledger import Ledger
from lepton_celery.ledger.info import JobInfo
from lepton_celery.ledger.record import RunRecord
from lepton_celery.planning.cost import keep as costs
from lepton_celery.planning.cost.model import CostModel, Figure, Overheads
from lepton_celery.planning.cost.refine import MAX_RATIO, refine, towards
from lepton_celery.planning.options import PlanOptions
from lepton_celery.planning.plan import CostLine, Plan
from lepton_celery.planning.planner import make_plan
from lepton_celery.skimage import filters
from tests.oracle import picture

# ------------------------------------------------------------------------------------------------ figures


def test_a_figure_is_a_line() -> None:
    figure = Figure(unit_ns=2, call_ns=1000, tap_ns=0.5)
    assert figure.seconds_for(1e6, calls=3, taps=4) == pytest.approx(1e6 * 4e-9 + 3e-6)


def test_an_unmeasured_figure_falls_back_to_other_dtypes_then_to_its_declaration() -> None:
    model = CostModel({"compute": {"f float32": Figure(2), "f float64": Figure(4)}}, speed=1.5)
    assert model.figure("compute", "f float32").unit_ns == 2
    assert model.figure("compute", "f uint8").unit_ns == 3  # between the two
    assert model.figure("compute", "g uint8", Figure(10, 7, 1)) == Figure(15, 7, 1.5)
    assert model.figure("read", "npy") == Figure()
    assert CostModel().figure("write", "zarr int16") == CostModel().figure("write", "zarr")


def test_a_model_that_went_through_json_is_the_same() -> None:
    model = CostModel().with_figures("compute", {"filters.sobel float32": Figure(3, 4, 5, 6)})
    model = replace(model, measured_at=1e9, jobs=3, speed=1.2)
    assert CostModel.from_json(json.loads(json.dumps(model.to_json()))) == model
    assert model.provenance.startswith("calibrated on")
    assert model.provenance.endswith(", refined by 3 jobs since")
    assert replace(CostModel(), jobs=1).provenance.startswith("shipped, refined by 1 job; ")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 99}, "version 99.*lepton calibrate"),
        ({"figures": []}, "damaged"),
        ({"figures": {"read": {"npy": {"unit_ns": -1}}}}, "damaged.*negative"),
        ({"overheads": {"block_s": float("nan")}}, "damaged"),
    ],
)
def test_an_invalid_model_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        CostModel.from_json({**CostModel().to_json(), **change})


def test_batches_balance_message_costs_against_idle_workers_at_the_end() -> None:
    model = CostModel(overheads=Overheads(batch_s=0.008))
    tiny, large = model.batch_blocks(0.0003, 10_000, 2), model.batch_blocks(0.5, 64, 2)
    assert 500 < tiny <= 10_000 // 8
    assert large == 1
    assert model.batch_blocks(0.004, 80, 2) == 10  # four batches for each of two workers
    assert model.batch_blocks(1e-9, 80, 2) == 40  # fewer when a batch does less than its message costs
    assert model.min_batch_blocks(1e-9, 40) == 40
    assert model.min_batch_blocks(0.5, 40) == 10
    dear = CostModel(overheads=Overheads(batch_s=0.08))
    assert dear.batch_blocks(0.02, 1000, 2) > model.batch_blocks(0.02, 1000, 2)
    assert model.batch_blocks(0.001, 10**9, 2) * 0.001 <= 1.001


def test_a_stage_takes_its_share_of_the_work_half_a_batch_and_the_merge() -> None:
    model = CostModel(overheads=Overheads(stage_s=0.5))
    assert model.stage_wall_s(8.0, 8, 2) == pytest.approx(4 + 0.25 + 0.5)
    assert model.stage_wall_s(8.0, 1, 4) == pytest.approx(8 + 0.5)  # one batch keeps one worker busy
    assert model.stage_wall_s(8.0, 8, 1) == pytest.approx(8 + 0.5)


# ------------------------------------------------------------------------------------------------ refinement


def part(**changes: Any) -> CostLine:
    return CostLine("compute", "f float32", 0, 1, 1e9, 0, 1.0)._replace(**changes)


def test_a_figure_moves_towards_its_measurement_within_a_bound() -> None:
    known = Figure(unit_ns=1.0, seconds=10)
    assert 1.0 < towards(known, part(), 1.2, 1.2).unit_ns < 1.2
    # little work moves the figure little
    assert towards(known, part(), 1.2, 0.1).unit_ns < towards(known, part(), 1.2, 5.0).unit_ns
    # one job moves a measured figure within a bound, and replaces an unmeasured figure
    assert towards(known, part(), 100.0, 1000.0).unit_ns <= 1 + (MAX_RATIO - 1) / 2
    assert towards(Figure(unit_ns=1.0), part(), 20.0, 20.0).unit_ns == pytest.approx(20)
    assert towards(known, part(), 0.0001, 10.0).unit_ns > 0.3
    # little work counts more if it was quick: disturbances only make measurements longer
    assert towards(known, part(), 0.3, 0.05).unit_ns < 0.85 < 1.01 > towards(known, part(), 3.0, 0.05).unit_ns


def test_jobs_of_tiny_blocks_refine_the_cost_of_calls_not_of_pixels() -> None:
    figure = Figure(unit_ns=1.0, call_ns=20_000, seconds=5)
    tiny = part(calls=10_000, units=10_000 * 1000)
    moved = towards(figure, tiny, 2.0, 0.4)
    assert moved.call_ns / figure.call_ns - 1 > 10 * (moved.unit_ns / figure.unit_ns - 1) > 0


def job(folder: Path, number: int, cost: CostModel) -> tuple[Plan, JobInfo]:
    image = graph.open(picture((512, 512), "float32"))
    path = str(folder / f"{number}.npy")
    options = PlanOptions(block_shape=(128, 128), cost=cost)
    prepared = prepare({path: filters.gaussian(image, sigma=3)}, options, JobOptions(), Settings())
    done = run_prepared(prepared, threads=1)
    return prepared.manifest.plan, done.info()


def test_jobs_correct_a_wrong_model(tmp_path: Path) -> None:
    model = CostModel().with_figures("compute", {"filters.gaussian float32": Figure(800.0, seconds=0.05)})

    def error(model: CostModel, plan: Plan, info: JobInfo) -> float:
        return abs(math.log(model_s(model, plan) / info.stats["compute_s"]))

    def model_s(model: CostModel, plan: Plan) -> float:
        (line,) = [line for line in plan.stages[0].predicted.lines if line.kind == "compute"]
        return model.figure("compute", "filters.gaussian float32").seconds_for(
            line.units, calls=line.calls, taps=line.taps
        )

    plan, info = job(tmp_path, 0, model)
    before = error(model, plan, info)
    for _ in range(20):
        model = refine(model, plan, info)
    assert error(model, plan, info) < before / 2
    assert (model.measured_at, model.jobs) == (None, 20)


def test_a_job_measures_the_figures_that_its_plan_predicts(tmp_path: Path) -> None:
    plan, info = job(tmp_path, 0, CostModel())
    stats, predicted = info.stage_stats[StageNumber(0)], plan.stages[0].predicted
    assert stats["blocks"] == predicted.blocks == 16
    measured = {name for name in stats if " " in name}
    assert measured == {f"{line.kind} {line.node}" for line in predicted.lines if line.kind != "publish"}
    assert stats["compute_s"] == pytest.approx(sum(stats[name] for name in measured if name.startswith("compute ")))
    assert stats["block_s"] >= stats["compute_s"] + stats["read_s"] + stats["write_s"]


# ------------------------------------------------------------------------------------------------ keeping


class Records:
    """Cost models by profile, and one job."""

    def __init__(self, job: RunRecord | None = None) -> None:
        self.job = job
        self.models: dict[str, dict[str, Any] | None] = {}

    def costs(self, profile: str) -> dict[str, Any] | None:
        return self.models.get(profile)

    def keep_costs(self, profile: str, document: Mapping[str, Any] | None) -> None:
        self.models[profile] = None if document is None else json.loads(json.dumps(dict(document)))

    def info(self, job_id: str) -> JobInfo:
        assert self.job is not None
        return self.job.info(job_id)


def test_models_are_kept_in_a_folder_and_taken_from_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEPTON_STATE", str(tmp_path / "state"))
    assert costs.model_of_folder() == CostModel()
    model = replace(CostModel(), measured_at=1e9, speed=3.0)
    path = costs.save_to_folder(model)
    assert costs.model_of_folder() == model
    image = graph.open(np.broadcast_to(np.uint8(0), (500, 500)))
    assert "figures: calibrated on" in lepton.explain(image + 1)
    path.write_text('{"version": 99}')
    assert costs.model_of_folder() == CostModel()  # a model of another release is ignored
    path.write_text("{")
    assert costs.model_of_folder() == CostModel()
    costs.save_to_folder(None)
    assert not path.exists()


def test_the_ledgers_model_comes_before_the_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEPTON_STATE", str(tmp_path))
    ledger = cast("Ledger", Records())
    costs.save_to_folder(replace(CostModel(), speed=2.0))
    assert costs.model_of_workers(ledger, "fast").speed == 2.0
    costs.save_for_workers(ledger, "fast", replace(CostModel(), speed=3.0))
    assert costs.model_of_workers(ledger, "fast").speed == 3.0
    assert costs.model_of_workers(ledger, "slow").speed == 2.0
    ledger.keep_costs("fast", {"version": 99})
    assert costs.model_of_workers(ledger, "fast").speed == 2.0


def test_a_job_that_ends_refines_the_ledgers_model(tmp_path: Path) -> None:
    image = graph.open(picture((64, 64), "float32"))
    plan = make_plan({"0": image + 1}, PlanOptions(block_shape=(32, 32), workers=1)).plan
    job = RunRecord("j", {}, stages=[1.0])
    ledger = cast("Ledger", Records(job))
    compute = next(line for line in plan.stages[0].predicted.lines if line.kind == "compute")
    sums = {"blocks": 4.0, "block_s": 0.5, "compute_s": 0.4, "batches": 2.0, "batch_s": 0.6}
    job.open_stage(StageNumber(0), 4)
    job.receive(4, {**sums, f"compute {compute.node}": 0.4})
    costs.learn(ledger, "default", plan, "j")
    found = costs.model_of_workers(ledger, "default")
    assert found.jobs == 1
    assert found.figure("compute", "numpy.add float32").seconds_for(1024) > compute.seconds / 4
    costs.learn(ledger, "default", plan, "j")
    assert costs.model_of_workers(ledger, "default").jobs == 2
