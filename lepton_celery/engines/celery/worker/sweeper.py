"""Sends lost work again. Every worker has a sweeper; they need no coordination.

A sweep reads and changes numbers only, never a manifest, so no job's plan can hold up the others. What needs the plan is
done by a worker's process that gets a message.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Container, Sequence
from functools import lru_cache, partial
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError

from lepton_celery.config import Settings
from lepton_celery.engines.celery.sending import canvas, turns
from lepton_celery.engines.celery.sending.notices import send_notice, try_to_send_notice
from lepton_celery.engines.celery.sending.queues import served_lanes
from lepton_celery.engines.celery.worker.failures import stop_hopeless
from lepton_celery.engines.celery.worker.timer_step import TimerStep
from lepton_celery.errors import BrokerUnreachable, JobError, JobNotFound, reason_of
from lepton_celery.grid import Place
from lepton_celery.ledger import JobInfo, JobState, Ledger, open_ledger
from lepton_celery.limits import JOB_ID
from lepton_celery.log_fields import about
from lepton_celery.planning.batches import format_places
from lepton_celery.priority import LANES
from lepton_celery.text import logger, quoted, shown

log = logger(__name__)

_MAX_LOST = 256
"""Largest number of lost blocks of a job that are sent again in one sweep."""

_FORGET_EVERY_S = 60.0
"""Longest time, in seconds, between two searches for jobs that ended long ago."""
_FORGET_AGAIN_S = 3600.0
"""Seconds after which a job is searched for again whose message was lost."""
_MAX_FORGOTTEN = 1024
"""Largest number of ended jobs that are forgotten in one sweep: 500 a second and worker."""
_FORGOTTEN_TOGETHER = 32
"""Largest number of ended jobs that one message has forgotten."""

_NEWEST_JOBS = 1000
"""Number of the newest jobs that are checked for a submitter that died."""

_SUBMITTING_S = 6 * 3600.0
"""Longest time, in seconds, that a submission may take with the copies of its inputs."""

_MAX_REMINDED = 4
"""Largest number of jobs of a lane that wait for their turn and for which a sweep sends a message."""

_LEFT_ALONE_S = 60.0
"""Seconds for which a job is left alone that cannot be looked after, so that it takes no time from others."""

_MAX_NOTICES = 64
"""Largest number of notices that a sweep sends."""
_NOTICE_AGAIN_S = 10.0
"""Seconds after which a notice is tried again that could not be sent."""

_MAX_TOLD = 1000
"""Largest number of errors that are remembered, so that each is told once."""


class SweeperStep(TimerStep):
    """The sweeper as a part of every worker."""

    def schedule(self, parent: Any) -> tuple[float, Callable[[], None]]:
        settings: Settings = parent.app.conf["lepton"]
        return settings.sweep_s, Sweeper(parent.app, open_ledger(settings.ledger), settings).sweep


class Sweeper:
    """Sends lost blocks and merges of running jobs again, and has jobs forgotten that ended long ago."""

    def __init__(self, app: Celery, ledger: Ledger, settings: Settings) -> None:
        self._app, self._ledger, self._settings = app, ledger, settings
        self._next_forget = 0.0
        """When jobs are next forgotten, by the monotonic clock: the server's may be set back."""
        self._waiting: Counter[str] = Counter()
        """The number of jobs of each lane that this sweep found waiting for their turn."""
        self._left_alone: dict[str, float] = {}
        """The jobs whose entries are damaged, and when each is looked at again, by the monotonic clock."""
        self._left: list[str] = []
        """The jobs that the last sweep had no time for, which come first in the next one."""
        self._tell_once = lru_cache(_MAX_TOLD)(partial(log.error, "%s"))

    def sweep(self) -> None:
        """Check every running job once, for at most half of the time between two sweeps."""
        try:
            self._contain("nothing is looked after", self._sweep_jobs)
        except (BrokerUnreachable, OperationalError) as error:
            log.warning("sweep postponed: %s", error)

    def _sweep_jobs(self) -> None:
        began, now = time.monotonic(), self._ledger.clock()
        self._waiting.clear()
        job_ids = self._in_turn(self._ledger.active())
        for position, job_id in enumerate(job_ids):
            if time.monotonic() - began > self._settings.sweep_s / 2:
                self._left = job_ids[position:]
                break
            if began < self._left_alone.get(job_id, 0.0):
                continue
            told = f"job {shown(job_id)} cannot be looked after, and is left alone"
            with about(job=job_id):
                is_swept = self._contain(told, partial(self._sweep_job, job_id))
            if not is_swept:
                self._left_alone[job_id] = began + _LEFT_ALONE_S
        self._contain("nobody is told of jobs that ended", self._send_notices)
        if began >= self._next_forget:
            self._next_forget = began + min(_FORGET_EVERY_S, self._settings.retention_s)
            self._left_alone = {job_id: until for job_id, until in self._left_alone.items() if until > began}
            self._contain("jobs are not listed", partial(self._look_through, now, set(job_ids)))
            self._contain("jobs that ended keep their turns", partial(self._end_turns, set(job_ids)))
            self._contain("jobs that ended long ago are not forgotten", self._forget_jobs)

    def _in_turn(self, active: Sequence[str]) -> list[str]:
        """The running jobs: those that the last sweep did not reach, then the others, the oldest first."""
        among = set(active)
        left, self._left = self._left, []
        return list(dict.fromkeys([*filter(among.__contains__, left), *active]))

    def _contain(self, failed: str, action: Callable[[], None]) -> bool:
        """Do a part of the sweep. What is damaged there stops no other part, and is told once, after the words `failed`.

        Returns:
            Whether it was done.

        Raises:
            BrokerUnreachable, OperationalError: the ledger or the broker does not answer, for this part or any other.
        """
        try:
            action()
        except (BrokerUnreachable, OperationalError):
            raise
        except JobNotFound:
            pass  # forgotten meanwhile
        except Exception as error:  # an entry may hold anything
            self._tell_once(f"{failed}: {reason_of(error)}")
            return False
        return True

    def _sweep_job(self, job_id: str) -> None:
        info = self._ledger.info(job_id)
        if info.state is not JobState.RUNNING:
            return
        if info.lane not in LANES:
            raise JobError(f"its lane is {quoted(info.lane)}, and there are {', '.join(LANES)}", job_id)
        # the ledger returns each block with an expired lease to one sweeper only
        losses = self._ledger.reclaim(job_id, info.stage, limit=_MAX_LOST)
        if stop_hopeless(self._app, self._ledger, job_id, info.stage, losses):
            return
        self._send_alone(info, losses.lost, "had expired leases")
        if self._settings.duplicate_after and info.dispatched == info.blocks_total > info.blocks_done > 0:
            self._send_slow(info)
        if not (info.merging or info.outstanding):  # it waits for its turn, perhaps in vain
            self._waiting[info.lane] += 1
            if self._waiting[info.lane] > _MAX_REMINDED:
                return
        below = self._ledger.begin_check(
            job_id, info.stage, quiet_s=self._settings.sweep_s, busy_s=self._settings.lease_s
        )
        if below is None:
            return
        turns.enter(self._ledger, info)  # what is known of it, in case a worker died that would have noted it
        if info.merging:
            canvas.send_merge(self._app, info)
        else:  # whoever takes it also sends the next waves of the lane
            canvas.send_check(self._app, info, below)

    def _send_alone(self, info: JobInfo, places: list[Place], reason: str) -> None:
        """Send each of these blocks in a message of its own, and log why."""
        if places:
            with about(stage_label=info.stage_label, blocks=format_places(sorted(places))):
                log.warning("job %s: %d blocks %s; sent again", info.job_id, len(places), reason)
            canvas.send_taken_over(self._app, info, places)

    def _send_slow(self, info: JobInfo) -> None:
        """Send blocks that take far longer than the average batch of their stage to a second worker, if no message waits."""
        stats = info.stage_stats.get(info.stage, {})
        worked = sum(stats.get(name, 0.0) for name in ("compute_s", "read_s", "write_s"))
        batch_s = worked / max(1.0, stats.get("batches", 0.0))
        older_s = self._settings.duplicate_after * max(batch_s, self._settings.sweep_s)
        if not canvas.waiting_messages(self._app, info.lane):
            slow = self._ledger.duplicate_slow(info.job_id, info.stage, older_s=older_s, limit=_MAX_LOST)
            self._send_alone(info, slow, "take long on their worker")

    def _send_notices(self) -> None:
        """Send the notices of ended jobs that the processes left which ended them."""
        for job_id in self._ledger.take_notices(count=_MAX_NOTICES, again_s=_NOTICE_AGAIN_S):
            told = f"job {shown(job_id)} has ended, and its on_done cannot be sent here"
            self._contain(told, partial(send_notice, self._app, self._ledger, self._settings, job_id))

    def _forget_jobs(self) -> None:
        """Have jobs forgotten that ended long ago."""
        ended = self._ledger.take_ended(
            before_s=self._settings.retention_s, count=_MAX_FORGOTTEN, again_s=_FORGET_AGAIN_S
        )
        if len(ended) == _MAX_FORGOTTEN:
            self._next_forget = 0.0  # the next sweep goes on
        self._send_tidy([job_id for job_id in ended if JOB_ID.fullmatch(job_id)])

    def _look_through(self, now: float, listed: Container[str]) -> None:
        """Among the newest jobs, find those that run and are not listed, and those whose submitter died early.

        The latter are forgotten.
        """
        for info in self._ledger.jobs(limit=_NEWEST_JOBS):
            if info.state is JobState.RUNNING and info.job_id not in listed:
                self._ledger.relist([info.job_id])
            has_begun = info.stage or info.blocks_done or info.dispatched
            if info.state is JobState.PAUSED and not has_begun and now - info.updated_at > _SUBMITTING_S:
                with about(job=info.job_id):
                    log.warning("job %s was never submitted as a whole; forgotten", info.job_id)
                is_cancelled = self._ledger.cancel(info.job_id)
                # its manifest has its on_done, so it is forgotten when that is sent
                if is_cancelled and try_to_send_notice(self._app, self._ledger, self._settings, info.job_id):
                    self._send_tidy([info.job_id])

    def _end_turns(self, listed: Container[str]) -> None:
        """Have jobs leave the turns of their lanes that are not running, in case a process died that ended them."""
        for lane in LANES:
            for job_id in self._ledger.turns.jobs(lane):
                if job_id not in listed and job_id not in self._ledger.active():
                    self._ledger.turns.leave(lane, job_id)

    def _send_tidy(self, job_ids: list[str]) -> None:
        """Have jobs forgotten by workers that serve the least urgent lane which this one serves."""
        lane = (served_lanes(self._app) or LANES)[-1]
        for first in range(0, len(job_ids), _FORGOTTEN_TOGETHER):
            canvas.send_tidy(self._app, job_ids[first : first + _FORGOTTEN_TOGETHER], lane)
