"""A thread that renews leases while a process works on blocks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from lepton_celery.errors import BrokerUnreachable


@contextmanager
def heartbeat(renew: Callable[[], bool], interval_s: float) -> Iterator[threading.Event]:
    """Call `renew` every `interval_s` seconds while the `with` block runs, the first time after one interval.

    If `renew` returns False (the job ended or left the stage) or raises anything but `BrokerUnreachable`, the calls end and
    the yielded event is set, which asks the block to stop. If the ledger is unreachable, `renew` is called again after the
    next interval; with a third of the lease as interval, two calls may fail before the lease expires. Leaving the `with`
    block waits for a call in progress.

        with heartbeat(lambda: ledger.renew(job, stage, owner=me, lease_s=60), interval_s=20) as lost:
            for block in blocks:
                if lost.is_set():
                    break
    """
    lost, ended = threading.Event(), threading.Event()

    def beat() -> None:
        try:
            while not ended.wait(interval_s):
                with suppress(BrokerUnreachable):
                    if not renew():
                        lost.set()
                        return
        except BaseException:
            lost.set()
            raise

    # a daemon thread, so that a worker that must quit at once does not wait for it
    thread = threading.Thread(target=beat, name="lepton-heartbeat", daemon=True)
    thread.start()
    try:
        yield lost
    finally:
        ended.set()
        thread.join()
