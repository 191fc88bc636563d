"""Measures the parts of a job: blocks and merges in this process, messages on a real worker."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import redis
from celery import Celery
from threadpoolctl import threadpool_limits

import lepton_celery as lepton
from benchmarks.cases import Case, Task
from benchmarks.workloads import workload_of
from lepton_celery.config import Settings, load_settings
from lepton_celery.engines.celery.sending import canvas
from lepton_celery.engines.celery.sending.publisher import publisher_of
from lepton_celery.execution.block import run_blocks
from lepton_celery.execution.manifest import JobOptions
from lepton_celery.execution.merge import merge_stage
from lepton_celery.execution.outputs import create_outputs, discard, open_outputs
from lepton_celery.fleet.simulation.measured import Stage, Times
from lepton_celery.grid import BlockIndex, StageNumber
from lepton_celery.jobs.prepare import prepare
from lepton_celery.ledger import open_ledger
from lepton_celery.ledger.address import redis_py_url
from lepton_celery.local.server import RedisServer
from lepton_celery.local.stack import LocalStack
from lepton_celery.planning.batches import places_between
from lepton_celery.planning.options import PlanOptions
from lepton_celery.planning.plan import Plan
from lepton_celery.planning.planner import make_plan

_MESSAGES = Case("messages", "G2", (256, 256), (16, 16), ())
"""256 blocks of almost no work, so that messages and bookkeeping take the time."""
_NONE = Case("none", "G2", (16, 16), (16, 16), ())
"""A job of one such block, which costs what every job costs."""
_SLOTS = (512, 2)
"""Two numbers of workers to plan for: they make batches of one block and of 16 blocks."""
_SENT = 320
_RUNS = 3


@dataclass(frozen=True)
class Measured:
    """One job in this process, stage by stage."""

    block_s: tuple[tuple[float, ...], ...]
    """Seconds of each block."""
    block_bytes: tuple[float, ...]
    """Bytes that a block reads and writes."""
    merge_s: tuple[float, ...]
    """Seconds of the merge per merged block."""


def make(case: Case, work: Path) -> Task:
    """A new task of the case; makes the input if it is missing."""
    task = Task.new(case, work)
    if not task.source.exists():
        workload_of(task).make(task)
    return task


def in_process(case: Case, work: Path) -> Measured:
    """Time every block and every merge of a case, one after the other, once the first block has warmed up the process."""
    task = make(case, work)
    manifest = prepare(
        workload_of(task).graph(task), PlanOptions(block_shape=case.block), JobOptions(), Settings()
    ).manifest
    context, plan = manifest.context(), manifest.plan
    context.workspace.create()
    create_outputs(context)
    times: list[tuple[float, ...]] = []
    sizes, merges = [], []
    with threadpool_limits(1):
        for number, stage in enumerate(plan.stages):
            open_outputs(context, StageNumber(number))
            if number == 0:
                run_blocks(context, StageNumber(number), [BlockIndex(0)])
            took, moved = [], 0
            for block in stage.grid.indices():
                begun = time.perf_counter()
                timings = run_blocks(context, StageNumber(number), [block])
                took.append(time.perf_counter() - begun)
                moved += timings.read_bytes + timings.write_bytes
            times.append(tuple(took))
            sizes.append(moved / len(took))
            begun = time.perf_counter()
            if merge_stage(context, StageNumber(number)):
                raise ValueError(f"{case.name}: a stage that is repeated cannot be simulated; choose another workload")
            merges.append((time.perf_counter() - begun) / len(took))
    discard(context)
    shutil.rmtree(task.out)
    return Measured(tuple(times), tuple(sizes), tuple(merges))


def stages_of(plan: Plan, measured: Measured) -> list[Stage]:
    """The stages of a plan with measured times. The plan is of the measured graph, but its image may be larger.

    Only large plans have stages that combine partials; such a stage is assumed to cost per partial what a merge does.
    """
    found: list[Stage] = []
    plain = iter(zip(measured.block_s, measured.block_bytes, measured.merge_s, strict=True))
    per_block = 0.0
    for number, stage in enumerate(plan.stages):
        blocks = len(stage.grid)
        goes_on = number + 1 < len(plan.stages) and bool(plan.stages[number + 1].combines)
        if stage.combines:
            each = per_block * found[-1].blocks / blocks
            found.append(Stage(blocks, stage.batch_blocks, (each,), 0.0 if goes_on else per_block * blocks))
            continue
        times, size, per_block = next(plain)
        merge_s = 0.0 if goes_on else per_block * blocks
        found.append(Stage(blocks, stage.batch_blocks, times, merge_s, size))
    return found


def planned(case: Case, work: Path, workers: int) -> Plan:
    """The plan of a case for a number of workers. Only the header of its input is read."""
    task = Task(case, work, work / "planned")
    task.out.mkdir(exist_ok=True)
    return make_plan(workload_of(task).graph(task), PlanOptions(block_shape=case.block, workers=workers)).plan


@dataclass(frozen=True)
class _Run:
    seconds: float
    server_s: float
    """Processor time of the broker and ledger."""


class Real:
    """A local stack on which jobs run while the `with` block runs."""

    def __init__(self, work: Path, workers: int) -> None:
        self._stack = LocalStack(work / f"stack-{workers}", workers=workers, flower=False)
        self._work, self._workers = work, workers

    def __enter__(self) -> Self:
        self._stack.start()
        url = self._stack.broker_url
        self._app = lepton.create_app(load_settings({"LEPTON_SETTINGS": "local", "LEPTON_BROKER_URL": url}))
        publisher_of(self._app)
        self._server: redis.Redis = redis.Redis.from_url(redis_py_url(url))
        for _ in range(2 * self._workers):
            self.run(_NONE)
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.close()
        self._stack.stop()

    def run(self, case: Case, slots: int | None = None) -> _Run:
        """Run a job from `submit` to its end, planned for `slots` workers, by default for those of the stack."""
        task = make(case, self._work)
        graph = workload_of(task).graph(task)
        before, begun = self._cpu(), time.perf_counter()
        job = lepton.submit(graph, app=self._app, block_shape=case.block, workers=slots or self._workers)
        job.wait(300)
        seconds, server = time.perf_counter() - begun, self._cpu() - before
        shutil.rmtree(task.out, ignore_errors=True)
        return _Run(seconds, server)

    def median(self, case: Case, slots: int | None = None, runs: int = _RUNS) -> _Run:
        """The medians of several runs."""
        found = [self.run(case, slots) for _ in range(runs)]
        return _Run(statistics.median(run.seconds for run in found), statistics.median(run.server_s for run in found))

    def _cpu(self) -> float:
        found = self._server.info("cpu")
        return float(found["used_cpu_user"]) + float(found["used_cpu_sys"])


def times(real: Real, work: Path, runs: int = _RUNS) -> Times:
    """Measure what messages, blocks and jobs cost besides the blocks' own steps, on one worker.

    The costs are the differences between three jobs of almost no work: one message per block, one message per 16
    blocks, and a single block.
    """
    own = statistics.fmean(in_process(_MESSAGES, work).block_s[0])
    counts = [
        (sum(-(-len(stage.grid) // stage.batch_blocks) for stage in plan.stages), plan.blocks)
        for plan in (planned(_MESSAGES, work, slots) for slots in _SLOTS)
    ]
    none = real.median(_NONE, runs=runs)
    (many, few) = (real.median(_MESSAGES, slots, runs) for slots in _SLOTS)
    (messages, blocks), (batches, _) = counts
    message_s = (many.seconds - few.seconds) / (messages - batches)
    server_s = max(0.0, (many.server_s - few.server_s) / (messages - batches))
    block_s = (few.seconds - none.seconds - batches * message_s) / blocks - own
    server_block_s = (few.server_s - none.server_s - batches * server_s) / blocks
    send_s = sending(work)
    return Times(
        message_s=max(0.0, message_s - server_s - send_s),
        block_s=max(0.0, block_s - server_block_s),
        server_message_s=server_s,
        server_block_s=max(0.0, server_block_s),
        send_s=send_s,
        job_s=none.seconds - message_s,
    )


_WAVE = 16
"""Messages of a wave."""


def sending(work: Path) -> float:
    """Seconds to publish one message of a wave, on a server without workers."""
    with RedisServer(work / "sending", log=work / "sending.log") as server:
        settings = load_settings({"LEPTON_SETTINGS": "local", "LEPTON_BROKER_URL": server.url})
        app: Celery = lepton.create_app(settings)
        task = make(_MESSAGES, work)
        job = lepton.submit(workload_of(task).graph(task), app=app, block_shape=_MESSAGES.block, workers=_SLOTS[0])
        info, wave = open_ledger(settings.ledger).info(job.id), _WAVE
        begun = time.perf_counter()
        for at in range(0, _SENT, wave):
            canvas.send_alone(app, info, places_between(at, at + wave))
        took = (time.perf_counter() - begun) / _SENT
        job.cancel()
        shutil.rmtree(task.out)
    return took


def spread(values: Sequence[float]) -> str:
    """A distribution as text, in milliseconds: the median, and in brackets the 5th and 95th percentiles."""
    ordered = sorted(values)
    low, high = (ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.05, 0.95))
    return f"{1000 * statistics.median(ordered):.3g} ({1000 * low:.3g} .. {1000 * high:.3g})"
