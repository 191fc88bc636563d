"""The texts that explain plans and report on jobs."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import lepton_celery as lepton
from lepton_celery import graph
from lepton_celery.errors import InputError, PlanTooLarge
from lepton_celery.grid import StageNumber
from lepton_celery.jobs.report import compare, summarize
from lepton_celery.ledger.record import RunRecord
from lepton_celery.planning.explain import duration, explain, explain_plan, size
from lepton_celery.planning.options import Limits, PlanOptions
from lepton_celery.planning.planner import alternatives, make_plan
from lepton_celery.skimage import filters, measure
from tests.oracle import picture


def cells() -> tuple[graph.Node, graph.Node]:
    image = graph.open(np.broadcast_to(np.uint8(0), (3000, 4000)))
    smooth = filters.gaussian(image, sigma=2)
    labels = measure.label(smooth > filters.threshold_otsu(smooth))
    return labels, measure.regionprops_table(labels, image, properties=("label", "intensity_mean"))


def test_a_plan_is_explained_stage_by_stage() -> None:
    text = explain(*cells(), workers=2, block_shape=(1000, 1000))
    lines = text.splitlines()
    assert [line for line in lines if line.startswith("stage")] == [
        f"stage {n}/4  {_after(lines, n)}" for n in (1, 2, 3, 4)
    ]
    assert "gaussian" in _after(lines, 1)
    assert "min and max" in _after(lines, 1)
    assert "histogram" in _after(lines, 2)
    assert "label blocks (kept)" in _after(lines, 3)
    assert "region table" in _after(lines, 4)
    assert text.count("12 blocks of 1000×1000") == 4
    assert "halo 8 px" in text
    assert text.count("no halo") >= 1
    for words in ("reads", "writes", "in each worker", "about", "compute", "communication"):
        assert text.count(words) >= 4
    assert re.search(r"^48 blocks in all, about [\d.]+ s on 2 workers$", text, re.MULTILINE)
    assert re.search(r"MB of 1\.1 GB in each worker", text)
    assert "(×1.02 for the halo, ×1.00 for whole chunks)" in text
    assert "figures: shipped; `lepton calibrate` measures them on this machine" in lines
    assert "lepton." not in text


def _after(lines: list[str], stage: int) -> str:
    line = next(line for line in lines if line.startswith(f"stage {stage}/"))
    return line.partition("  ")[2]


def test_counts_of_one_are_singular() -> None:
    text = explain(graph.open(np.ones((5, 5))) + 1, workers=1, block_shape=(5, 5))
    assert "1 block of 5×5, no halo, 1 batch" in text
    assert "on 1 worker\n" in text


def test_a_plan_that_is_too_large_is_not_explained() -> None:
    with pytest.raises(PlanTooLarge):
        explain(*cells(), limits=Limits(pixels=10))


def test_more_workers_are_predicted_to_take_less_time() -> None:
    def seconds(workers: int) -> float:
        return make_plan(dict(zip("ab", cells(), strict=True)), PlanOptions(workers=workers)).plan.predicted_s

    assert seconds(4) < seconds(2) < seconds(1) < 2.2 * seconds(2)


def test_the_outputs_of_submit_are_explained() -> None:
    labels, table = cells()
    zarr = explain({"cells.zarr": labels, "cells.csv": table}, workers=2, block_shape=(1000, 1000))
    assert zarr == explain({"cells.zarr": labels}, {"cells.csv": table}, workers=2, block_shape=(1000, 1000))
    npy = explain(labels, table, workers=2, block_shape=(1000, 1000))
    assert [line for line in zarr.splitlines() if "stage" in line] == [
        line for line in npy.splitlines() if "stage" in line
    ]
    assert zarr != npy  # Zarr is slower to write
    with pytest.raises(InputError, match="is ndarray, not a lazy image"):
        explain({"cells.csv": np.zeros(3)})  # type: ignore[dict-item]
    with pytest.raises(InputError, match="no outputs"):
        explain({})


def test_alternatives_are_listed_with_their_times() -> None:
    dear = filters.median(graph.open(np.broadcast_to(np.uint8(0), (4096, 4096))), np.ones((15, 15), np.uint8))
    node = filters.gaussian(dear, sigma=60)
    planned = make_plan({"0": node}, PlanOptions(workers=2))
    plan = planned.plan
    text = explain(node, workers=2)
    head, _, others = text.partition(f"instead of {duration(plan.predicted_s)}\n")
    assert head.startswith(explain_plan(plan, PlanOptions()))
    assert re.search(r"[\d.]+ s  fused, only required images stored  +\S+ MB in each worker", others)
    assert "s  blocks of 1024×1024 " in others
    found = alternatives(planned)
    assert all(other.predicted_s > plan.predicted_s for _, other in found)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.00 s"),
        (0.042, "0.04 s"),
        (12.34, "12.3 s"),
        (100, "1 min 40 s"),
        (179.7, "3 min 0 s"),
        (3600, "60 min 0 s"),
    ],
)
def test_durations_read_well(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1500, "1.5 kB"),
        (15_000, "15 kB"),
        (2.5e6, "2.5 MB"),
        (3e9, "3.0 GB"),
        (7e15, "7000 TB"),
    ],
)
def test_sizes_read_well(number: float, words: str) -> None:
    assert size(number) == words


def test_the_report_of_a_finished_job_compares_predicted_and_actual_times() -> None:
    plan = make_plan(dict(zip("ab", cells(), strict=True)), PlanOptions(workers=2)).plan
    record = RunRecord("job1", {}, stages=[1.0] * len(plan.stages))
    text = summarize(record.info("job1"), plan)
    assert f"{plan.blocks} blocks in 4 stages" in text
    assert "predicted" in text
    assert "computing 0.00 s, reading and writing 0.00 s" in text
    assert "-" in compare(record.info("job1"), plan)  # nothing was measured


def test_a_job_that_ran_is_compared_with_its_plan_stage_by_stage(tmp_path: Path) -> None:
    image = graph.open(picture((300, 400), "uint8"))
    mask = filters.gaussian(image, sigma=2) > filters.threshold_otsu(image)
    job = lepton.run({str(tmp_path / "mask.npy"): mask}, threads=1, block_shape=(150, 200))
    lines = compare(job.info(), job.manifest().plan).splitlines()
    assert [line.split()[0] for line in lines[2:4]] == ["1", "2"]
    assert lines[1].split() == ["stage", *("predicted", "actual") * 3]
    for line in lines[2:4]:
        assert line.count(" s") >= 6
        assert " -" not in line
    times = job.info().stage_times
    assert times[StageNumber(0)].ended == times[StageNumber(1)].began
    assert job.report().endswith("\n".join(lines))
