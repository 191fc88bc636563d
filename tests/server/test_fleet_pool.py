"""The autoscaler of a worker's processes: which it ends, its part among other workers, and that it replaces Celery's."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery

from lepton_celery import configure, create_app
from lepton_celery.config import Settings
from lepton_celery.engines.celery.worker.autoscaling import AUTOSCALER, AutoscalingStep
from lepton_celery.fleet import pool as module
from lepton_celery.fleet.pool import PoolScaler
from lepton_celery.fleet.sharing import part_of
from lepton_celery.ledger.lanes import ServingWorker


class Task:
    def __init__(self, pid: int | None) -> None:
        self._pid = pid

    def accepted(self) -> bool:
        return self._pid is not None

    def worker_pids(self) -> list[int]:
        return [self._pid] if self._pid else []


class Pool:
    """As much of billiard's pool as the autoscaler uses."""

    def __init__(self, processes: int, tasks: list[Task]) -> None:
        self._pool = [SimpleNamespace(pid=pid) for pid in range(100, 100 + processes)]
        self._cache = dict(enumerate(tasks))
        self._processes = processes
        self.outbound_buffer: list[Any] = []
        self.ended: list[int] = []

    def _iterinactive(self) -> Any:
        busy = {pid for task in self._cache.values() for pid in task.worker_pids()}
        return (child for child in self._pool if child.pid not in busy)

    def shrink(self, n: int) -> None:
        for child, _ in zip(self._iterinactive(), range(n), strict=False):
            self.ended.append(child.pid)


def scaler_of(billiard: Pool, *, app: Celery | None = None) -> PoolScaler:
    app = app or create_app(Settings(target_wait=("batch=5s",)))
    pool = SimpleNamespace(_pool=billiard, num_processes=billiard._processes, shrink=billiard.shrink)
    consumer = SimpleNamespace(initial_prefetch_count=8, qos=SimpleNamespace(value=8), qos_global=True)
    worker = SimpleNamespace(app=app, hostname="w@h", consumer=consumer, prefetch_multiplier=1)
    return PoolScaler(pool, 8, 1, worker=worker)


def test_processes_end_that_were_idle_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    billiard = Pool(4, [Task(101)])
    scaler = scaler_of(billiard)
    scaler._note_busy(time.monotonic() - 60)
    scaler._note_busy(time.monotonic())
    scaler._shrink(3)
    assert billiard.ended == [100, 102, 103]
    assert list(billiard._iterinactive())  # chosen as before


def test_no_process_ends_that_worked_a_moment_ago() -> None:
    billiard = Pool(2, [])
    scaler = scaler_of(billiard)
    scaler._note_busy(time.monotonic())
    scaler._shrink(1)
    assert billiard.ended == []


def test_no_process_ends_while_a_task_may_be_in_any_of_them() -> None:
    billiard = Pool(3, [Task(101), Task(None)])
    scaler = scaler_of(billiard)
    scaler._note_busy(time.monotonic() - 60)
    scaler._shrink(2)
    billiard._cache.popitem()
    billiard.outbound_buffer.append("a task that is to be written")
    scaler._shrink(2)
    assert billiard.ended == []
    billiard.outbound_buffer.clear()
    scaler._shrink(2)
    assert billiard.ended == [100, 102]


def test_the_worker_holds_as_many_messages_as_it_has_processes() -> None:
    app = create_app(Settings())
    app.amqp.queues.select(["lepton.control", "lepton.batch"])
    scaler = scaler_of(Pool(3, []), app=app)
    scaler._follow()
    assert scaler.worker.consumer.qos.value == scaler.worker.consumer.initial_prefetch_count == 3


def test_on_rabbitmq_only_a_new_consumer_holds_another_number() -> None:
    done: list[Any] = []
    scaler = scaler_of(Pool(3, []))
    consumer = scaler.worker.consumer
    consumer.qos_global = False  # it serves quorum queues
    consumer.qos.set = lambda count: done.append(count)
    consumer.task_consumer = SimpleNamespace(cancel=lambda: done.append("end"), consume=lambda: done.append("begin"))
    scaler.worker.hub = SimpleNamespace(call_soon=lambda action: done.append(action.__name__))
    scaler._follow(is_receiving=True)
    assert done == ["_follow"], "a message is being received: later"
    scaler._follow()
    assert done[1:] == [3, "end", "begin"]
    scaler._follow()
    scaler._follow(is_receiving=True)
    assert len(done) == 4, "nothing has changed"


def test_beside_queues_of_the_project_it_holds_what_it_may() -> None:
    app = create_app(Settings())
    app.amqp.queues.select(["lepton.batch", "mail"])
    scaler = scaler_of(Pool(3, []), app=app)
    scaler._follow()
    assert scaler.worker.consumer.qos.value == 8


def test_without_a_ledger_the_pool_stays_and_the_log_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    app = create_app(Settings(broker_url="redis://127.0.0.1:1/0"))
    scaler = scaler_of(Pool(3, []), app=app)
    assert scaler._desired() == scaler._desired() == 3
    assert caplog.text.count("the pool keeps its 3 processes") == 1


def of_sizes(*sizes: tuple[int, int, int]) -> dict[str, ServingWorker]:
    """Workers of so many slots, which may have between so many and so many."""
    return {f"w{n}@h": ServingWorker(slots, ("batch",), least, most) for n, (slots, least, most) in enumerate(sizes)}


def parts(change: int, workers: dict[str, ServingWorker], turn: int = 0) -> list[int]:
    return [part_of(change, name, workers, turn) for name in workers]


def test_one_worker_makes_the_whole_change() -> None:
    assert parts(3, of_sizes((1, 1, 8))) == [3]
    assert parts(-3, of_sizes((5, 1, 8))) == [-3]
    assert parts(0, of_sizes((5, 1, 8))) == [0]


@pytest.mark.parametrize("turn", range(4))
def test_the_parts_of_several_add_up_to_the_change(turn: int) -> None:
    workers = of_sizes((1, 1, 4), (1, 1, 4), (2, 2, 2), (3, 0, 8))
    for change in (*range(1, 12), -1, -2, -3):
        assert sum(parts(change, workers, turn)) == change
        assert parts(change, workers, turn)[2] == 0, "it has a fixed size"
    assert sum(parts(50, workers, turn)) == 3 + 3 + 5, "all that they may have"
    assert sum(parts(-50, workers, turn)) == -3


def test_equal_workers_make_equal_parts() -> None:
    assert parts(4, of_sizes((1, 1, 4), (1, 1, 4))) == [2, 2]
    assert parts(-4, of_sizes((3, 1, 4), (3, 1, 4))) == [-2, -2]


def test_what_cannot_be_divided_goes_round() -> None:
    workers = of_sizes((1, 1, 4), (1, 1, 4))
    assert sorted(parts(1, workers, 0)) == [0, 1]
    assert parts(1, workers, 0) == parts(1, workers, 1)[::-1]


def test_a_pool_waits_for_two_seconds_unless_it_is_told_otherwise() -> None:
    scaler = scaler_of(Pool(1, []))
    assert scaler._targets == {"interactive": 2.0, "default": 2.0, "batch": 5.0}


def parent(app: Celery, pool: str = "prefork") -> Any:
    pool_cls = type("TaskPool", (), {"__module__": f"celery.concurrency.{pool}"})
    return SimpleNamespace(app=app, pool_cls=pool_cls, autoscaler_cls=app.conf.worker_autoscaler)


def test_a_worker_of_a_lane_uses_this_autoscaler() -> None:
    worker = parent(create_app(Settings()))
    AutoscalingStep(worker, autoscale="4,1")
    assert worker.autoscaler_cls == AUTOSCALER == f"{module.__name__}:{PoolScaler.__name__}"


def test_a_project_keeps_its_own_autoscaler_and_workers_of_its_own_queues() -> None:
    app = Celery("project", broker="redis://127.0.0.1:1/0")
    app.conf.worker_autoscaler = "mine:Scaler"
    configure(app, Settings(broker_url="redis://127.0.0.1:1/0"))
    app.amqp.queues.select(["lepton.batch"])
    worker = parent(app)
    AutoscalingStep(worker, autoscale="4,1")
    assert worker.autoscaler_cls == "mine:Scaler"
    other = parent(create_app(Settings()), "thread")
    other.app.amqp.queues.select(["mail"])
    AutoscalingStep(other, autoscale="4,1")
    assert other.autoscaler_cls == "celery.worker.autoscale:Autoscaler"


@pytest.mark.parametrize("pool", ["thread", "solo"])
def test_a_pool_that_cannot_grow_is_refused(pool: str) -> None:
    app = create_app(Settings())
    AutoscalingStep(parent(app, pool))  # without --autoscale
    with pytest.raises(SystemExit, match=rf"--pool={pool} and --autoscale.*give --concurrency=N"):
        AutoscalingStep(parent(app, pool), autoscale="4,1")
