"""The thread that keeps leases alive."""

from __future__ import annotations

import threading
import time

import pytest

from lepton_celery.errors import BrokerUnreachable
from lepton_celery.ledger.heartbeat import heartbeat


class Renewals:
    """A `renew` that gives the answers it was told, then True, and notes when it was asked."""

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


def test_it_beats_until_the_block_ends() -> None:
    renew = Renewals()
    with heartbeat(renew, interval_s=0.005) as lost:
        assert renew.enough.wait(5)
    asked = renew.asked
    time.sleep(0.03)
    assert renew.asked == asked
    assert not lost.is_set()


def test_short_work_ends_without_a_beat() -> None:
    renew = Renewals()
    start = time.monotonic()
    with heartbeat(renew, interval_s=60):
        pass
    assert time.monotonic() - start < 5
    assert renew.asked == 0


def test_it_tells_when_the_work_is_no_longer_wanted_and_stops() -> None:
    renew = Renewals(True, False)
    with heartbeat(renew, interval_s=0.005) as lost:
        assert lost.wait(5)
        time.sleep(0.03)
    assert renew.asked == 2


def test_it_tries_again_after_an_unreachable_ledger() -> None:
    renew = Renewals(BrokerUnreachable("gone"), BrokerUnreachable("gone"))
    with heartbeat(renew, interval_s=0.005) as lost:
        assert renew.enough.wait(5)
        assert not lost.is_set()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_error_of_another_kind_ends_the_work() -> None:
    with heartbeat(Renewals(ZeroDivisionError()), interval_s=0.005) as lost:
        assert lost.wait(5)


def test_an_error_in_the_work_ends_the_beats() -> None:
    renew = Renewals()
    with pytest.raises(ZeroDivisionError), heartbeat(renew, interval_s=60):
        raise ZeroDivisionError
    assert not any(thread.name == "lepton-heartbeat" for thread in threading.enumerate())
