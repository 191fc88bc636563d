"""The simulator of fleets: its model does what the engine does, its traces are checked, and the policy meets its targets."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lepton_celery.errors import InputError
from lepton_celery.fleet.policy import Observation
from lepton_celery.fleet.simulation.cluster import MAX_ATTEMPTS, Cluster
from lepton_celery.fleet.simulation.comparison import RULES, Comparison, compare
from lepton_celery.fleet.simulation.events import new_environment
from lepton_celery.fleet.simulation.measured import Stage, Times, World
from lepton_celery.fleet.simulation.optimum import offline_optimum, smallest_fixed_fleet
from lepton_celery.fleet.simulation.plot import draw
from lepton_celery.fleet.simulation.rules import CeleryAutoscaler, FixedFleet, KedaQueueLength, OwnPolicy
from lepton_celery.fleet.simulation.run import Result, simulate_trace
from lepton_celery.fleet.simulation.trace import SHIPPED, Arrival, Trace, read_trace, shipped_trace, write_trace

FREE = Times(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
"""Messages and bookkeeping that take no time."""


def arrival(work: int, *, at: float = 0.0, lane: str = "batch", tenant: str = "", **others: Any) -> Arrival:
    """A job of so many blocks of a second, one in each batch."""
    return Arrival(at, lane, (Stage(work, 1, (1.0,)),), tenant, **others)


def trace(*arrivals: Arrival, until_s: float = 600.0, **others: Any) -> Trace:
    given: dict[str, Any] = {"targets": {"interactive": 2.0, "batch": 300.0}, "minimum": 1, "maximum": 50} | others
    ordered = tuple(sorted(arrivals, key=lambda each: each.at))
    return Trace("t", "a test", until_s, times=FREE, arrivals=ordered, **given)


def fixed(slots: int, *arrivals: Arrival, **others: Any) -> Result:
    made = trace(*arrivals, **({"minimum": slots} | others))
    return simulate_trace(made, FixedFleet(slots))


def done_by(seconds: float, slots: int, arrivals: Sequence[Arrival], *, reserved: int = 0) -> list[int]:
    """Blocks that each job has done after some seconds, on a number of slots."""
    environment = new_environment()
    cluster = Cluster(environment, [("interactive", 2.0), ("batch", 300.0)], FREE, World(), reserved=reserved)
    for _ in range(slots):
        cluster.add_slot()
    for each in arrivals:
        cluster.submit(each)
    runs = [run for lane in cluster.lanes for run in lane.runs.values()]
    environment.run(until=seconds)
    return [run.stage.blocks - run.undone for run in runs]


def test_a_fixed_fleet_does_the_work_in_the_time_that_arithmetic_says() -> None:
    """100 s of work on 4 slots: 25 s. The median batch waits 12 s, the 95th percentile 23 s."""
    result = fixed(4, arrival(100), until_s=25.0, reserved=0)
    assert result.seconds == pytest.approx(25.0, abs=0.1)
    assert result.wait_s("batch", 0.5) == pytest.approx(12, abs=0.1)
    assert result.wait_s("batch", 0.95) == pytest.approx(23, abs=0.1)
    assert result.spending.busy == pytest.approx(100)
    assert result.slot_seconds == pytest.approx(100, abs=0.5)


def test_two_jobs_of_a_lane_share_it_and_a_tenant_has_its_weight() -> None:
    assert done_by(50.5, 4, [arrival(1000), arrival(1000)]) == pytest.approx([100, 100], abs=8)
    shares = done_by(50.5, 4, [arrival(1000), arrival(1000, tenant="b", weight=3.0)])
    assert shares[1] / sum(shares) == pytest.approx(0.75, abs=0.05)


def test_a_small_job_is_not_behind_a_large_one_of_its_lane() -> None:
    done = done_by(6.5, 4, [arrival(1000), arrival(4)])
    assert done[1] == 4


def test_a_slot_is_kept_for_the_most_urgent_lane() -> None:
    busy = done_by(10.5, 4, [arrival(1000)], reserved=1)
    assert busy == [30], "three of four slots"
    result = fixed(4, arrival(300), *(arrival(1, at=float(at), lane="interactive") for at in range(5, 90, 5)))
    assert result.wait_s("interactive", 1.0) < 0.001, "two calls of the server"


@pytest.mark.parametrize("long_stretches", [False, True])
def test_urgent_work_waits_for_one_batch_at_most(long_stretches: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if long_stretches:
        monkeypatch.setattr("lepton_celery.fleet.simulation.run.stretch_s", lambda _: 60.0)
    small = [arrival(1, at=7.3 + 20 * n, lane="interactive") for n in range(20)]
    result = fixed(4, arrival(2000), *small, reserved=0)
    assert 0 < result.wait_s("interactive", 1.0) <= 1.0
    assert result.spending.busy == pytest.approx(2020)
    assert result.seconds == pytest.approx(600.0)


def test_work_of_lost_workers_is_done_again() -> None:
    result = fixed(8, arrival(2000), losses_per_hour=60.0, startup_s=5.0)
    assert result.lost > 20
    assert result.spending.lost_s > 1
    assert result.spending.busy == pytest.approx(2000), "each block is done once"


def test_poisonous_blocks_are_tried_alone_until_they_are_given_up() -> None:
    poisoned = Arrival(0.0, "batch", (Stage(400, 10, (0.1,)),), poison=3)
    result = fixed(4, poisoned)
    assert result.spending.busy == pytest.approx(0.1 * (400 - 3))
    assert MAX_ATTEMPTS == 4 and 0 < result.spending.lost_s < 3 * (1 + 3 * 0.1)


def test_stages_follow_each_other_behind_their_merges() -> None:
    stages = (Stage(8, 1, (1.0,), merge_s=3.0), Stage(4, 1, (1.0,)))
    result = fixed(4, Arrival(0.0, "batch", stages), until_s=1.0, reserved=0)
    assert result.seconds == pytest.approx(2 + 3 + 1, abs=0.1)


@pytest.mark.parametrize("rule", [OwnPolicy, CeleryAutoscaler, KedaQueueLength])
def test_all_seconds_of_slots_are_accounted_for(rule: Any) -> None:
    made = trace(arrival(500), arrival(300, at=200.0), startup_s=10.0)
    result = simulate_trace(made, rule(made))
    spending = result.spending
    spent = spending.busy + spending.idle + spending.ledger_s + result.starting_seconds
    assert spent == pytest.approx(result.slot_seconds, rel=0.02)
    assert simulate_trace(made, rule(made)).slot_seconds == result.slot_seconds, "the same each time"


def test_the_optimum_is_work_and_starts() -> None:
    """1,000 s of work that must end within 300 + 1 s: 3.3 slots, of which the first is there and 2.3 start for 10 s each."""
    made = trace(arrival(1000, at=100.0), minimum=1, startup_s=10.0, until_s=401.0, reserved=0)
    found = offline_optimum(made)
    assert found is not None
    # a twentieth may be late, but the trace ends when the rest is due
    assert found.slot_seconds == pytest.approx(100 + 1000 + 2.3 * 10, rel=0.02)
    assert found.started == pytest.approx(2.3, rel=0.1)
    assert offline_optimum(replace(made, maximum=3, targets={"batch": 300.0})) is None
    assert smallest_fixed_fleet(replace(made, targets={"batch": 300.0})) == 4


def test_no_rule_needs_less_than_the_optimum() -> None:
    made = trace(
        arrival(800, at=30.0), *(arrival(1, at=4.0 * n, lane="interactive") for n in range(140)), startup_s=10.0
    )
    compared = compare(made, list(RULES))
    ratios = [compared.ratio(result) for result in compared.results]
    assert all(ratio is not None and ratio >= 1 for ratio in ratios)


def test_celerys_autoscaler_counts_messages_and_waits_before_it_stops_any() -> None:
    rule = CeleryAutoscaler(trace(maximum=10))
    assert rule.size(Observation(0.0, (), ready=1), queued=500) == 10
    assert rule.size(Observation(20.0, (), ready=10), queued=0) == 10
    assert rule.size(Observation(31.0, (), ready=10), queued=0) == 1


def test_kedas_rule_divides_the_queue_and_shrinks_slowly() -> None:
    rule = KedaQueueLength(trace(maximum=100))
    assert rule.size(Observation(0.0, (), ready=4), queued=100) == 8, "at most doubled in 15 s"
    assert rule.size(Observation(16.0, (), ready=8), queued=100) == 16
    assert rule.size(Observation(32.0, (), ready=16), queued=100) == 20
    assert rule.size(Observation(200.0, (), ready=20), queued=0) == 20, "the largest wish of 300 s"
    assert rule.size(Observation(400.0, (), ready=20), queued=0) == 18, "a tenth in a minute"


def test_a_trace_is_the_same_after_a_way_through_its_file(tmp_path: Path) -> None:
    made = trace(arrival(3, tenant="a"), arrival(2, at=5.0, lane="interactive", poison=1))
    write_trace(tmp_path / "t.jsonl", made)
    assert read_trace(tmp_path / "t.jsonl") == made


@pytest.mark.parametrize("name", SHIPPED)
def test_traces_of_the_package_are_as_their_headers_say(name: str) -> None:
    found = shipped_trace(name)
    assert found.name == name and len(found.arrivals) > 1000
    assert found.work_s / found.until_s < found.maximum


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"targets": {"batch": 60.0}}, "jobs of lane 'interactive', for which its first line has no target"),
        ({"trace": 99}, "has version 99"),
        ({"minimum": 9, "maximum": 3}, "minimum of 9 slots and a maximum of 3"),
        ({"startup_s": -1}, "startup_s"),
        ({"targets": {}}, "targets"),
    ],
)
def test_a_trace_that_is_wrong_is_refused_with_the_reason(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    write_trace(path, trace(arrival(1, lane="interactive")))
    header, *rest = path.read_text().splitlines()
    path.write_text("\n".join([json.dumps(json.loads(header) | change), *rest]))
    with pytest.raises(InputError, match=words):
        read_trace(path)


@pytest.mark.parametrize("text", ["", "\n", "no JSON", "[1]", '{"trace": 1}', '{"trace": 1}\n{"at": NaN, "lane": 3}'])
def test_a_file_that_is_no_trace_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match=r"t\.jsonl"):
        read_trace(path)


def test_without_simpy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "simpy", None)
    with pytest.raises(InputError, match=r"lepton-celery\[simulation\]"):
        fixed(1, arrival(1))


def test_a_comparison_is_drawn(tmp_path: Path) -> None:
    compared = compare(trace(arrival(200)), ["lepton", "fixed"])
    draw(tmp_path / "p.svg", compared)
    assert "<svg" in (tmp_path / "p.svg").read_text()
    with pytest.raises(InputError, match=r"p\.xyz.*\.svg"):
        draw(tmp_path / "p.xyz", compared)


def test_a_burst_gets_its_slots_in_two_periods_and_a_start_and_gives_them_back() -> None:
    made = trace(arrival(3000, at=101.0), startup_s=20.0, until_s=900.0)
    result = simulate_trace(made, OwnPolicy(made))
    peak = result.peak
    reached = next(moment.at for moment in result.moments if moment.ready >= 0.9 * peak)
    assert 10 <= peak <= 20 and reached <= 101 + 2 * 5 + 1.2 * 20 + 5
    assert result.moments[-1].desired == 1
    assert result.missed == [] and result.regretted == 0


def test_a_slot_that_is_stopped_and_ordered_again_has_flapped() -> None:
    class Steps(FixedFleet):
        """3 slots from 10 s, 1 from 200 s, 2 from 215 s, 5 from 300 s and 4 from 320 s."""

        def size(self, observation: Observation, queued: int) -> int:
            return next(
                slots for at, slots in ((320, 4), (300, 5), (215, 2), (200, 1), (10, 3), (0, 1)) if observation.at >= at
            )

    result = simulate_trace(trace(arrival(5), startup_s=20.0), Steps(1))
    assert result.regretted == 1 + 1, "ordered again 15 s after it was stopped; stopped 20 s after it was ordered"


def without_flapping(compared: Comparison) -> None:
    """What the policy promises on the traces of the package."""
    (result,) = compared.results
    assert result.missed == []
    assert (compared.ratio(result) or 9) <= 1.15
    assert result.flapping <= 0.01, f"{result.regretted} of {result.started} slots"


@pytest.mark.parametrize(
    "name", ["burst", *(pytest.param(name, marks=pytest.mark.slow) for name in ("giant", "poison"))]
)
def test_the_policy_meets_its_targets_without_flapping(name: str) -> None:
    """The jobs of the first 40 minutes: benchmarks.autoscaling takes whole traces."""
    whole = shipped_trace(name)
    jobs = tuple(each for each in whole.arrivals if each.at < 2400)
    without_flapping(compare(replace(whole, arrivals=jobs, until_s=3300.0), ["lepton"]))
