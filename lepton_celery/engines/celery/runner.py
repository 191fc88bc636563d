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
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from celery import Task

from lepton_celery import costs, manifest, seams, steps
from lepton_celery.batches import batches, format_blocks, parse_blocks
from lepton_celery.config import Settings
from lepton_celery.engines.celery import canvas
from lepton_celery.engines.celery.brokers import lane_of, queue_of
from lepton_celery.engines.celery.failures import MOST_PIECES, Failures, is_certain, words
from lepton_celery.engines.celery.keeper import owner_of
from lepton_celery.engines.celery.limits import TimeLimit, memory_limit, one_thread
from lepton_celery.errors import (
    BrokerUnreachable,
    JobError,
    JobNotFound,
    LeptonError,
    OutputExists,
    StoreError,
    StoreNotFound,
)
from lepton_celery.ledger import open_ledger
from lepton_celery.ledger.base import JobInfo, JobState, Ledger
from lepton_celery.ledger.heartbeat import Heartbeat
from lepton_celery.plan import can_be_cut
from lepton_celery.tally import Tally

log = logging.getLogger(__name__)

PASSING = (StoreError, BrokerUnreachable)
"""Errors that may pass by themselves: these are tried again, the whole batch …"""

FINAL = (StoreNotFound, OutputExists)
"""… but not these of them: what is not there, or in the way, stays so, and the job ends."""

_COMMIT_EVERY_S = 0.25
"""Receipts of small blocks are handed in together, at least this often."""

_OPEN_JOBS = 2
"""Jobs whose plans and files a process keeps open."""


class Process:
    """What one worker process keeps between messages: the ledger and the jobs it worked on last."""

    def __init__(self) -> None:
        self._ledgers: dict[str, Ledger] = {}
        self._jobs: OrderedDict[str, manifest.Manifest] = OrderedDict()
        self._contexts: dict[str, steps.Context] = {}

    def ledger(self, settings: Settings) -> Ledger:
        if settings.ledger not in self._ledgers:
            self._ledgers[settings.ledger] = open_ledger(settings.ledger)
        return self._ledgers[settings.ledger]

    def job(
        self, ledger: Ledger, settings: Settings, job_id: str, *, inputs: bool = True
    ) -> tuple[manifest.Manifest, steps.Context]:
        """The manifest and the open files of a job; `inputs` tells whether these will be read."""
        if job_id not in self._jobs:
            found = manifest.Manifest.from_json(ledger.manifest(job_id))
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


def process(task: Task[..., None], job_id: str, stage: int, text: str) -> None:
    """Do the blocks of one batch that have no receipt yet, and hand in their receipts; the last ones of a stage merge it."""
    work: _Work | None = _Work(task, job_id, stage, parse_blocks(text))
    while work is not None:
        work.do_blocks()
        work = work.end_stage()


def close(task: Task[..., None], job_id: str, stage: int) -> None:
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
    stage: int
    places: list[int]

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
        left = list(claim.granted)
        stale = not claim.active
        try:
            if left or claim.exhausted:
                found, context = _process.job(self.ledger, self.settings, self.job_id)
                self.failures.exhausted(claim.exhausted, found, context)
            if left:
                batch = _Batch(
                    self.ledger,
                    self.settings,
                    found,
                    context,
                    self.stage,
                    left,
                    self.owner,
                    claim.lost,
                    self.failures,
                    began,
                )
                batch.run()
                stale = batch.stale
        except PASSING as error:
            self.ledger.release(self.job_id, self.stage, left, owner=self.owner, count_attempt=False)
            if _is_at_work(self.ledger, self.job_id):  # else its files were taken away under this batch
                if isinstance(error, FINAL) or self.task.request.retries >= self.settings.max_retries:
                    self.failures.fail(str(error), left[0] if left else -1)
                    return
                self._retry(error)
            stale = True
        except Exception as error:  # the job cannot even be opened here
            log.exception("job %s failed in stage %d", self.job_id, self.stage)
            self.failures.fail(words(error))
            stale = True
        if stale:
            _clear_up(self.ledger, self.settings, self.job_id)

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
            The next stage, where it is so small that it is done at once.
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
                return self._open(found, following)
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

    def _merge(self, info: JobInfo, found: manifest.Manifest, context: steps.Context, fence: int) -> int | None:
        """Merge the stage; the number of the next one if there is one and this call opened it."""
        plan, ledger, job_id, stage = found.plan, self.ledger, self.job_id, self.stage
        found.check_inputs()
        missing = steps.missing_blocks(context, stage)
        if missing:  # a receipt without its partial: trust what is there, not what was said
            log.warning("job %s stage %d: %d blocks left no partial; done again", job_id, stage, len(missing))
            at = plan.stages[info.stage_index]
            places = sorted(map(at.order.place, missing))
            if ledger.reopen(job_id, stage, places, fence=fence):
                canvas.send_wave(self.task.app, info, batches(at, plan.workers, places))
            return None
        following = plan.following(stage, again=steps.merge_stage(context, stage))
        if following is not None:
            opened = plan.stages[plan.place(following)[0]]
            found.journal.opened(following)
            is_mine = ledger.commit_merge(
                job_id, stage, fence=fence, next_blocks=len(opened.grid), next_stage=following
            )
            return following if is_mine else None
        if not ledger.begin_publish(job_id, stage, fence=fence):
            return None  # cancelled or paused, or another merge took over: it publishes
        steps.publish(context, found.files, overwrite=found.overwrite)
        result = found.result(seams.measure(context))
        costs.learn(ledger, self.settings.cost_profile, plan, job_id)
        if ledger.commit_merge(job_id, stage, fence=fence, next_blocks=None, result=result):
            context.workspace.discard()
            _process.drop(job_id)
        return None

    def _open(self, found: manifest.Manifest, following: int) -> _Work | None:
        """Send the next stage; one that is a single batch is done here, without a message."""
        stage = found.plan.stages[found.plan.place(following)[0]]
        everything = batches(stage, found.plan.workers, range(len(stage.grid)))[:2]
        if len(everything) == 1:
            count = len(stage.grid)
            start, stop = self.ledger.take(self.job_id, following, count=count, window=count)
            return _Work(self.task, self.job_id, following, list(range(start, stop))) if stop > start else None
        info = self.ledger.info(self.job_id)
        if info.stage == following:
            canvas.fill_window(self.task.app, self.ledger, self.settings, info, found.plan)
        return None

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
        text = (format_blocks(self.places),) if self.task.name == canvas.PROCESS else ()
        return (self.job_id, self.stage, *text)


@dataclass
class _Batch:
    """The blocks of one message, done one after the other."""

    ledger: Ledger
    settings: Settings
    found: manifest.Manifest
    context: steps.Context
    stage: int
    left: list[int]
    """Places of the blocks without a receipt, in order."""
    owner: str
    lost: dict[int, int]
    """How often blocks were lost before, by their places."""
    failures: Failures
    began: float
    """When its message was taken up, of `perf_counter`."""
    stale: bool = False
    """Whether the job ended, or went on, while this was at work."""

    def run(self) -> None:
        """Do them; blocks that fail are sent again or given up, passing errors are raised."""
        settings, job_id = self.settings, self.found.job_id
        suspects = [block for block in self.left if block in self.lost] if len(self.left) > 1 else []
        if suspects:  # one of them may take its worker down again: each goes alone
            self.ledger.release(job_id, self.stage, suspects, owner=self.owner, count_attempt=False)
            self.left[:] = [block for block in self.left if block not in self.lost]
            self.failures.again(suspects)
        renew = partial(self.ledger.renew, job_id, self.stage, owner=self.owner, lease_s=settings.lease_s)
        failed: list[int] = []
        with (
            Heartbeat(renew, settings.lease_s / 3) as heartbeat,
            one_thread(),
            memory_limit(settings.memory_limit_bytes),
            TimeLimit(settings.block_limit_s) as limit,
        ):
            self._do(heartbeat, limit, failed)
        self.stale = self.stale or heartbeat.lost.is_set()
        self.failures.again(failed)

    def _do(self, heartbeat: Heartbeat, limit: TimeLimit, failed: list[int]) -> None:
        receipts = _Receipts(self)
        stage = self.found.plan.stages[self.found.plan.place(self.stage)[0]]
        boxes = stage.boxes(self.left)
        while boxes:
            if heartbeat.lost.is_set():
                break  # cancelled, or given to another worker
            box = boxes.pop(0)
            places = [stage.order.place(block) for block in box]
            limit.begin()
            try:
                if len(box) == 1:
                    self._run_block(box[0], places[0], receipts.tally)
                else:
                    steps.run_blocks(self.context, self.stage, box, tally=receipts.tally)
            except PASSING:
                receipts.hand_in()
                raise
            except Exception as error:  # a user's function may raise anything
                if len(box) == 1:
                    self._failed(places[0], error, failed)
                else:  # one of them is to blame, or there are too many for the memory
                    boxes[:0] = [[block] for block in box]
                continue
            receipts.add(places)
        receipts.hand_in()

    def _run_block(self, block: int, place: int, tally: Tally) -> None:
        """One block, in pieces if that is what it takes."""
        pieces, lost = 1, self.lost.get(place, 0)
        if lost > 1 and not self.ledger.reason(self.found.job_id, place):
            pieces = min(
                MOST_PIECES, 4 ** (lost - 1)
            )  # its worker died twice without a word: for want of memory, perhaps
        while True:
            try:
                steps.run_block(self.context, self.stage, block, pieces=pieces, tally=tally)
                return
            except MemoryError:
                stage_index, _ = self.found.plan.place(self.stage)
                if pieces >= MOST_PIECES or not can_be_cut(self.found.plan, stage_index):
                    raise
                pieces *= 4
                log.warning("job %s: block %d needs too much memory; in %d pieces", self.found.job_id, block, pieces)

    def _failed(self, place: int, error: Exception, failed: list[int]) -> None:
        log.warning("job %s: block %d of stage %d failed", self.found.job_id, place, self.stage, exc_info=error)
        self.left.remove(place)
        if is_certain(error):
            self.failures.give_up(place, words(error), self.found, self.context)
            return
        self.ledger.release(
            self.found.job_id, self.stage, [place], owner=self.owner, count_attempt=True, reason=words(error)
        )
        failed.append(place)


class _Receipts:
    """Receipts of a batch's blocks, handed in several at a time."""

    def __init__(self, batch: _Batch) -> None:
        self._batch = batch
        self.tally = Tally()
        """What the blocks took whose receipts are next."""
        self._done: list[int] = []
        self._batches = 1.0
        self._counted = batch.began
        self._handed_in = time.monotonic()

    def add(self, places: list[int]) -> None:
        """Blocks are done; their receipts go now or soon."""
        self._done += places
        if time.monotonic() - self._handed_in >= _COMMIT_EVERY_S:
            self.hand_in()

    def hand_in(self) -> None:
        """Write the receipts down beside the outputs, then in the ledger."""
        batch = self._batch
        if self._done:
            batch.found.journal.received(batch.stage, self._done)
            fresh = batch.ledger.commit(
                batch.found.job_id, batch.stage, self._done, owner=batch.owner, stats=self._stats()
            )
            batch.stale = batch.stale or not fresh
            done = set(self._done)
            batch.left[:] = [block for block in batch.left if block not in done]
        self._done, self.tally, self._handed_in = [], Tally(), time.monotonic()

    def _stats(self) -> dict[str, float]:
        """The blocks' figures, and the time of the batch since its last receipts, or since it began."""
        now = time.perf_counter()
        stats = {**self.tally.stats(), "batches": self._batches, "batch_s": now - self._counted}
        self._batches, self._counted = 0.0, now
        return stats


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
    steps.discard(context)
    _process.drop(job_id)
