"""Handles messages: claims blocks from the ledger, does them, and commits their receipts.

A message is a hint. The ledger alone decides whether there is work and who does it, so messages may be lost, late or
repeated.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from celery import Task
from celery.exceptions import Ignore

from lepton_celery import log_fields
from lepton_celery.config import Settings
from lepton_celery.engines.celery.sending import canvas, turns
from lepton_celery.engines.celery.sending.queues import job_queue_of, lane_of
from lepton_celery.engines.celery.worker import failures, log_lines
from lepton_celery.engines.celery.worker.batch import Batch
from lepton_celery.engines.celery.worker.lease_renewer import owner_of
from lepton_celery.engines.celery.worker.merge import merge
from lepton_celery.engines.celery.worker.open_jobs import OpenJobs
from lepton_celery.engines.celery.worker.received import accepted
from lepton_celery.engines.celery.worker.stage import OpenStage, guarded
from lepton_celery.errors import BrokerUnreachable, JobNotFound, LeptonError, OtherRelease, StoreError, reason_of
from lepton_celery.execution.freed_memory import free_arrays_of
from lepton_celery.grid import Place, StageNumber
from lepton_celery.ledger import Claim, JobState, open_ledger
from lepton_celery.ledger.info import NO_PLACE, stage_label
from lepton_celery.planning.batches import format_places
from lepton_celery.planning.plan import Plan
from lepton_celery.text import logger

log = logger(__name__)

_open_jobs = OpenJobs()

_CHECKED_BATCHES = 16
"""Largest number of lost batches that a check sends again."""

_HANDED_BACK_S = (5.0, 15.0)
"""Shortest and longest time, in seconds, after which a message that was handed back can be taken again."""


def process(task: Task[..., None], *args: Any, **keywords: Any) -> None:
    """Do the blocks of a batch that have no receipt yet; the batch that brings a stage's last receipt merges the stage."""
    log_lines.begin()
    if (arguments := accepted(task, args, keywords)) is None:
        return
    job_id, number, places = arguments
    log_fields.begin(job=job_id, blocks=format_places(places))
    work = StageWork(task, job_id, StageNumber(number), places)
    _work_on(work)
    work.send_turns()


def close(task: Task[..., None], *args: Any, **keywords: Any) -> None:
    """Send the lane's next waves, and merge the stage if every block has its receipt and nobody has merged it.

    With a place as third argument, this is a check: the blocks before it that have neither a receipt nor a lease are sent
    again.
    """
    log_lines.begin()
    if (arguments := accepted(task, args, keywords)) is None:
        return
    job_id, number, *places = arguments
    log_fields.begin(job=job_id)
    log_lines.tell(f"job {job_id} checked" if places else f"job {job_id}, end of a wave")
    work = StageWork(task, job_id, StageNumber(number), [])
    if work.send_lost(*places):
        _work_on(work.end_stage())
    work.send_turns()


def tidy(task: Task[..., None], *args: Any, **keywords: Any) -> None:
    """Discard the files of jobs that ended long ago, and forget the jobs."""
    log_lines.begin()
    if (arguments := accepted(task, args, keywords)) is None:
        return
    settings: Settings = task.app.conf["lepton"]
    ledger = open_ledger(settings.ledger)
    forgotten = 0
    for job_id in arguments[0].split(","):
        if not ledger.expire(job_id, older_s=settings.retention_s):
            continue  # it has not ended, or was resumed meanwhile
        log_fields.begin(job=job_id)
        try:
            _open_jobs.discard(ledger, settings, job_id)
        except BrokerUnreachable:
            raise
        except Exception as error:  # another release wrote it, it is damaged, or outside the allowed folders
            log.warning("job %s: its files are not removed: %s", job_id, reason_of(error))
        forgotten += ledger.forget_ended(job_id)
    log_fields.begin()
    log_lines.tell(f"{forgotten} jobs that ended long ago are forgotten")


def _tell(what: str, job_id: str, error: Exception) -> None:
    """Log an error; with its traceback, unless this package raised it and its message says all."""
    log.error("job %s %s: %s", job_id, what, error, exc_info=None if isinstance(error, LeptonError) else error)


def _work_on(work: StageWork | None) -> None:
    """Do the blocks and end the stage; go on with the next stage if its first batch is reserved for this process."""
    while work is not None:
        work.do_blocks()
        work = work.end_stage()


@dataclass
class StageWork:
    """The work that a message asks for, in one stage of a job."""

    task: Task[..., None]
    job_id: str
    number: StageNumber
    places: list[Place]
    is_asked_for: bool = True
    """Whether the message asks for this stage, and not for one before it."""

    def __post_init__(self) -> None:
        self.settings: Settings = self.task.app.conf["lepton"]
        self.ledger = open_ledger(self.settings.ledger)
        self.owner = owner_of(str(self.task.request.id), os.getpid())
        self.lane = lane_of(self.task.request.delivery_info)

    def do_blocks(self) -> None:
        """Do the blocks that the ledger grants."""
        began = time.perf_counter()
        try:
            claim = self.ledger.claim(
                self.job_id,
                self.number,
                self.places,
                owner=self.owner,
                lease_s=self.settings.lease_s,
                max_attempts=self.settings.max_attempts,
            )
        except BrokerUnreachable as error:
            self._retry(error)
        if not claim.active or self._do_granted(claim, began):
            _open_jobs.close_ended(self.ledger, self.settings, self.job_id)

    def _do_granted(self, claim: Claim, began: float) -> bool:
        """Do granted blocks and give up exhausted ones; whether the job ended or left the stage in the meantime."""
        if not (claim.granted or claim.exhausted):
            return False
        stage: OpenStage | None = None
        places = list(claim.granted)
        try:
            if claim.exhausted and self._is_failed(claim.exhausted):
                return True
            stage = self._open_stage()
            failures.give_up_exhausted(stage, claim.exhausted)
            batch = Batch(stage, places, claim.lost, began)
            if places:
                batch.run()
                self._settle(stage, batch.blocks, time.perf_counter() - began)
            return batch.stale
        except failures.PASSING as error:
            free_arrays_of(error)
            self.ledger.release(self.job_id, self.number, places, owner=self.owner, count_attempt=False)
            if self._is_wanted(places):
                self._fail_or_retry(error, stage, places)
                return False
        except OtherRelease as error:
            self.ledger.release(self.job_id, self.number, places, owner=self.owner, count_attempt=False)
            self._hand_back(error)
        except Exception as error:  # no block is to blame: the job cannot be opened here
            _tell("failed", self.job_id, error)
            self._fail(error)
        return True

    def _is_failed(self, exhausted: Sequence[Place]) -> bool:
        """Whether the job ends because these blocks have no attempts left."""
        manifest = _open_jobs.manifest(self.ledger, self.settings, self.job_id)
        return failures.fail_exhausted(self.task.app, self.ledger, manifest, self.number, exhausted)

    def _is_wanted(self, places: list[Place]) -> bool:
        """Whether blocks that failed here are still to be done.

        If not, they failed because their files were removed: the job has ended, or other workers have done these blocks and
        the job is being published.
        """
        try:
            if not self.ledger.info(self.job_id).state.is_open:
                return False
        except JobNotFound:
            return False
        return not places or self.ledger.receipts(self.job_id, self.number, places) != places

    def _settle(self, stage: OpenStage, blocks: int, seconds: float) -> None:
        """Note in the lane what a batch took, as the service of the job and its tenant."""
        weight = turns.weight_of(self.settings, stage.manifest.options.tenant)
        if not self.ledger.turns.settle(self.lane, self.job_id, blocks=blocks, seconds=seconds, weight=weight):
            with suppress(JobNotFound):
                self.lane = self.ledger.info(self.job_id).lane  # it was given another lane, or has ended

    def send_turns(self) -> None:
        """Send the next waves of the job's lane."""
        try:
            turns.send_turns(self.task.app, self.ledger, self.settings, self.lane, self._plan_of)
        except BrokerUnreachable as error:  # a sweeper has them sent
            log.warning("the next waves of lane %s are not sent: %s", self.lane, error)

    def _plan_of(self, job_id: str) -> Plan:
        return _open_jobs.manifest(self.ledger, self.settings, job_id).plan

    def send_lost(self, below: Place = NO_PLACE) -> bool:
        """Send lost blocks before the place `below` again; whether the stage may be ended here."""
        ledger, settings = self.ledger, self.settings
        try:
            info = ledger.info(self.job_id)
            self.lane = info.lane
            if info.state is not JobState.RUNNING or info.stage != self.number:
                # in case the worker that ended the job died before it discarded the files
                _open_jobs.close_ended(ledger, settings, self.job_id)
                return False
            app, plan = self.task.app, self._open_stage().plan
            ledger.end_check(self.job_id, self.number)
            turns.enter(ledger, info)
            if below != NO_PLACE and (
                sent := canvas.send_unreceipted(app, ledger, info, plan, limit=_CHECKED_BATCHES, below=below)
            ):
                log.warning("job %s: %d blocks were sent, and nobody works on them; sent again", self.job_id, sent)
        except JobNotFound:
            return False
        except OtherRelease as error:
            self._leave(error)
            return False
        except failures.PASSING as error:
            self._fail_or_retry(error)
        except Exception as error:  # the job cannot be opened here, as in `_do_granted`
            _tell("cannot send its next wave", self.job_id, error)
            self._fail(error)
        return True

    def end_stage(self) -> StageWork | None:
        """Merge the stage if every block has its receipt.

        Returns:
            The first batch of the next stage, which this process does without a message, because it has the files open.
        """
        fence: int | None = None
        ledger, settings = self.ledger, self.settings
        try:
            fence = ledger.begin_merge(self.job_id, self.number, owner=self.owner, lease_s=settings.lease_s)
            if fence is None:
                return None
            info = ledger.info(self.job_id)
            if info.merge_attempts > settings.max_attempts + settings.max_retries:
                reason = f"its merge was begun {info.merge_attempts - 1} times and never ended; see the workers' logs"
                failures.fail_job(self.task.app, ledger, self.job_id, self.number, reason)
                return None
            stage = self._open_stage()
            with guarded(stage) as (_, begin_block):
                begin_block()
                following = merge(stage, info, fence)
            log_lines.tell(f"job {self.job_id} stage {info.stage_label} merged")
            if following is not None:  # opened here: all of it but the first batch is sent
                reserved = turns.reserve(ledger, replace(info, stage=following), stage.plan)
                info = ledger.info(self.job_id)
                if info.dispatched < info.blocks_total:
                    turns.enter(ledger, info, stage.plan)
                    self.lane = info.lane
                    self.send_turns()
                return StageWork(self.task, self.job_id, following, reserved, is_asked_for=False) if reserved else None
        except JobNotFound:
            return None
        except OtherRelease as error:
            if fence is not None:
                ledger.release_merge(self.job_id, self.number, fence=fence, count_attempt=False)
            self._leave(error)
            return None
        except failures.PASSING as error:
            free_arrays_of(error)
            if fence is not None:
                ledger.release_merge(self.job_id, self.number, fence=fence)
            self._fail_or_retry(error)
            return None
        except Exception as error:  # a merge runs functions of libraries and of users, which may raise anything
            _tell("failed in a merge", self.job_id, error)
            free_arrays_of(error)
            self._fail(error)
        _open_jobs.close_ended(ledger, settings, self.job_id)
        return None

    def _open_stage(self) -> OpenStage:
        manifest, context = _open_jobs.open(self.ledger, self.settings, self.job_id)
        label, places = stage_label(self.number, len(manifest.plan.stages)), format_places(self.places)
        log_fields.begin(job=self.job_id, stage_label=label, blocks=places)
        return OpenStage(
            self.task.app,
            self.ledger,
            self.settings,
            self.lane,
            self.owner,
            manifest,
            context,
            self.number,
            f"{self.task.request.hostname}/{os.getpid()}",
            int(self.task.request.retries),
            self.is_asked_for,
        )

    def _fail(self, error: Exception, stage: OpenStage | None = None, places: Sequence[Place] = ()) -> None:
        """End the job as failed; the first of these blocks, if there are any, is named as the cause."""
        if stage is not None and places:
            failures.fail_block(stage, places[0], reason_of(error))
        else:
            failures.fail_job(self.task.app, self.ledger, self.job_id, self.number, reason_of(error))

    def _fail_or_retry(self, error: Exception, stage: OpenStage | None = None, places: Sequence[Place] = ()) -> None:
        """Retry the message, or end the job if the error is final or no retries are left."""
        if not isinstance(error, failures.FINAL) and self.task.request.retries < self.settings.max_retries:
            self._retry(error)
        self._fail(error, stage, places)

    def _leave(self, error: OtherRelease) -> None:
        """Leave a job to the workers of its release, with a word in the log and in the ledger."""
        log_lines.warn_once(f"job {self.job_id} is left to workers of its release: {error}")
        self.ledger.note_waiting(self.job_id, self.number, str(error))

    def _hand_back(self, error: OtherRelease) -> NoReturn:
        """Return the message to its lane, for a worker of the job's release; a check finds what other messages ask for."""
        self._leave(error)
        self.task.signature_from_request(
            args=canvas.signed_args(
                self.task.name, (self.job_id, self.number, format_places(self.places)), self.settings
            ),
            countdown=random.uniform(*_HANDED_BACK_S),
            retries=self.task.request.retries,  # this was no attempt
            queue=job_queue_of(self.task.request.delivery_info),
        ).apply_async()
        raise Ignore(str(error))

    def _retry(self, error: Exception) -> NoReturn:
        """Retry the message after 2, 4, 8 s and so on, at most 30 s, with jitter, so that workers do not retry together."""
        wait = min(30.0, 2.0 ** (1 + int(self.task.request.retries)))  # RabbitMQ delays by whole seconds, from 1
        if isinstance(error, StoreError):  # else the ledger does not answer, perhaps
            with suppress(BrokerUnreachable):
                self.ledger.postpone_checks(self.job_id, self.number, for_s=wait)
        text = (format_places(self.places),) if self.task.name == canvas.PROCESS else ()
        raise self.task.retry(
            # the stage may be a later one than the message's
            args=canvas.signed_args(self.task.name, (self.job_id, self.number, *text), self.settings),
            exc=error,
            countdown=random.uniform(wait / 2, wait),
            max_retries=self.settings.max_retries + 1,
            queue=job_queue_of(self.task.request.delivery_info),  # otherwise it would go to the default queue
        )
