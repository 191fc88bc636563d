"""Notices that no worker takes up a job, so that nobody waits without a word."""

from __future__ import annotations

import time
import warnings

from lepton_celery.errors import WaitingWarning, WaitTimeout
from lepton_celery.ledger import Ledger
from lepton_celery.ledger.info import JobInfo, JobState
from lepton_celery.ledger.record import RunRecord

WARN_AFTER_S = 2.0
"""Seconds for which a lane has had no worker after which a process that waits is warned."""
GIVE_UP_AFTER_S = 30.0
"""Seconds for which a lane has had no worker after which a process that waits without a limit gives up."""

_ASK_EVERY_S = 0.5


def warn_if_unserved(ledger: Ledger, lane: str) -> None:
    """Warn whoever submits a job, two calls above, if no worker serves its lane."""
    if not (ledger.slots(lane) or ledger.is_served(lane)):  # the slots are remembered for two seconds
        warnings.warn(f"the job will wait: {unserved(lane)}", WaitingWarning, stacklevel=4)


class LaneWatch:
    """Watches the lane of a job that a process waits for."""

    def __init__(self, records: Ledger | RunRecord) -> None:
        self._records = records
        self._next = 0.0
        self._unserved_since: float | None = None
        self._is_warned = False

    def check(self, info: JobInfo, *, is_limited: bool) -> None:
        """Check the lane of a job as it stands; `is_limited` says whether the wait has a time limit.

        Warns:
            WaitingWarning: no worker has served the lane for `WARN_AFTER_S`, or those that do cannot take up the job. This
                comes once.

        Raises:
            WaitTimeout: no worker has served it for `GIVE_UP_AFTER_S`, and the wait has no limit.
        """
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _ASK_EVERY_S
            if info.state is not JobState.RUNNING or self._records.is_served(info.lane):
                self._unserved_since = None
            elif self._unserved_since is None:
                self._unserved_since = now
        unserved_s = 0.0 if self._unserved_since is None else now - self._unserved_since
        if unserved_s >= WARN_AFTER_S and not self._is_warned:
            self._is_warned = True
            warnings.warn(f"job {info.job_id} waits: {unserved(info.lane)}", WaitingWarning, stacklevel=3)
        if info.waits_for and not self._is_warned:
            self._is_warned = True
            warnings.warn(f"job {info.job_id} waits: {info.waits_for}", WaitingWarning, stacklevel=3)
        if unserved_s >= GIVE_UP_AFTER_S and not is_limited:
            raise WaitTimeout(
                f"job {info.job_id} has waited for {unserved_s:.0f} s: {unserved(info.lane)}; it begins when one does: "
                "wait again (with timeout_s=math.inf for as long as it takes), or cancel it",
                info.job_id,
            )

    def reason(self, info: JobInfo) -> str:
        """Why a job is not done, if that is for want of a worker; else empty."""
        reason = unserved(info.lane) if self._unserved_since is not None else info.waits_for
        return f" ({reason})" if reason else ""


def unserved(lane: str) -> str:
    """What a job waits for whose lane nobody serves, and what to do."""
    return f"no worker serves the lane {lane!r}; start one that does (`lepton up`, or celery … worker -Q lepton.{lane})"
