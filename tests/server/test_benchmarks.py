"""The benchmarks measure the same work in every system, and document the results."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from skimage import measure

from benchmarks import (
    catalogue,
    components,
    datapath,
    document,
    growth,
    inputs,
    memory,
    servicetimes,
    simulation,
    steady,
    targets,
    verdict,
)
from benchmarks.cases import FULL, Case, Task, quick
from benchmarks.guarantee import flow
from benchmarks.processes import Parts
from benchmarks.runner import Measured
from benchmarks.stopwatch import Span
from benchmarks.systems import BATCHED, CANNOT, TITLES
from benchmarks.systems.base import batches, by_reference, run_blocks
from benchmarks.systems.lepton import LeptonInline
from benchmarks.systems.whole import Whole
from benchmarks.workloads import WORKLOADS, workload_of
from lepton_celery.config import Settings
from lepton_celery.execution.manifest import JobOptions
from lepton_celery.fleet.simulation.measured import Stage, Times, World
from lepton_celery.fleet.simulation.one_job import simulate_job
from lepton_celery.fleet.simulation.spending import WAITS, Spending
from lepton_celery.grid import StageIndex
from lepton_celery.jobs.prepare import prepare
from lepton_celery.planning.options import PlanOptions


def task_in(folder: Path, case: Case, name: str) -> Task:
    """A task with its input and an own folder for the outputs."""
    out = folder / name
    out.mkdir()
    task = Task(case, folder, out)
    if not task.source.exists():
        workload_of(task).make(task)
    return task


CASES = (*FULL, *growth.by_side([64], 1 << 30), *growth.by_blocks([4]))
"""All measured cases."""


@pytest.mark.parametrize("workload", WORKLOADS)
def test_hand_written_stages_and_lepton_give_the_outputs_of_the_whole_image(tmp_path: Path, workload: str) -> None:
    case = next(case for case in CASES if case.workload == workload).tiny(4)
    case = replace(case, shape=tuple(n - 3 for n in case.shape))  # ragged at the end
    oracle, by_hand, by_lepton = (task_in(tmp_path, case, name) for name in ("a", "f", "lepton"))
    Whole().run(oracle)

    def run_stage(text: str, stage: int) -> None:
        for ends in batches(by_hand):
            run_blocks(text, stage, *ends)

    by_reference(by_hand, run_stage)
    LeptonInline().run(by_lepton)
    assert verdict.compare(oracle, by_hand) == verdict.IDENTICAL
    assert verdict.compare(oracle, by_lepton) == verdict.IDENTICAL


def test_blocks_cover_the_picture_once() -> None:
    case = Case("any", "W1", (70, 50), (32, 16), ())
    covered = np.zeros(case.shape, int)
    for index in range(case.blocks):
        core, (wide, within) = case.core(index), case.read(index, 5)
        covered[core] += 1
        ours = np.zeros(case.shape, bool)
        ours[core] = True
        assert ours[wide][within].all() and ours[wide][within].sum() == ours.sum()
    assert (covered == 1).all()


@pytest.mark.parametrize("workload", WORKLOADS)
def test_inputs_are_the_same_each_time_and_laid_out_row_by_row(workload: str) -> None:
    case = next(case for case in CASES if case.workload == workload).tiny()
    first, second = (WORKLOADS[workload].input(case.shape) for _ in range(2))
    assert first.flags.c_contiguous and np.array_equal(first, second)


def test_tasks_travel_as_json() -> None:
    task = Task(quick(FULL[0]), Path("/work"), Path("/work/out"))
    assert Task.from_json(task.to_json()) == task


def test_cases_name_existing_systems_and_workloads() -> None:
    assert all(set(case.systems) <= set(TITLES) and case.workload in WORKLOADS for case in CASES)
    assert len({case.name for case in FULL}) == len(FULL)
    assert all(case.batch > 1 for case in FULL if set(case.systems) & set(BATCHED))


def test_every_peer_runs_every_workload_or_is_excused() -> None:
    required = ("a", "f", "c", "dz", "er", "g", "lepton", "inline")
    for workload in targets.TARGETS:
        met = {system for case in FULL if case.workload == workload for system in case.systems}
        met |= {system for (name, system) in CANNOT if name == workload}
        assert met >= {*required, *(target.system for target in targets.TARGETS[workload])}, workload
        assert {case.format for case in FULL if case.workload == workload} == {"npy", "zarr"}


def test_naive_joining_gives_the_labels_of_the_whole_image() -> None:
    case = Case("any", "W3", (40, 50), (16, 16), ())
    image = np.random.default_rng(7).random(case.shape) > 0.4
    for picture in (image, ~image, np.ones(case.shape, bool), np.zeros(case.shape, bool)):
        parts = [measure.label(picture[case.core(index)], connectivity=1) for index in range(case.blocks)]
        assert np.array_equal(components.joined(parts, case), measure.label(picture, connectivity=1))


def test_wrong_pixels_labels_and_tables_are_reported() -> None:
    image = np.arange(12.0).reshape(3, 4)
    other = image.copy()
    other[1, 2] += 0.5
    assert verdict.compare_pixels(image, image.copy()) == verdict.IDENTICAL
    assert verdict.compare_pixels(image, other) == "1 pixels differ, by 0.5 at most"
    assert "float32" in verdict.compare_pixels(image, image.astype(np.float32))
    labels = np.array([[0, 1], [2, 2]])
    assert verdict.compare_labels(labels, np.array([[0, 2], [1, 1]])) == "same objects, other numbers"
    assert verdict.compare_labels(labels, np.array([[0, 1], [1, 1]])) == "1 objects instead of 2"
    assert verdict.compare_labels(labels, np.array([[0, 1], [3, 2]])) == "3 objects instead of 2"
    areas = {"label": np.array([1, 2]), "area": np.array([5, 6])}
    assert verdict.compare_tables(areas, areas | {"area": np.array([5, 7])}) == "columns that differ: area"


def test_a_section_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "docs" / "benchmarks.md"
    document.replace_section(path, "growth", "## Growth\n\nold")
    document.replace_section(path, "peers", "## Peers\n\nfirst")
    document.replace_section(path, "growth", "## Growth\n\nnew")
    text = path.read_text(encoding="utf-8")
    assert text.startswith(document.HEAD)
    assert "old" not in text and text.index("first") < text.index("new")


def test_a_table_shows_medians_ratios_and_failures() -> None:
    case = Case("W1", "W1", (64, 64), (32, 32), ("a", "f", "g", "h", "er"), note="once")
    found = {
        "a": Measured([4.0], [2**20], [7.0], [0.1], ["-"]),
        "f": Measured([1.0, 2.0, 9.0], [2**21, 2**20], [3.0], [0.0], ["identical"] * 3),
        "g": Measured(failure="not done after 60 s"),
        "er": Measured([5.0], [2**20], [3.0], [0.0], ["identical"]),
    }
    text = document.peers([case], {"W1": found}, plot="benchmarks.svg", idle=0.05, left_out=["W2"])
    assert "| f | 3 | 2.000 | 1.00 .. 9.00 | 0.50 | 1.00 | 0.40 | 3.00 | 0.0 | 2 | identical |" in text
    assert "| g | 0 | - | - | - | - | - | - | - | - | not done after 60 s |" in text
    assert "Note: once. Left out: h." in text
    assert "No time was left for W2." in text


def test_the_summary_takes_ratios_where_both_were_measured_and_says_whether_targets_are_met() -> None:
    def took(seconds: float) -> Measured:
        return Measured([seconds], [0], [0.0], [0.0], ["identical"])

    large = Case("W5", "W5", (64, 64), (32, 32), ("a", "f", "fb", "h", "lepton"), batch=2)
    small = Case("W5 small", "W5", (64, 64), (32, 32), ("a", "f", "c", "dz", "lepton"))
    results = {
        "W5": {"a": took(4), "f": took(2), "fb": took(0.4), "h": took(40), "lepton": took(1)},
        "W5 small": {"a": took(1), "f": took(1), "c": took(3), "dz": took(2), "lepton": took(1)},
    }
    ((workload, a, f, dask, ray, celery, words),) = targets.summary([large, small], results)
    assert (workload, a, f, dask, ray, celery) == ("W5", "0.25", "0.50", "0.50 (dz, W5 small)", "-", "0.03 (h)")
    assert words == "≤ 2 × fb: 2.50, **missed**; ≥ 30 × faster than a task per block (h): 40 ×, met"


def test_parts_measure_the_memory_of_their_processes() -> None:
    with Parts({"own": [os.getpid()], "none": []}, every_s=0.001) as parts:
        held = np.ones(1 << 23)
    assert parts.grown("own") > 0.5 * held.nbytes
    assert parts.peak["none"] == 0


def test_the_time_of_a_job_is_divided_by_its_spans() -> None:
    found = [
        Span("ledger.claim", 1.0, 1.1, 7),
        Span("run_block", 1.1, 2.0, 7),
        Span("ledger.commit", 2.0, 2.1, 7),
        Span("process", 1.0, 2.2, 7),
        Span("ledger.commit_merge", 2.5, 2.6, 8),
        Span("close", 2.4, 2.7, 8),
    ]
    seen = flow(0.5, 0.8, 3.0, found)
    assert (seen.first_block, seen.last_block, seen.ended, seen.seen) == pytest.approx((0.6, 1.5, 2.1, 2.5))
    assert (seen.blocks_s, seen.ledger_s, seen.outside_s, seen.merges_s) == pytest.approx((0.9, 0.3, 0.1, 0.2))
    assert seen.idle_s == pytest.approx(2 * 1.6 - 1.2 - 0.2)


EVERY_WAY = """
import sys
from pathlib import Path
from benchmarks import datapath, inputs

folder, image = Path(sys.argv[1]), inputs.photograph((64, 64), 0)
chosen = datapath.ways(32)
rates = datapath.measure(chosen, image, 32, folder, 1)
assert {name.partition(",")[0] for name in rates} >= {"memory map", "our Zarr", "zarr-python", "zarrs"}
for way in chosen:
    found = rates[way.name]
    assert bool(found.write) == (way.write is not None) and bool(found.halo) == (way.open is not None)
chunks = datapath.decodings(image, 32, folder, 1, [16])
assert all(1 <= found.times <= found.naive for found in chunks)
text = datapath.section({"a photograph": rates}, chunks, side=64, block=32, rounds=1)
assert all(f"| {way.name} |" in text for way in chosen)
"""


def test_every_way_to_store_pixels_is_measured_and_gives_them_back(tmp_path: Path) -> None:
    # in a process of its own, because forked children of a process that has used zarrs hang
    command = [sys.executable, "-c", EVERY_WAY, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr


def test_a_store_that_gives_other_pixels_ends_the_benchmark(tmp_path: Path) -> None:
    image = inputs.photograph((64, 64), 0)
    zeros = datapath.Way("zeros", None, lambda _: lambda region: np.zeros(region.shape, np.float32), "our Zarr, lz4")
    with pytest.raises(AssertionError, match="not what was written"):
        datapath.measure([*datapath.ways(32)[:3], zeros], image, 32, tmp_path, 1)


TIMES = Times(message_s=0.01, block_s=0.001, server_message_s=0.002, server_block_s=0.0001, send_s=0.0, job_s=0.5)


def simulated(workers: int, stage: Stage, *, store: float = 1e15) -> Spending:
    return simulate_job([stage], TIMES, World(0.0, store), workers)


def test_one_simulated_worker_takes_the_sum_of_everything() -> None:
    outcome = simulated(1, Stage(32, 4, (0.1,), merge_s=2.0))
    batches = 3 * 3 + 2  # waves of a second, which are 9 blocks: 4, 4 and 1, and at last 4 and 1
    wanted = 0.5 + 32 * (0.1 + 0.001 + 0.0001) + batches * (0.01 + 0.002) + 2.0
    assert outcome.seconds == pytest.approx(wanted)
    assert outcome.busy == pytest.approx(32 * 0.101 + 2.0)


@pytest.mark.parametrize("workers", [1, 7, 300])
def test_a_simulation_accounts_for_all_the_time_of_its_workers(workers: int) -> None:
    outcome = simulated(workers, Stage(2000, 3, (0.05, 0.1), 0.1, 1e6), store=1e10)
    spent = outcome.busy + sum(getattr(outcome, name) for name in WAITS)
    assert spent == pytest.approx(workers * (outcome.seconds - TIMES.job_s), rel=0.05)


def test_the_window_of_a_lane_grows_with_its_workers() -> None:
    stage = Stage(8000, 1, (1.0,))
    one, many = simulated(1, stage), simulated(400, stage)
    assert one.seconds / many.seconds > 300


def test_a_simulated_store_or_ledger_limits_the_throughput() -> None:
    slow = simulated(100, Stage(1000, 1, (0.01,), block_bytes=1e6), store=1e8)
    assert slow.seconds > 1000 * 1e6 / 1e8 and slow.limit == "store"
    many = simulated(1000, Stage(10_000, 1, (0.01,)))
    assert many.seconds > 10_000 * TIMES.server_message_s and many.limit == "ledger"


def test_measured_stages_give_the_stages_of_a_large_plan(tmp_path: Path) -> None:
    small = Case("small", "W3", (64, 64), (32, 32), ())
    measured = servicetimes.in_process(small, tmp_path)
    stages = servicetimes.stages_of(servicetimes.planned(small, tmp_path, 1), measured)
    assert [stage.blocks for stage in stages] == [4] * len(measured.block_s)
    assert all(len(times) == 4 and min(times) > 0 for times in measured.block_s)
    scenario = simulation.Scenario(Case("large", "W3", (64 * 32, 64 * 32), (32, 32), ()), small)
    simulation.large(scenario, tmp_path)
    large = servicetimes.stages_of(servicetimes.planned(scenario.case, tmp_path, 1), measured)
    assert large[0].blocks == 64 * 64 and large[0].block_s == measured.block_s[0]
    assert len(large) >= len(stages) and large[0].batch_blocks > stages[0].batch_blocks


def test_the_promise_on_memory_counts_the_images_alive_at_once(tmp_path: Path) -> None:
    case = Case("any", "W1", (96, 96), (32, 32), ())
    task = task_in(tmp_path, case, "out")
    plan = prepare(workload_of(task).graph(task), PlanOptions(case.block), JobOptions(), Settings()).manifest.plan
    # the middle block with its halo of 16, and its result
    assert memory.live_bytes(plan, StageIndex(0)) == (64 * 64 + 32 * 32) * 4


def test_the_simulation_is_written_with_its_errors_and_its_limits() -> None:
    stage, case = Stage(2000, 1, (0.5,)), Case("W1", "W1", (64, 64), (32, 32), ())
    points = simulation.grow([[stage]] * 2, (1, 512), TIMES)
    checked = [simulation.Checked(case, 1, 1.2, 1.0)]
    text = simulation.section(TIMES, checked, {"W1": points}, {"W1": [stage]}, "simulation.svg")
    assert "| W1 | 1 | 1.20 | 1.00 | +20 % |" in text
    assert "| W1 | 1 | 2,000 | 500 (500 .. 500) | 0 | 0 |" in text
    (row,) = [line for line in text.splitlines() if line.startswith("| W1 | 512 |")]
    assert row.split(" | ")[2].isdecimal()


def test_functions_of_the_catalogue_are_timed_and_the_page_keeps_the_others(tmp_path: Path) -> None:
    def run(*names: str) -> list[str]:
        done = CliRunner().invoke(catalogue.main, [*names, "--tiny", "--out", str(tmp_path)])
        assert done.exit_code == 0, done.output
        return sorted(one.name for one in catalogue.measured_before(tmp_path / "benchmarks-catalogue.md"))

    assert run("measure.label", "color.rgb2gray") == ["color.rgb2gray", "measure.label"]
    assert run("util.invert", "measure.label") == ["color.rgb2gray", "measure.label", "util.invert"]
    text = (tmp_path / "benchmarks-catalogue.md").read_text(encoding="utf-8")
    assert "3 functions" in text and "bool 64 × 64" in text


def test_a_function_that_takes_too_long_or_fails_is_named_with_the_reason() -> None:
    assert catalogue.measure_within("restoration.denoise_nl_means", 1) == "the library alone takes more than 1 s"
    slow = catalogue.Timed("filters.sobel", "uint8 64 × 64", 1.5, float("inf"))
    text = catalogue.page([slow], {"filters.gaussian": "MemoryError: too large"})
    assert catalogue.Timed.from_row("| " + " | ".join(slow.row) + " |") == slow
    assert "| not done | not done |" in text and "1 are above 1.5" in text and "MemoryError" in text


def test_what_small_jobs_leave_is_a_table() -> None:
    text = steady.section([steady.Held("20, warm", 0.1, 80.0, 140.0, 170, 2.2, 8, 0, 0)])
    assert "| 20, warm | 0.1 | 80 | 140 | 170 | 2.2 | 8 | 0 | 0 |" in text
