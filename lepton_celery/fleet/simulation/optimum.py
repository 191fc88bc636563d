"""The least slot-hours with which the targets of a trace could have been met by somebody who knew it in advance.

It is the solution of a linear programme, and a lower bound of what any way to size the fleet needs. Time is in bins of
δ seconds:

    minimise    Σ_t δ n_t + u Σ_t x_t           slot-seconds, of which each start takes u x_t ≥ n_t - n_(t-1)
    slots that are started; whoever knows the trace orders them u seconds ahead n_t ≤ minimum for t < u
    but none before the trace begins minimum ≤ n_t ≤ maximum Σ_l (S_l,t - S_l,t-1) ≤ δ n_t               all lanes
    together get the work that the slots do S_l,t ≤ A_l,t                               none is done before it arrives
    S_l,t ≥ D_l,t - Y_l,t                       all is done by its deadline, but for what is late Y_l,t - Y_l,t-1 ≤
    D_l,t - D_l,t-1           which is late for good, and Y_l,end ≤ 0.05 D_l,end                      a twentieth of
    each lane's work, since the target is one of the 95th percentile S_l,end = A_l,end                           but
    done in the end

S_l,t is the work of lane l that is done by the end of bin t, A_l,t what has arrived, D_l,t what is due and Y_l,t what
is late, all of them sums since the beginning. It is a bound because whatever is rounded or left out makes it smaller:
slots and work can be divided, work arrives at the beginning of its bin and is due at the end, no batch is larger than
what is left, nothing is lost, and no stage waits for the merge of the one before it. A stage's work arrives with its
job, and is due when the last of its batches ends that may wait, if all stages before it waited as long.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from lepton_celery.fleet.simulation.measured import Stage, Times
from lepton_celery.fleet.simulation.trace import Arrival, Trace

_BINS = 1500
"""Largest number of bins."""
LATE_SHARE = 0.05
"""Share of a lane's work that may be late."""


class Optimum(NamedTuple):
    """What somebody who knew a trace in advance would need."""

    slot_seconds: float
    started: float
    """Slots that are started. None is stopped and started again within a start: keeping it would cost less."""


def offline_optimum(trace: Trace) -> Optimum | None:
    """The least slot-seconds of a trace; None if no fleet within its limits meets the targets."""
    import numpy as np
    from scipy.optimize import linprog
    from scipy.sparse import coo_array

    width = max(1.0, trace.until_s / _BINS)
    bins = math.ceil(trace.until_s / width)
    arrived, due = _amounts(trace, width, bins)
    lanes = len(trace.targets)
    # variables by bin: n, x, then S and Y of each lane
    count = (2 + 2 * lanes) * bins

    def at(kind: int, t: int) -> int:
        return kind * bins + t

    rows = _Rows()
    for t in range(bins):
        started = {at(0, t): 1.0, at(1, t): -1.0} | ({at(0, t - 1): -1.0} if t else {})
        rows.add(started, 0.0 if t else float(trace.minimum))
        done = {at(2 + lane, t): 1.0 for lane in range(lanes)}
        before = {at(2 + lane, t - 1): -1.0 for lane in range(lanes)} if t else {}
        rows.add(done | before | {at(0, t): -width}, 0.0)
        for lane in range(lanes):
            done_, late = 2 + lane, 2 + lanes + lane
            rows.add({at(done_, t): -1.0, at(late, t): -1.0}, -due[lane, t])
            new = due[lane, t] - (due[lane, t - 1] if t else 0.0)
            rows.add({at(late, t): 1.0} | ({at(late, t - 1): -1.0} if t else {}), new)
            if t:
                rows.add({at(done_, t - 1): 1.0, at(done_, t): -1.0}, 0.0)
                rows.add({at(late, t - 1): 1.0, at(late, t): -1.0}, 0.0)
    ahead = math.floor(trace.startup_s / width)
    lower, upper = np.zeros(count), np.full(count, np.inf)
    lower[:bins], upper[:bins] = trace.minimum, trace.maximum
    upper[:ahead] = trace.minimum
    for lane in range(lanes):
        upper[at(2 + lane, 0) : at(2 + lane, bins)] = arrived[lane]
        lower[at(2 + lane, bins - 1)] = arrived[lane, -1]
        upper[at(2 + lanes + lane, bins - 1)] = LATE_SHARE * due[lane, -1]
    cost = np.zeros(count)
    cost[:bins], cost[bins : 2 * bins] = width, trace.startup_s
    matrix = coo_array((rows.values, (rows.rows, rows.columns)), shape=(len(rows.bounds), count)).tocsr()
    found = linprog(cost, matrix, rows.bounds, bounds=np.column_stack([lower, upper]), method="highs")
    return Optimum(float(found.fun), float(found.x[bins : 2 * bins].sum())) if found.success else None


def smallest_fixed_fleet(trace: Trace) -> int:
    """The smallest number of slots that could meet every deadline if it never changed.

    It is the highest intensity of any interval, the work that arrives and is due within it by its length (F. Yao, A.
    Demers and S. Shenker, "A scheduling model for reduced CPU energy", FOCS 1995), in the same bins.
    """
    import numpy as np

    width = max(1.0, trace.until_s / _BINS)
    bins = math.ceil(trace.until_s / width)
    within = np.zeros((bins, bins))
    for arrival, stage, deadline in _deadlines(trace):
        begin, end = int(arrival.at / width), math.ceil(deadline / width)
        within[min(bins - 1, begin), min(bins - 1, end)] += slot_seconds(stage, trace.times)
    within = within[::-1].cumsum(axis=0)[::-1].cumsum(axis=1)
    lengths = np.subtract.outer(-np.arange(bins), -np.arange(bins)) + 1
    intensity = float((within / np.where(lengths > 0, lengths * width, np.inf)).max())
    return min(max(math.ceil(intensity), 1), trace.maximum)


def _deadlines(trace: Trace) -> Iterator[tuple[Arrival, Stage, float]]:
    """Each stage, with the time when the last of its batches ends that may wait, if all before it waited as long."""
    for arrival in trace.arrivals:
        deadline = arrival.at
        for stage in arrival.stages:
            deadline += trace.targets[arrival.lane] + _longest_batch_s(stage, trace.times)
            yield arrival, stage, deadline
            deadline += stage.merge_s


class _Rows:
    """Rows of a sparse matrix of inequalities."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.columns: list[int] = []
        self.values: list[float] = []
        self.bounds: list[float] = []

    def add(self, terms: dict[int, float], bound: float) -> None:
        """Σ value × variable ≤ bound."""
        self.rows += [len(self.bounds)] * len(terms)
        self.columns += terms
        self.values += terms.values()
        self.bounds.append(bound)


def _amounts(trace: Trace, width: float, bins: int) -> tuple[Any, Any]:
    """For each lane and bin the seconds of work that have arrived, and that are due."""
    import numpy as np

    lanes = {lane: number for number, lane in enumerate(trace.targets)}
    arrived, due = np.zeros((len(lanes), bins)), np.zeros((len(lanes), bins))
    for arrival, stage, deadline in _deadlines(trace):
        lane, work_s = lanes[arrival.lane], slot_seconds(stage, trace.times)
        arrived[lane, min(bins - 1, int(arrival.at / width))] += work_s
        due[lane, min(bins - 1, math.ceil(deadline / width))] += work_s
    return arrived.cumsum(axis=1), due.cumsum(axis=1)


def slot_seconds(stage: Stage, times: Times) -> float:
    """Expected seconds that slots spend on a stage: blocks, messages and the merge."""
    batches = math.ceil(stage.blocks / stage.batch_blocks)
    per_batch = times.message_s + times.send_s + times.server_message_s
    return stage.work_s + batches * per_batch + stage.blocks * (times.block_s + times.server_block_s) + stage.merge_s


def _longest_batch_s(stage: Stage, times: Times) -> float:
    blocks = min(stage.blocks, stage.batch_blocks)
    return blocks * (max(stage.block_s) + times.block_s + times.server_block_s) + times.message_s
