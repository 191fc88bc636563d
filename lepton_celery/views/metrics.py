"""Metrics of jobs for Prometheus: few series, whatever the number of jobs, titles and tenants.

Counters are those of this process: they begin with 0, and grow by what happened since it first read the jobs. A job that was
forgotten takes nothing away from them.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from lepton_celery.errors import LeptonError
from lepton_celery.ledger import JobInfo, JobState, Ledger
from lepton_celery.priority import LANES
from lepton_celery.views.listing import MOST_LISTED

if TYPE_CHECKING:  # an extra
    from prometheus_client import Metric

READ_EVERY_S = 5.0
"""Least number of seconds between two readings of the ledger, however often metrics are asked for."""

STAGE_SECONDS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 180.0, 600.0, 1800.0, 3600.0, 10800.0)
"""Upper bounds of the buckets of the time that a stage takes."""

_TOTALS: Mapping[str, tuple[str, str]] = {
    "blocks": ("lepton_blocks_done", "Blocks that are done."),
    "compute_s": ("lepton_computing_seconds", "C: seconds that worker processes spent in functions."),
    "other_s": ("lepton_other_work_seconds", "W: seconds that they spent on reading, writing and waiting for files."),
    "read_bytes": ("lepton_read_bytes", "Bytes that were read."),
    "write_bytes": ("lepton_written_bytes", "Bytes that were written."),
    "lost": ("lepton_lost_attempts", "Attempts at blocks that were lost and are repeated: retries and recoveries."),
    "recovered": ("lepton_recovered_attempts", "Those of them that were lost because a process or worker died."),
    "filled": ("lepton_filled_blocks", "Blocks that were given up and filled."),
}
"""Name and help of each counter of a lane, by its key in `_totals_of`."""
_REPAIRS = ("silent_worker", "slow_worker", "lost_message")
"""Why sweepers send blocks again: their worker fell silent or is slow, or their message was lost."""
_STATES = tuple(state for state in JobState if state is not JobState.DAMAGED)
_FINAL = (JobState.DONE, JobState.CANCELLED)
"""States that no job leaves."""


class JobMetrics:
    """A collector of Prometheus. It may be asked from several threads."""

    def __init__(self, ledger: Ledger, *, read_every_s: float = READ_EVERY_S) -> None:
        self._ledger, self._read_every_s = ledger, read_every_s
        self._lock = threading.Lock()
        self._read_at = -float("inf")
        self._last: list[Metric] = []
        self._known: dict[str, _Known] | None = None
        """What was read last of each job; None before the first time."""
        self._damaged = 0
        self._totals: defaultdict[tuple[str, str], float] = defaultdict(float)
        """Counters by lane and key."""
        self._ended: Counter[tuple[str, str]] = Counter()
        """Jobs that ended, by lane and state."""
        self._stages: dict[str, list[int]] = {lane: [0] * (len(STAGE_SECONDS) + 1) for lane in LANES}
        """Number of stages in each bucket, by lane."""
        self._stage_sums: defaultdict[str, float] = defaultdict(float)

    def describe(self) -> list[Metric]:
        """Nothing: registering the collector reads no ledger."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The metrics, as they were read last; none while the ledger does not answer."""
        with self._lock:
            if time.monotonic() - self._read_at >= self._read_every_s:
                self._read_at = time.monotonic()
                try:
                    self._last = list(self._read())
                except LeptonError:
                    self._last = []  # `lepton_ledger_up` tells it
            last = self._last
        yield from last

    def _read(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        began = time.perf_counter()
        self._ledger.ping()
        pinged = time.perf_counter()
        states = self._count()
        read = time.perf_counter()
        jobs = GaugeMetricFamily("lepton_jobs", f"Jobs, of the newest {MOST_LISTED:,}.", labels=["lane", "state"])
        ended = CounterMetricFamily("lepton_jobs_ended", "Jobs that ended.", labels=["lane", "state"])
        for lane in LANES:
            for state in _STATES:
                jobs.add_metric([lane, state], states[lane, state])
                if not state.is_open:
                    ended.add_metric([lane, state], self._ended[lane, state])
        yield jobs
        yield ended
        for key, (name, text) in _TOTALS.items():
            counter = CounterMetricFamily(name, text, labels=["lane"])
            for lane in LANES:
                counter.add_metric([lane], self._totals[lane, key])
            yield counter
        repairs = CounterMetricFamily("lepton_repairs", "Blocks that sweepers sent again.", labels=["lane", "kind"])
        for lane in LANES:
            for kind in _REPAIRS:
                repairs.add_metric([lane, kind], self._totals[lane, kind])
        yield repairs
        stages = HistogramMetricFamily("lepton_stage_seconds", "Seconds that stages took.", labels=["lane"])
        for lane in LANES:
            sums, buckets = 0, []
            for bound, count in zip((*STAGE_SECONDS, float("inf")), self._stages[lane], strict=True):
                sums += count
                buckets.append(("+Inf" if bound == float("inf") else str(bound), sums))
            stages.add_metric([lane], buckets, self._stage_sums[lane])
        yield stages
        for name, text, value in (
            ("lepton_damaged_jobs", "Jobs whose entries in the ledger cannot be read.", self._damaged),
            ("lepton_ledger_ping_seconds", "Seconds that the ledger took to answer.", pinged - began),
            ("lepton_ledger_read_seconds", "Seconds that reading the jobs took.", read - pinged),
        ):
            gauge = GaugeMetricFamily(name, text)
            gauge.add_metric([], value)
            yield gauge

    def _count(self) -> Counter[tuple[str, str]]:
        """Read the jobs that may have changed, and count what is new; the number of jobs by lane and state."""
        before = self._known or {}
        listed = self._ledger.newest(MOST_LISTED)
        final = {job_id: before[job_id] for job_id in listed if job_id in before and before[job_id].is_final}
        infos = self._ledger.infos({job_id: at for job_id, at in listed.items() if job_id not in final})
        readable = {job_id: info for job_id, info in infos.items() if info.lane in LANES and info.state in _STATES}
        self._damaged = len(infos) - len(readable)
        read = {job_id: _Known(info) for job_id, info in readable.items()}
        if self._known is not None:
            for job_id, job in read.items():
                self._add(job, before.get(job_id))
        self._known = final | read
        return Counter((job.lane, job.state) for job in self._known.values())

    def _add(self, job: _Known, before: _Known | None) -> None:
        for key, value in job.totals.items():
            self._totals[job.lane, key] += max(0.0, value - (before.totals[key] if before is not None else 0.0))
        if job.state != (before.state if before is not None else "") and not JobState(job.state).is_open:
            self._ended[job.lane, job.state] += 1
        for seconds in job.stages[len(before.stages) if before is not None else 0 :]:
            self._stages[job.lane][bisect_left(STAGE_SECONDS, seconds)] += 1
            self._stage_sums[job.lane] += seconds


class _Known:
    """What metrics know of a job."""

    __slots__ = ("is_final", "lane", "stages", "state", "totals")

    def __init__(self, info: JobInfo) -> None:
        self.lane, self.state, self.is_final = info.lane, info.state.value, info.state in _FINAL
        self.stages = tuple(
            max(0.0, times.ended - times.began)
            for times in info.stage_times.values()
            if times.began is not None and times.ended is not None
        )
        """Seconds of each stage that is over."""
        self.totals = _totals_of(info)


def _totals_of(info: JobInfo) -> dict[str, float]:
    stats = info.stats
    busy_s = stats.get("batch_s", stats.get("block_s", 0.0))
    return {
        "blocks": stats.get("blocks", 0.0),
        "compute_s": stats.get("compute_s", 0.0),
        "other_s": max(0.0, busy_s - stats.get("compute_s", 0.0)),
        "read_bytes": stats.get("read_bytes", 0.0),
        "write_bytes": stats.get("write_bytes", 0.0),
        "lost": float(info.lost_attempts),
        "recovered": float(info.recovered_attempts),
        "silent_worker": float(info.expired_blocks),
        "slow_worker": float(info.doubled_blocks),
        "lost_message": float(info.resent_blocks),
        "filled": float(info.filled),
    }
