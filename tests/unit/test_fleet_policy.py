"""The policy of the autoscaler: what it promises for every load, and the right numbers for some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lepton_celery.errors import InputError
from lepton_celery.fleet.policy import (
    Decision,
    Finding,
    LaneLoad,
    Limits,
    Observation,
    Policy,
    PolicyState,
    Resource,
)
from lepton_celery.stores.documents import from_document, to_document

LANES = ("interactive", "default", "batch")

seconds = st.floats(0, 1e5)


@st.composite
def loads(draw: st.DrawFn, lane: str) -> LaneLoad:
    batches = draw(st.integers(0, 5000))
    work_s = draw(seconds) if batches else 0.0
    return LaneLoad(
        lane,
        target_wait_s=draw(st.floats(0.5, 3600)),
        blocks=batches,
        batches=batches,
        work_s=work_s,
        busy_slots=draw(st.integers(0, min(batches, 300))),
        oldest_s=draw(seconds) if work_s else 0.0,
    )


resources = st.none() | st.builds(
    Resource, limit=st.floats(0, 1e12), used=st.floats(0, 1e12), per_slot=st.floats(0.01, 1e10)
)

observations = st.builds(
    Observation,
    at=st.just(100.0),
    lanes=st.lists(st.sampled_from(LANES), min_size=1, max_size=3, unique=True).flatmap(
        lambda names: st.tuples(*map(loads, sorted(names, key=LANES.index)))
    ),
    ready=st.integers(0, 400),
    starting=st.integers(0, 100),
    starting_s=st.floats(0, 100),
    draining=st.integers(0, 20),
    startup_s=st.floats(0, 200),
    failures=st.integers(0, 4),
    memory=resources,
    processors=resources,
)

all_limits = st.builds(
    lambda least, more, **others: Limits(least, least + more, **others),
    st.integers(0, 50),
    st.integers(1, 500),
    slots_per_worker=st.integers(1, 8),
    reserved=st.integers(0, 4),
    period_s=st.floats(0.5, 60),
)


def after(policy: Policy, observation: Observation, state: PolicyState | None = None) -> Decision:
    return policy.decide(observation, state or PolicyState(), now=observation.at)


def grown(load: LaneLoad, times: float) -> LaneLoad:
    """The load with a multiple of its work."""
    return replace(
        load,
        work_s=load.work_s * times,
        blocks=round(load.blocks * times),
        batches=round(load.batches * times),
    )


@given(observations, all_limits)
def test_every_decision_lies_within_the_limits_and_has_a_reason(observation: Observation, limits: Limits) -> None:
    policy, state = Policy(limits), PolicyState()
    for at in (100.0, 105.0, 140.0, 400.0):
        decision = after(policy, replace(observation, at=at), state)
        assert limits.minimum <= decision.desired <= limits.maximum
        assert decision.reason
        state = decision.state
    assert limits.minimum <= policy.decide(None, state, now=500.0).desired <= limits.maximum


@given(observations, all_limits, st.integers(0, 2), st.floats(1, 50))
def test_more_work_never_means_fewer_slots(observation: Observation, limits: Limits, which: int, times: float) -> None:
    which %= len(observation.lanes)
    lanes = tuple(grown(load, times) if rank == which else load for rank, load in enumerate(observation.lanes))
    more = replace(observation, at=110.0, lanes=lanes)
    less = replace(observation, at=110.0)
    policy = Policy(limits)
    state = after(policy, observation).state
    assert after(policy, more, state).desired >= after(policy, less, state).desired


@given(observations, all_limits)
def test_the_same_observation_twice_gives_the_same_slots(observation: Observation, limits: Limits) -> None:
    policy = Policy(limits)
    first = after(policy, observation)
    assert after(policy, observation) == first
    again = after(policy, observation, first.state)
    assert again.desired == first.desired


@given(observations, all_limits)
def test_constant_input_causes_no_oscillation(observation: Observation, limits: Limits) -> None:
    """However long the same is observed, the slots change their direction once at most."""
    policy, state, found = Policy(limits), PolicyState(), []
    for step in range(100):
        decision = after(policy, replace(observation, at=100.0 + 20.0 * step), state)
        state = decision.state
        found.append(decision.desired)
    changes = [b > a for a, b in pairwise(found) if a != b]
    assert sum(a != b for a, b in pairwise(changes)) <= 1
    assert found[-1] == found[-20]


@given(observations, all_limits)
def test_what_is_old_or_missing_changes_nothing(observation: Observation, limits: Limits) -> None:
    policy = Policy(limits)
    before = after(policy, replace(observation, failures=0))
    empty = replace(observation, lanes=tuple(replace(load, work_s=0.0, busy_slots=0) for load in observation.lanes))
    for held, finding in (
        (policy.decide(empty, before.state, now=empty.at + limits.stale_after_s + 1), Finding.STALE),
        (policy.decide(None, before.state, now=empty.at + 1), Finding.MISSING),
        (policy.decide(replace(empty, at=empty.at - 1), before.state, now=empty.at), Finding.STALE),
    ):
        assert held.desired == before.desired
        assert held.findings == (finding,)
        assert held.state == before.state


@given(observations, all_limits)
def test_a_state_is_the_same_after_a_way_through_json(observation: Observation, limits: Limits) -> None:
    state = after(Policy(limits), observation).state
    assert from_document(to_document(state), PolicyState, "the state") == state


def batch(
    work_s: float, *, batches: int = 10_000, busy: int = 0, oldest_s: float = 0.0, target_s: float = 60
) -> LaneLoad:
    return LaneLoad("batch", target_s, batches, batches, work_s, busy, oldest_s)


def seen(load: LaneLoad, *, at: float = 0.0, ready: int = 1, starting: int = 0, startup_s: float = 10.0) -> Observation:
    return Observation(at, (load,), ready, starting, startup_s=startup_s)


LIMITS = Limits(1, 100, reserved=0, period_s=5.0)


def test_a_backlog_gets_the_slots_that_end_it_within_the_target() -> None:
    """1,000 s within 42 of 60 s: one slot does 42 s; the others come after 15 s, and each does 27 s. 958 / 27 = 35.5."""
    decision = after(Policy(LIMITS), seen(batch(1000.0)))
    assert decision.desired == 1 + 36
    assert "1,000 s of work" in decision.reason and "batch" in decision.reason


def test_slots_that_start_are_not_ordered_again() -> None:
    policy = Policy(LIMITS)
    first = after(policy, seen(batch(1000.0)))
    ordered = seen(batch(1000.0, busy=1, oldest_s=5.0), at=5.0, starting=36)
    ordered = replace(ordered, starting_s=5.0)
    assert after(policy, ordered, first.state).desired == first.desired


def test_no_more_slots_than_batches() -> None:
    assert after(Policy(LIMITS), seen(batch(1000.0, batches=4))).desired == 4


def test_a_slot_is_only_started_for_work_that_is_worth_its_start() -> None:
    """The target is over: 200 s of work for slots that take 100 s to start are done by one slot more, not by hundreds."""
    late = seen(batch(200.0, oldest_s=1000.0), startup_s=100.0)
    decision = after(Policy(LIMITS), late)
    assert decision.desired == 1
    assert decision.findings == (Finding.UNREACHABLE,) and "no new slot can meet" in decision.reason


def test_idle_slots_are_kept_for_as_long_as_a_start_takes() -> None:
    policy = Policy(LIMITS)
    state, found = PolicyState(0.0, 61), {}
    for at in range(5, 105, 5):
        busy = 61 if at < 50 else 0
        load = batch(10.0 * busy, busy=busy, batches=busy, target_s=900)
        decision = after(policy, seen(load, at=float(at), ready=61, startup_s=20.0), state)
        state, found[at] = decision.state, decision.desired
    assert found[55] > 40, "a quarter of them, as they were idle for 5 s of 20"
    assert found[95] == 1


def decided(observation: Observation, state: PolicyState, times: Sequence[int]) -> dict[int, Decision]:
    """The decisions if the same is observed at several times."""
    policy, found = Policy(LIMITS), {}
    for at in times:
        found[at] = after(policy, replace(observation, at=float(at)), state)
        state = found[at].state
    return found


def test_slots_that_were_stopped_are_not_ordered_again_at_once_for_work_that_can_wait() -> None:
    """A start takes 20 s, so for 30 s a target of 15 minutes can wait; one of a minute gets what its deadline needs."""
    idle = decided(seen(batch(0.0), ready=40, startup_s=20.0), PolicyState(0.0, 40), range(5, 30, 5))
    assert [decision.desired for decision in idle.values()] == [40, 40, 40, 1, 1]
    state = idle[25].state
    patient = decided(seen(batch(9000.0, target_s=900), startup_s=20.0), state, range(30, 60, 5))
    assert [decision.desired for decision in patient.values()] == [1, 1, 1, 1, 15, 15]
    urgent = decided(seen(batch(90.0), startup_s=20.0), state, [30])
    assert urgent[30].desired == 1 + 3


def test_a_slot_that_has_just_come_is_not_stopped() -> None:
    """It is ordered at 5 s, comes at 25 s, and is idle for as long as a start takes before it is stopped."""
    policy, state, found = Policy(LIMITS), PolicyState(0.0, 1), {}
    for at in range(5, 60, 5):
        waits = batch(90.0) if at == 5 else batch(0.0)
        ready = 1 if at < 25 else 4
        observation = replace(
            seen(waits, at=float(at), ready=ready, startup_s=20.0), starting=4 - ready if at > 5 else 0
        )
        decision = after(policy, observation, state)
        state, found[at] = decision.state, decision.desired
    assert found[5] == found[40] == 4 and found[45] == 1


def test_nothing_is_stopped_while_it_is_busy() -> None:
    policy, state = Policy(LIMITS), PolicyState(0.0, 30)
    for at in range(5, 300, 5):
        decision = after(policy, seen(batch(1.0, busy=30, batches=30), at=float(at), ready=30), state)
        state = decision.state
        assert decision.desired == 30


def test_a_backlog_over_the_maximum_is_told() -> None:
    decision = after(Policy(LIMITS), seen(batch(1e6)))
    assert decision.desired == 100
    assert Finding.OVER_MAXIMUM in decision.findings and "at most 100 are allowed" in decision.reason


def test_urgent_lanes_keep_slots_for_their_fluctuations() -> None:
    """9 slots were busy with work that must not wait for a worker's start: 9 + √9."""
    urgent = LaneLoad("interactive", 2.0, 9, 9, 9.0, 9)
    assert after(Policy(LIMITS), seen(urgent, ready=9)).desired == 12


def test_memory_bounds_the_slots() -> None:
    """10 GB, 2 used, and one idle slot that will use 3 GB: there is room for one more."""
    memory = Resource(limit=10e9, used=2e9, per_slot=3e9)
    decision = after(Policy(LIMITS), replace(seen(batch(1000.0)), memory=memory))
    assert decision.desired == 2
    assert decision.findings == (Finding.MEMORY,) and "memory has room for 2" in decision.reason


def test_slots_that_do_not_fit_are_given_up_unless_they_are_busy() -> None:
    memory = Resource(limit=10e9, used=1e9, per_slot=3e9)
    idle = replace(seen(batch(0.0), ready=8), memory=memory)
    assert after(Policy(LIMITS), idle, PolicyState(0.0, 8)).desired == 3
    working = replace(seen(batch(1000.0, busy=8), ready=8), memory=replace(memory, used=11e9))
    assert after(Policy(LIMITS), working, PolicyState(0.0, 8)).desired == 8


def test_processors_bound_growth_alone() -> None:
    processors = Resource(limit=4, used=1.0, per_slot=1.0)
    working = replace(seen(batch(1000.0, busy=1)), processors=processors)
    decision = after(Policy(LIMITS), working)
    assert decision.desired == 4 and decision.findings == (Finding.PROCESSORS,)
    crowded = replace(seen(batch(1000.0, busy=8), ready=8), processors=replace(processors, used=4.0))
    assert after(Policy(LIMITS), crowded, PolicyState(0.0, 8)).desired == 8


def test_what_does_not_bind_is_not_told() -> None:
    """At most 5 are allowed, so that it does not matter that memory has room for 9 and processors for 7."""
    memory, processors = Resource(limit=10e9, used=1e9, per_slot=1e9), Resource(limit=8, used=1.0, per_slot=1.0)
    limits = Limits(minimum=0, maximum=5, reserved=0)
    decision = after(Policy(limits), replace(seen(batch(1000.0, busy=1)), memory=memory, processors=processors))
    assert decision.desired == 5 and decision.findings == (Finding.OVER_MAXIMUM,)
    assert "at most 5 are allowed" in decision.reason and "memory" not in decision.reason


def test_one_slot_is_no_slots() -> None:
    decision = after(Policy(LIMITS), seen(batch(0.0)))
    assert decision.reason == "1 slot: no work"


def test_a_crash_loop_is_no_reason_to_start_more() -> None:
    policy = Policy(LIMITS)
    state = PolicyState(0.0, 2)
    decision = after(policy, replace(seen(batch(1000.0), at=5.0), failures=3), state)
    assert decision.desired == 2
    assert decision.findings == (Finding.CRASH_LOOP,) and "look at their logs" in decision.reason
    recovered = after(policy, seen(batch(1000.0), at=10.0), decision.state)
    assert recovered.desired > 2


def test_a_clock_that_is_set_back_is_followed() -> None:
    policy = Policy(LIMITS)
    state = after(policy, seen(batch(100.0), at=1e6)).state
    assert after(policy, seen(batch(2000.0), at=100.0), state).desired == 1 + 73


def test_from_nothing_to_work_and_back() -> None:
    policy, state = Policy(Limits(0, 10, reserved=0)), PolicyState()
    decision = after(policy, seen(batch(1.0, batches=1), ready=0))
    assert decision.desired == 1
    state = decision.state
    for at in range(5, 60, 5):
        decision = after(policy, seen(batch(0.0), at=float(at), ready=1), state)
        state = decision.state
    assert decision.desired == 0


def test_whole_workers_are_started() -> None:
    limits = Limits(1, 30, slots_per_worker=4, reserved=0)
    decision = after(Policy(limits), seen(batch(300.0)))
    assert decision.desired == 12 and decision.workers(limits) == 3


def test_the_example_of_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs/autoscaling.md").read_text(encoding="utf-8")
    exec(page.partition("```python\n")[2].partition("```")[0], {})
    assert "20,000 s of work in batch need " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"minimum": 5, "maximum": 3}, "at least 5 and at most 3"),
        ({"minimum": -1}, "at least -1"),
        ({"minimum": 0, "maximum": 0}, "at most 0"),
        ({"slots_per_worker": 0}, "0 for each worker"),
        ({"period_s": 0.0}, "period_s is 0.0"),
        ({"hold_s": float("nan")}, "hold_s is nan"),
        ({"reserved": -1}, "-1 reserved"),
    ],
)
def test_limits_that_contradict_themselves_are_refused(values: dict[str, float], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Limits(**values)  # type: ignore[arg-type]


def test_numbers_that_are_none_are_refused() -> None:
    with pytest.raises(InputError, match=r"LaneLoad\.work_s is nan"):
        LaneLoad("batch", 60.0, work_s=float("nan"))
    with pytest.raises(InputError, match=r"Observation\.ready is -1"):
        Observation(0.0, (), ready=-1)
    with pytest.raises(InputError, match="target wait of lane batch is 0"):
        LaneLoad("batch", 0.0)
