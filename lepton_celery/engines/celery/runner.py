"""What a worker does with a message: ask the ledger, do the steps, tell the ledger.

A message is a hint. Whether there is anything to do, and who does it, is decided by the ledger alone, so messages may be
lost, late or twice.
"""

from __future__ import annotations

import logging
import random
import time
from collections import OrderedDict
from functools import partial
from pathlib import Path

from celery import Task
from threadpoolctl import threadpool_limits

from lepton_celery import manifest, seams, steps
from lepton_celery.config import Settings
from lepton_celery.engines.celery import canvas
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
from lepton_celery.ledger.base import JobState, Ledger
from lepton_celery.ledger.heartbeat import Heartbeat

log = logging.getLogger(__name__)

PASSING = (StoreError, BrokerUnreachable)
"""Errors that may pass by themselves: these are tried again, all others end the job …"""

FINAL = (StoreNotFound, OutputExists)
"""… and so do these of them: what is not there, or in the way, stays so."""

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

    def job(self, ledger: Ledger, settings: Settings, job_id: str) -> tuple[manifest.Manifest, steps.Context]:
        """The manifest and the open files of a job."""
        if job_id not in self._jobs:
            found = manifest.Manifest.from_json(ledger.manifest(job_id))
            self._jobs[job_id] = found
            self._contexts[job_id] = found.context(
                tuple(Path(root) for root in settings.allowed_roots), settings.allowed_functions
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
    """Do the blocks of one batch that have no receipt yet, and hand in their receipts."""
    settings: Settings = task.app.conf["lepton"]
    ledger = _process.ledger(settings)
    owner = str(task.request.id)
    blocks = canvas.parse_blocks(text)
    try:
        claim = ledger.claim(
            job_id, stage, blocks, owner=owner, lease_s=settings.lease_s, max_attempts=settings.max_attempts
        )
    except JobNotFound:
        return  # forgotten meanwhile
    except BrokerUnreachable as error:
        _retry(task, settings, error)
    if claim.exhausted:
        block = claim.exhausted[0]
        _fail(ledger, settings, job_id, f"it took its worker down {settings.max_attempts} times", stage, block)
    if not claim.granted:
        return
    left = list(claim.granted)
    renew = partial(ledger.renew, job_id, stage, owner=owner, lease_s=settings.lease_s)
    try:
        with Heartbeat(renew, settings.lease_s / 3) as heartbeat, threadpool_limits(1):
            _, context = _process.job(ledger, settings, job_id)
            _do_blocks(ledger, context, job_id, stage, left, owner, heartbeat)
    except PASSING as error:
        ledger.release(job_id, stage, left, owner=owner, count_attempt=False)
        if ledger.info(job_id).state is JobState.RUNNING:  # else its files were taken away under this batch
            if isinstance(error, FINAL) or task.request.retries >= settings.max_retries:
                _fail(ledger, settings, job_id, str(error), stage, left[0] if left else -1)
                return
            _retry(task, settings, error)
    except Exception as error:  # a user's function may raise anything; the job ends with its words
        log.exception("job %s failed in stage %d", job_id, stage)
        _fail(ledger, settings, job_id, _words(error), stage, left[0] if left else -1)
    if ledger.info(job_id).state is not JobState.RUNNING:
        _discard(ledger, settings, job_id)  # what was written while the job ended


def _do_blocks(
    ledger: Ledger,
    context: steps.Context,
    job_id: str,
    stage: int,
    left: list[int],
    owner: str,
    heartbeat: Heartbeat,
) -> None:
    """Do blocks from the front of `left`, which always holds those without a receipt."""
    done: list[int] = []
    stats: dict[str, float] = {}
    handed_in = time.monotonic()
    for block in list(left):
        if heartbeat.lost.is_set():
            break  # cancelled, or given to another worker
        for name, figure in steps.run_block(context, stage, block).stats().items():
            stats[name] = stats.get(name, 0.0) + figure
        done.append(block)
        if time.monotonic() - handed_in >= _COMMIT_EVERY_S or block == left[-1]:
            ledger.commit(job_id, stage, done, owner=owner, stats=stats)
            del left[: len(done)]
            done, stats, handed_in = [], {}, time.monotonic()


def close(task: Task[..., None], job_id: str, stage: int) -> None:
    """Send the job's next wave; merge the stage if every block has its receipt."""
    settings: Settings = task.app.conf["lepton"]
    ledger = _process.ledger(settings)
    try:
        info = ledger.info(job_id)
        if info.state is not JobState.RUNNING or info.stage != stage:
            return
        found, context = _process.job(ledger, settings, job_id)
        batch_blocks = found.plan.stages[found.plan.place(stage)[0]].batch_blocks
        canvas.fill_window(task.app, ledger, settings, job_id, stage, batch_blocks)
        fence = ledger.begin_merge(job_id, stage, owner=str(task.request.id), lease_s=settings.lease_s)
    except JobNotFound:
        return
    except BrokerUnreachable as error:
        _retry(task, settings, error)
    if fence is None:
        return
    renew = partial(ledger.renew_merge, job_id, stage, fence=fence, lease_s=settings.lease_s)
    try:
        with Heartbeat(renew, settings.lease_s / 3), threadpool_limits(1):
            _merge(task, ledger, settings, found, context, job_id, stage, fence)
    except PASSING as error:
        ledger.release_merge(job_id, stage, fence=fence)
        if ledger.info(job_id).state is JobState.RUNNING:
            if isinstance(error, FINAL) or task.request.retries >= settings.max_retries:
                _fail(ledger, settings, job_id, str(error), stage, -1)
                return
            _retry(task, settings, error)
    except Exception as error:
        log.exception("job %s failed while merging stage %d", job_id, stage)
        _fail(ledger, settings, job_id, _words(error), stage, -1)
    if ledger.info(job_id).state in (JobState.FAILED, JobState.CANCELLED):
        _discard(ledger, settings, job_id)


def _merge(
    task: Task[..., None],
    ledger: Ledger,
    settings: Settings,
    found: manifest.Manifest,
    context: steps.Context,
    job_id: str,
    stage: int,
    fence: int,
) -> None:
    plan = found.plan
    batch_blocks = plan.stages[plan.place(stage)[0]].batch_blocks
    missing = steps.missing_blocks(context, stage)
    if missing and fence > stage + 1 + len(plan.stages) + settings.max_attempts:
        _fail(ledger, settings, job_id, f"{len(missing)} blocks have receipts but left no partials", stage, missing[0])
        return
    if missing:  # a receipt without its partial: trust what is there, not what was said
        log.warning("job %s stage %d: %d blocks left no partial; done again", job_id, stage, len(missing))
        if ledger.reopen(job_id, stage, missing, fence=fence):
            canvas.send_wave(task.app, ledger.info(job_id), missing, batch_blocks)
        return
    following = plan.following(stage, again=steps.merge_stage(context, stage))
    if following is not None:
        opened = plan.stages[plan.place(following)[0]]
        if ledger.commit_merge(job_id, stage, fence=fence, next_blocks=len(opened.grid), next_stage=following):
            canvas.fill_window(task.app, ledger, settings, job_id, following, opened.batch_blocks)
        return
    if not ledger.renew_merge(job_id, stage, fence=fence, lease_s=settings.lease_s):
        return  # cancelled, or another merge took over: it publishes
    steps.publish(context, found.files, overwrite=found.overwrite)
    result = found.result(seams.measure(context))
    if ledger.commit_merge(job_id, stage, fence=fence, next_blocks=None, result=result):
        context.workspace.discard()
        _process.drop(job_id)


def _fail(ledger: Ledger, settings: Settings, job_id: str, reason: str, stage: int, block: int) -> None:
    try:
        info = ledger.info(job_id)
        if info.stage != stage:
            return  # late: others have done this block, and the stage is over
    except JobNotFound:
        return
    where = f"block {block} of stage {info.place}: " if block >= 0 else f"stage {info.place}: "
    if ledger.fail(job_id, where + reason, stage=stage, block=block):
        _discard(ledger, settings, job_id)


def _discard(ledger: Ledger, settings: Settings, job_id: str) -> None:
    """Remove what a job that did not end well has written."""
    try:
        _, context = _process.job(ledger, settings, job_id)
    except JobError:
        return
    steps.discard(context)
    _process.drop(job_id)


def _words(error: Exception) -> str:
    """The reason a person reads."""
    return str(error) if isinstance(error, LeptonError) else f"{type(error).__name__}: {error}"


def _retry(task: Task[..., None], settings: Settings, error: Exception) -> None:
    """Try the message again later: 1, 2, 4 … up to 30 s, with jitter, so that workers do not come back together."""
    wait = min(30.0, 2.0 ** int(task.request.retries))
    raise task.retry(exc=error, countdown=random.uniform(wait / 2, wait), max_retries=settings.max_retries + 1)
