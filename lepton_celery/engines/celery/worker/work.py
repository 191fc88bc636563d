"""What a worker does with a message: ask the ledger, do the steps, tell the ledger.

A message is a hint. Whether there is anything to do, and who does it, is decided by the ledger alone, so messages may be
lost, late or twice.
"""

from __future__ import annotations

import logging
import os
import random
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from celery import Task

from lepton_celery.config import Settings
from lepton_celery.engines.celery.sending import canvas
from lepton_celery.engines.celery.sending.queues import lane_of, queue_of
from lepton_celery.engines.celery.worker import freed_memory
from lepton_celery.engines.celery.worker.batch import Batch
from lepton_celery.engines.celery.worker.failures import FINAL, PASSING, Failures, words
from lepton_celery.engines.celery.worker.lease_renewer import owner_of
from lepton_celery.engines.celery.worker.limits import TimeLimit, memory_limit
from lepton_celery.errors import (
    BrokerUnreachable,
    JobError,
    JobNotFound,
    LeptonError,
)
from lepton_celery.execution import seams
from lepton_celery.execution.block import run_blocks
from lepton_celery.execution.context import Context
from lepton_celery.execution.manifest import Manifest
from lepton_celery.execution.merge import merge_stage, missing_blocks
from lepton_celery.execution.outputs import discard, publish
from lepton_celery.execution.threads import one_thread
from lepton_celery.execution.timings import Timings
from lepton_celery.grid import Place, StageIndex, StageNumber
from lepton_celery.ledger import open_ledger
from lepton_celery.ledger.base import Ledger
from lepton_celery.ledger.heartbeat import Heartbeat
from lepton_celery.ledger.info import NO_PLACE, JobInfo, JobState
from lepton_celery.planning.ahead import can_run_ahead, places_before
from lepton_celery.planning.batches import batches, format_places, parse_places
from lepton_celery.planning.cost.keep import learn

log = logging.getLogger(__name__)

_OPEN_JOBS = 2
"""Jobs whose plans and files a process keeps open."""


class Process:
    """What one worker process keeps between messages: the ledger and the jobs it worked on last."""

    def __init__(self) -> None:
        self._ledgers: dict[str, Ledger] = {}
        self._jobs: OrderedDict[str, Manifest] = OrderedDict()
        self._contexts: dict[str, Context] = {}

    def ledger(self, settings: Settings) -> Ledger:
        if settings.ledger not in self._ledgers:
            self._ledgers[settings.ledger] = open_ledger(settings.ledger)
        return self._ledgers[settings.ledger]

    def job(self, ledger: Ledger, settings: Settings, job_id: str, *, inputs: bool = True) -> tuple[Manifest, Context]:
        """The manifest and the open files of a job; `inputs` tells whether these will be read."""
        if job_id not in self._jobs:
            if freed_memory.keep():
                freed_memory.give_back()  # of the job before, which may have ended elsewhere
            found = Manifest.from_json(ledger.manifest(job_id))
            if inputs:
                found.check_inputs()
            self._jobs[job_id] = found
            self._contexts[job_id] = found.context(
                tuple(Path(root) for root in settings.allowed_roots),
                settings.allowed_functions,
                kernels=settings.kernels,
            )
            while len(self._jobs) > _OPEN_JOBS:
                old, _ = self._jobs.popitem(last=False)
                del self._contexts[old]
        self._jobs.move_to_end(job_id)
        return self._jobs[job_id], self._contexts[job_id]

    def drop(self, job_id: str) -> None:
        """Close a job's files."""
        self._jobs.pop(job_id, None)
        self._contexts.pop(job_id, None)


_process = Process()


def process(task: Task[..., None], job_id: str, stage: StageNumber, text: str) -> None:
    """Do the blocks of one batch that have no receipt yet, and hand in their receipts; the last ones of a stage merge it."""
    work: _Work | None = _Work(task, job_id, stage, parse_places(text))
    while work is not None:
        work.do_blocks()
        work = work.end_stage()


def close(task: Task[..., None], job_id: str, stage: StageNumber) -> None:
    """Send the job's next wave; merge the stage if every block has its receipt and nobody has."""
    work: _Work | None = _Work(task, job_id, stage, [])
    assert work is not None
    work.fill_window()
    work = work.end_stage()
    while work is not None:
        work.do_blocks()
        work = work.end_stage()


@dataclass
class _Work:
    """What one message asks for, in one stage of a job."""

    task: Task[..., None]
    job_id: str
    stage: StageNumber
    places: list[Place]

    def __post_init__(self) -> None:
        self.settings: Settings = self.task.app.conf["lepton"]
        self.ledger = _process.ledger(self.settings)
        self.owner = owner_of(str(self.task.request.id), os.getpid())
        self.failures = Failures(self.task.app, self.ledger, self.settings, self.job_id, self.stage)

    def do_blocks(self) -> None:
        """Those that the ledger grants."""
        began = time.perf_counter()
        try:
            claim = self.ledger.claim(
                self.job_id,
                self.stage,
                self.places,
                owner=self.owner,
                lease_s=self.settings.lease_s,
                max_attempts=self.settings.max_attempts,
            )
        except JobNotFound:
            return  # forgotten meanwhile
        except BrokerUnreachable as error:
            self._retry(error)
        if not claim.active and self._do_ahead():
            return
        left = list(map(Place, claim.granted))
        stale = not claim.active
        try:
            if left or claim.exhausted:
                found, context = _process.job(self.ledger, self.settings, self.job_id)
                self.failures.exhausted(claim.exhausted, found, context)
            if left:
                batch = Batch(
                    self.ledger,
                    self.settings,
                    found,
                    context,
                    self.stage,
                    left,
                    self.owner,
                    {Place(place): times for place, times in claim.lost.items()},
                    self.failures,
                    began,
                )
                batch.run()
                stale = batch.stale
        except PASSING as error:
            self.ledger.release(self.job_id, self.stage, left, owner=self.owner, count_attempt=False)
            # else its files were taken away under this batch: the job has ended, or others have done these blocks and it is
            # being published
            if _is_at_work(self.ledger, self.job_id) and not self._done_elsewhere(left):
                if isinstance(error, FINAL) or self.task.request.retries >= self.settings.max_retries:
                    self.failures.fail(str(error), left[0] if left else NO_PLACE)
                    return
                self._retry(error)
            stale = True
        except Exception as error:  # the job cannot even be opened here
            log.exception("job %s failed in stage %d", self.job_id, self.stage)
            self.failures.fail(words(error))
            stale = True
        if stale:
            _clear_up(self.ledger, self.settings, self.job_id)

    def _done_elsewhere(self, places: list[Place]) -> bool:
        """Whether blocks that failed here have their receipts all the same."""
        return bool(places) and self.ledger.receipts(self.job_id, self.stage, places) == places

    def _do_ahead(self) -> bool:
        """Blocks of the next stage, those whose inputs the current one has left already; whether that is what these are.

        Without leases: what is not done here is done with its stage, and what is done twice is the same.
        """
        before, began = self.stage - 1, time.perf_counter()
        try:
            info = self.ledger.info(self.job_id)
            if info.state is not JobState.RUNNING or info.stage != before:
                return False
            found, context = _process.job(self.ledger, self.settings, self.job_id)
            plan = found.plan
            if self.stage >= len(plan.stages) or not can_run_ahead(plan, StageIndex(self.stage)):
                return False
            done: list[Place] = []
            timings = Timings()
            with (
                one_thread(),
                memory_limit(self.settings.memory_limit_bytes),
                TimeLimit(self.settings.block_limit_s) as limit,
            ):
                for box in plan.stages[self.stage].boxes(self.places):
                    wanted = places_before(plan, StageIndex(self.stage), box)
                    if self.ledger.receipts(self.job_id, before, wanted) != wanted:
                        continue
                    limit.begin()
                    run_blocks(context, self.stage, box, timings=timings)
                    done += map(plan.stages[self.stage].tiling.place, box)
            if done:
                found.journal.received(self.stage, done)
                stats = {**timings.stats(), "batches": 1.0, "batch_s": time.perf_counter() - began}
                if not self.ledger.commit_ahead(self.job_id, before, done, stats=stats):
                    # the stage has opened meanwhile
                    self.ledger.commit(self.job_id, self.stage, done, owner=self.owner, stats=stats)
        except (
            Exception
        ) as error:  # whatever it is, it will show again when the stage is at work, and be dealt with there
            log.warning("job %s: blocks of stage %d not done ahead: %s", self.job_id, self.stage, words(error))
        return True

    def fill_window(self) -> None:
        """Send the next waves."""
        try:
            info = self.ledger.info(self.job_id)
            if info.state is not JobState.RUNNING or info.stage != self.stage:
                _clear_up(self.ledger, self.settings, self.job_id)  # should the worker that ended it have died before
                return
            found, _ = _process.job(self.ledger, self.settings, self.job_id)
            canvas.fill_window(self.task.app, self.ledger, self.settings, info, found.plan)
        except JobNotFound:
            return
        except PASSING as error:
            self._passing(error)
        except Exception as error:
            log.exception("job %s: stage %d cannot be sent", self.job_id, self.stage)
            self.failures.fail(words(error))

    def end_stage(self) -> _Work | None:
        """Merge the stage if every block has its receipt.

        Returns:
            The first batch of the next stage.
        """
        fence: int | None = None
        settings, ledger = self.settings, self.ledger
        try:
            fence = ledger.begin_merge(self.job_id, self.stage, owner=self.owner, lease_s=settings.lease_s)
            if fence is None:
                return None
            info = ledger.info(self.job_id)
            if info.merge_attempts > settings.max_attempts + settings.max_retries:
                self.failures.fail(
                    f"its merge was begun {info.merge_attempts - 1} times and never ended; the workers' logs tell more"
                )
                return None
            found, context = _process.job(ledger, settings, self.job_id)
            renew = partial(ledger.renew_merge, self.job_id, self.stage, fence=fence, lease_s=settings.lease_s)
            with (
                Heartbeat(renew, settings.lease_s / 3),
                one_thread(),
                memory_limit(settings.memory_limit_bytes),
                TimeLimit(settings.block_limit_s) as limit,
            ):
                limit.begin()
                following = self._merge(info, found, context, fence)
            if following is not None:
                return self._open(replace(info, stage=following), found)
        except JobNotFound:
            return None
        except PASSING as error:
            if fence is not None:
                ledger.release_merge(self.job_id, self.stage, fence=fence)
            self._passing(error)
            return None
        except Exception as error:
            log.exception("job %s failed while merging stage %d", self.job_id, self.stage)
            self.failures.fail(words(error))
        _clear_up(ledger, settings, self.job_id)
        return None

    def _merge(self, info: JobInfo, found: Manifest, context: Context, fence: int) -> StageNumber | None:
        """Merge the stage; the number of the next one if there is one and this call opened it."""
        plan, ledger, job_id, stage = found.plan, self.ledger, self.job_id, self.stage
        found.check_inputs()
        missing = missing_blocks(context, stage)
        if missing:  # a receipt without its partial: trust what is there, not what was said
            log.warning("job %s stage %d: %d blocks left no partial; done again", job_id, stage, len(missing))
            at = plan.stages[info.stage_index]
            places = sorted(map(at.tiling.place, missing))
            if ledger.reopen(job_id, stage, places, fence=fence):
                canvas.send_wave(self.task.app, info, batches(at, plan.workers, places))
            return None
        following = plan.following(stage, again=merge_stage(context, stage))
        if following is not None:
            opened = plan.stage_of(following)
            found.journal.opened(following)
            is_mine = ledger.commit_merge(
                job_id, stage, fence=fence, next_blocks=len(opened.grid), next_stage=following
            )
            return following if is_mine else None
        if not ledger.begin_publish(job_id, stage, fence=fence):
            return None  # cancelled or paused, or another merge took over: it publishes
        publish(context, found.files, overwrite=found.options.overwrite)
        result = found.result(seams.measure(context))
        if ledger.commit_merge(job_id, stage, fence=fence, next_blocks=None, result=result):
            learn(ledger, self.settings.cost_profile, plan, job_id)  # nobody waits for this any more
        return None

    def _open(self, info: JobInfo, found: Manifest) -> _Work | None:
        """Send the next stage, but for its first batch, which is done here: the files are open, and no message need come."""
        kept = canvas.fill_window(self.task.app, self.ledger, self.settings, info, found.plan, keep=True)
        return _Work(self.task, self.job_id, info.stage, kept) if kept else None

    def _passing(self, error: Exception) -> None:
        if isinstance(error, FINAL) or self.task.request.retries >= self.settings.max_retries:
            self.failures.fail(str(error))
            return
        self._retry(error)

    def _retry(self, error: Exception) -> NoReturn:
        """Try again later: 2, 4, 8 … up to 30 s, with jitter, so that workers do not come back together."""
        wait = min(30.0, 2.0 ** (1 + int(self.task.request.retries)))  # RabbitMQ delays by whole seconds, from 1
        raise self.task.retry(
            args=self._message(),
            exc=error,
            countdown=random.uniform(wait / 2, wait),
            max_retries=self.settings.max_retries + 1,
            queue=queue_of(lane_of(self.task.request.delivery_info)),  # a delayed message does not tell by itself
        )

    def _message(self) -> tuple[Any, ...]:
        """What the message asks for, which may have come to another stage meanwhile."""
        text = (format_places(self.places),) if self.task.name == canvas.PROCESS else ()
        return (self.job_id, self.stage, *text)


def tidy(task: Task[..., None], job_id: str) -> None:
    """Remove what a job that ended long ago has left: files, and its entry in the ledger."""
    settings: Settings = task.app.conf["lepton"]
    ledger = _process.ledger(settings)
    try:
        info = ledger.info(job_id)
        if info.state not in (JobState.RUNNING, JobState.PAUSED):
            _discard(ledger, settings, job_id)
    except JobNotFound:
        return
    except LeptonError as error:  # of another release, or outside the allowed folders: nothing here can remove them
        log.warning("what job %s may have left on disk stays: %s", job_id, error)
    ledger.forget(job_id)


def _is_at_work(ledger: Ledger, job_id: str) -> bool:
    try:
        return ledger.info(job_id).state in (JobState.RUNNING, JobState.PAUSED)
    except JobNotFound:
        return False


def _clear_up(ledger: Ledger, settings: Settings, job_id: str) -> None:
    """Remove what was written while the job was cancelled; a failed one keeps its files, so that it can be resumed."""
    try:
        state = ledger.info(job_id).state
    except JobNotFound:
        return
    if state in (JobState.DONE, JobState.CANCELLED):
        _discard(ledger, settings, job_id)
    elif state is JobState.FAILED:
        _process.drop(job_id)


def _discard(ledger: Ledger, settings: Settings, job_id: str) -> None:
    """Remove the parts of a job's outputs and its workspace."""
    try:
        _, context = _process.job(ledger, settings, job_id, inputs=False)
    except JobError:
        return
    discard(context)
    _process.drop(job_id)
