"""A thread that keeps leases alive while a block is worked on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from lepton_celery.errors import BrokerUnreachable


class Heartbeat:
    """Calls `renew` every `interval_s` seconds while the `with` block runs; the first time after one interval.

    `lost` is set if `renew` returned False (the job ended or went on: stop working) or raised anything but
    `BrokerUnreachable`, and no more beats follow. An unreachable ledger is tried again at the next beat: with an interval of
    a third of the lease, two beats may fail before the lease is over. After the `with` block no beat runs; leaving it waits
    for one that is under way.

        with Heartbeat(lambda: ledger.renew(job, stage, owner=me, lease_s=60), interval_s=20) as heartbeat:
            for block in blocks:
                if heartbeat.lost.is_set():
                    break
    """

    def __init__(self, renew: Callable[[], bool], interval_s: float) -> None:
        self.lost = threading.Event()
        """Set if the work is no longer wanted."""
        self._renew = renew
        self._interval_s = interval_s
        self._ended = threading.Event()
        # a daemon, so that a worker told to quit at once does not wait for a beat
        self._thread = threading.Thread(target=self._beat, name="lepton-heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._ended.wait(self._interval_s):
            try:
                if self._renew():
                    continue
            except BrokerUnreachable:
                continue
            except BaseException:
                self.lost.set()
                raise
            self.lost.set()
            return
