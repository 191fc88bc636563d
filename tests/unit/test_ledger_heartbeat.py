"""The thread that keeps leases alive."""

from __future__ import annotations

import threading
import time

import pytest

from lepton_celery.errors import BrokerUnreachable
from lepton_celery.ledger.heartbeat import heartbeat


class Renewals:
    """A `renew` that counts its calls; it returns or raises the given answers, and then returns True."""

    def __init__(self, *answers: bool | Exception) -> None:
        self.answers = list(answers)
        self.asked = 0
        self.enough = threading.Event()

    def __call__(self) -> bool:
        self.asked += 1
        if self.asked == 4:
            self.enough.set()
        answer = self.answers.pop(0) if self.answers else True
        if isinstance(answer, Exception):
            raise answer
        return answer


def beating() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "lepton-heartbeat"]


def test_a_heartbeat_renews_until_the_block_ends() -> None:
    renew = Renewals()
    with heartbeat(renew, interval_s=0.005) as lost:
        assert renew.enough.wait(60)
    assert not beating()
    assert not lost.is_set()


def test_short_work_ends_without_a_beat() -> None:
    renew = Renewals()
    start = time.monotonic()
    with heartbeat(renew, interval_s=60):
        pass
    assert time.monotonic() - start < 50
    assert renew.asked == 0


def test_a_refused_renewal_sets_the_event_and_ends_the_heartbeat() -> None:
    renew = Renewals(True, False)
    with heartbeat(renew, interval_s=0.005) as lost:
        assert lost.wait(60)
        for thread in beating():
            thread.join(60)
        assert not beating()
    assert renew.asked == 2


def test_a_heartbeat_continues_after_an_unreachable_ledger() -> None:
    renew = Renewals(BrokerUnreachable("gone"), BrokerUnreachable("gone"))
    with heartbeat(renew, interval_s=0.005) as lost:
        assert renew.enough.wait(60)
        assert not lost.is_set()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_another_error_sets_the_event() -> None:
    with heartbeat(Renewals(ZeroDivisionError()), interval_s=0.005) as lost:
        assert lost.wait(60)


def test_an_error_in_the_block_ends_the_heartbeat() -> None:
    renew = Renewals()
    with pytest.raises(ZeroDivisionError), heartbeat(renew, interval_s=60):
        raise ZeroDivisionError
    assert not beating()
