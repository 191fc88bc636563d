"""A thread that keeps leases alive while a block is worked on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lepton_celery.errors import BrokerUnreachable


@contextmanager
def heartbeat(renew: Callable[[], bool], interval_s: float) -> Iterator[threading.Event]:
    """Call `renew` every `interval_s` seconds while the `with` block runs; the first time after one interval.

    The event is set, and no more beats follow, if `renew` returned False (the job ended or went on: stop working) or raised
    anything but `BrokerUnreachable`. An unreachable ledger is tried again at the next beat: with an interval of a third of
    the lease, two beats may fail before the lease is over. After the `with` block no beat runs; leaving it waits for one
    that is under way.

        with heartbeat(lambda: ledger.renew(job, stage, owner=me, lease_s=60), interval_s=20) as lost:
            for block in blocks:
                if lost.is_set():
                    break
    """
    lost, ended = threading.Event(), threading.Event()

    def beat() -> None:
        while not ended.wait(interval_s):
            try:
                if renew():
                    continue
            except BrokerUnreachable:
                continue
            except BaseException:
                lost.set()
                raise
            lost.set()
            return

    # a daemon, so that a worker told to quit at once does not wait for a beat
    thread = threading.Thread(target=beat, name="lepton-heartbeat", daemon=True)
    thread.start()
    try:
        yield lost
    finally:
        ended.set()
        thread.join()
