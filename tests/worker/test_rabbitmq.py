"""Jobs through RabbitMQ, with the ledger on Redis: the same pixels and the same guarantees as through Redis alone."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import amqp.exceptions
import numpy as np
import psutil
import pytest
from celery import Celery
from kombu import Connection, Exchange, Producer, Queue
from numpy.typing import NDArray
from skimage import data
from skimage import filters as sk_filters
from skimage import measure as sk_measure

import lepton_celery as lepton
from lepton_celery import stores
from lepton_celery.config import load_settings
from lepton_celery.engines.celery.sending import canvas
from lepton_celery.engines.celery.sending.canvas import PROCESS
from lepton_celery.engines.celery.sending.queues import (
    DEAD_QUEUE,
    DELIVERY_LIMIT,
    JOB_QUEUES,
    LaneQueue,
    job_queue_of,
    lane_of,
)
from lepton_celery.errors import BrokerUnreachable, InputError
from lepton_celery.grid import Region
from lepton_celery.ledger import open_ledger
from lepton_celery.ledger.info import JobState
from lepton_celery.local.server import RedisServer
from lepton_celery.local.stack import LocalStack, Project
from lepton_celery.planning.batches import batches, places_between
from lepton_celery.priority import LANES, queue_of
from lepton_celery.skimage import filters, measure
from tests.faults.disk import damaged
from tests.stacks import short_lived
from tests.waiting import eventually as wait_until
from tests.worker.rabbit import RabbitServer, find_rabbit

pytestmark = pytest.mark.worker

Array = NDArray[np.generic]


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    if find_rabbit() is None and "CI" not in os.environ:
        pytest.skip("rabbitmq-server is not installed; apt install rabbitmq-server / brew install rabbitmq")
    with RabbitServer(tmp_path_factory.mktemp("rabbit")) as server:
        yield server


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@dataclass(frozen=True)
class Site:
    """A broker and a ledger for the jobs of one test, since workers repair every job of their ledger."""

    broker_url: str
    ledger_url: str

    def app(self) -> Celery:
        named = {"LEPTON_BROKER_URL": self.broker_url, "LEPTON_RESULT_BACKEND": self.ledger_url}
        return lepton.create_app(load_settings({"LEPTON_SETTINGS": "test", **named}))

    def stack(
        self, directory: Path, workers: int = 1, app: str = "", cwd: Path | None = None
    ) -> AbstractContextManager[LocalStack]:
        env = {"LEPTON_RESULT_BACKEND": self.ledger_url}
        project = Project(app, settings="test", env=env, cwd=cwd or Path.cwd())
        stack = LocalStack(directory, workers=workers, flower=False, broker_url=self.broker_url, project=project)
        return short_lived(stack)

    def count(self, queue: str) -> int:
        """Number of messages that wait in a queue."""
        with Connection(self.broker_url) as connection:
            found: Any = Queue(queue, channel=connection.channel()).queue_declare(passive=True)
            return int(found.message_count)


@pytest.fixture(scope="module")
def sites(rabbit: RabbitServer, redis_server: RedisServer) -> Iterator[Site]:
    """New sites: virtual hosts `site1` … and databases of one Redis server."""
    return (
        Site(rabbit.virtual_host(f"site{number}"), f"{redis_server.url.removesuffix('0')}{number}")
        for number in range(1, 16)
    )


@pytest.fixture
def site(sites: Iterator[Site]) -> Site:
    return next(sites)


@pytest.fixture(scope="module")
def served(rabbit: RabbitServer, redis_server: RedisServer) -> Site:
    """The site that `workers` serve."""
    return Site(rabbit.url, redis_server.url)


@pytest.fixture(scope="module", autouse=True)
def workers(served: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Two workers for all tests. `test_a_killed_worker_costs_no_block` kills one of them, and later tests have the other."""
    with served.stack(tmp_path_factory.mktemp("stack"), workers=2) as stack:
        yield stack


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "input.npy"
    np.save(path, np.tile(data.camera(), (2, 2)))
    return path


def read(path: Path) -> Array:
    reader = stores.open_array(path)
    pixels: Array = reader.read(Region.whole(reader.shape))
    return pixels


def slow_job(
    app: Celery, tmp_path: Path, photo: Path, name: str = "slow", seconds: float = 0.05, **options: Any
) -> lepton.Job:
    """Submit a job of 256 blocks that sleep until the file `enough` exists."""
    until = str(tmp_path / "enough")
    image = lepton.map_blocks("tests.faults.blocks:slow", lepton.open(photo), seconds=seconds, until=until)
    return lepton.submit({str(tmp_path / f"{name}.npy"): image}, app=app, block_shape=(64, 64), **options)


def assert_slow_job_is_right(tmp_path: Path, photo: Path, name: str = "slow") -> None:
    assert np.array_equal(read(tmp_path / f"{name}.npy"), 255 - np.load(photo))


def messages_in_order(stack: LocalStack) -> list[str]:
    """The jobs whose batches each worker has done, as its log has them; one text for each worker."""
    done = r"Task lepton\.process\[\S+\] succeeded in \S+s: job (\w+) "
    return [" ".join(re.findall(done, log.read_text())) for log in stack.logs.glob("worker*.log")]


# ------------------------------------------------------------------------------------------------ routing


@pytest.mark.parametrize("lane", LANES)
def test_a_job_gives_scikit_images_pixels_in_every_lane(served: Site, tmp_path: Path, photo: Path, lane: Any) -> None:
    lazy = filters.gaussian(lepton.open(photo), sigma=2)
    lazy_labels = measure.label(lazy > filters.threshold_otsu(lazy))
    outputs = {
        str(tmp_path / "labels.zarr"): lazy_labels,
        str(tmp_path / "objects.csv"): measure.regionprops_table(lazy_labels, properties=("label", "area")),
    }
    result = lepton.submit(outputs, app=served.app(), priority=lane, block_shape=(240, 208)).result(timeout_s=180)

    smooth = sk_filters.gaussian(np.load(photo), sigma=2)
    labels = sk_measure.label(smooth > sk_filters.threshold_otsu(smooth))
    assert np.array_equal(read(tmp_path / "labels.zarr"), labels)
    expected = sk_measure.regionprops_table(labels, properties=("label", "area"))
    assert np.array_equal(result[str(tmp_path / "objects.csv")]["area"], expected["area"])


def test_lanes_are_quorum_queues_that_lose_nothing_silently(rabbit: RabbitServer, served: Site) -> None:
    found = rabbit.queues()
    for name in JOB_QUEUES:
        queue = found[name]
        assert queue["durable"]
        assert queue["arguments"] == {
            "x-queue-type": "quorum",
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": DEAD_QUEUE,
            "x-consumer-timeout": 24 * 3600 * 1000,
        }
    assert found[DEAD_QUEUE]["arguments"] == {"x-queue-type": "quorum", "x-max-length": 10_000}
    delayed = {name: queue["arguments"] for name, queue in found.items() if name.startswith("celery_delayed_")}
    assert len(delayed) == 28
    assert {arguments["x-queue-type"] for arguments in delayed.values()} == {"quorum"}


def test_a_message_that_the_broker_rejects_is_an_error(site: Site) -> None:
    full = {"x-max-length": 1, "x-overflow": "reject-publish"}
    with site.app().connection_for_write() as connection:
        assert connection.transport_options == {"confirm_publish": True}
        Queue("full", queue_arguments=full, channel=connection.channel()).queue_declare()
        producer = Producer(connection)
        producer.publish({}, routing_key="full")
        with pytest.raises(amqp.exceptions.MessageNacked):
            producer.publish({}, routing_key="full")


def test_an_autoscaling_worker_holds_few_messages_while_it_is_small(site: Site, tmp_path: Path, photo: Path) -> None:
    """Else the others would have none: it may have four processes, and the work needs one within its target."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LEPTON_", "CELERY_"))}
    named = {"LEPTON_BROKER_URL": site.broker_url, "LEPTON_RESULT_BACKEND": site.ledger_url, "LEPTON_SETTINGS": "test"}
    words = ["worker", "--autoscale", "1,4", "--target-wait", "default=10m", "--hostname", "small@%h"]
    lepton_command = [sys.executable, "-c", "from lepton_celery.cli import main; main()"]
    app = site.app()
    with (tmp_path / "log").open("wb") as log:
        worker = subprocess.Popen([*lepton_command, *words], env={**environment, **named}, stdout=log, stderr=log)
    try:
        ledger = open_ledger(site.ledger_url)
        wait_until(lambda: ledger.is_served("default"))
        [note] = ledger.workers().values()
        assert (note.slots, note.fewest, note.most) == (1, 1, 4)
        job = slow_job(app, tmp_path, photo, workers=16)

        def held() -> int:
            asked = app.control.inspect(timeout=1)
            return sum(len(found) for kind in (asked.reserved(), asked.active()) for found in (kind or {}).values())

        wait_until(lambda: 0 < held() <= 2 and site.count(queue_of("default")) > 0)
        (tmp_path / "enough").touch()
        job.wait(60)
        assert "wanted" not in (tmp_path / "log").read_text(), "one process was enough"
    finally:
        worker.kill()
        worker.wait()
    assert_slow_job_is_right(tmp_path, photo)


def test_messages_stay_under_a_kilobyte(site: Site, tmp_path: Path) -> None:
    app = site.app()
    np.save(tmp_path / "input.npy", np.zeros((6400, 6400), np.uint8))
    job = lepton.submit({str(tmp_path / "o.npy"): ~lepton.open(tmp_path / "input.npy")}, app=app, block_shape=(64, 64))
    sizes = []
    with Connection(site.broker_url) as connection:
        lane = Queue(queue_of("default"), channel=connection.channel())
        while (message := lane.get(no_ack=True)) is not None:
            parts: Any = (message.body, json.dumps(message.properties), json.dumps(message.headers))
            sizes.append(sum(map(len, parts)))
    plan, sent = job.manifest().plan, job.info().dispatched
    job.cancel()
    assert len(sizes) == len(batches(plan.stages[0], plan.workers, places_between(0, sent))) > 8
    assert max(sizes) < 1000


# ------------------------------------------------------------------------------------------------ priorities


def test_an_interactive_job_does_not_wait_for_a_batch_job(
    served: Site, workers: LocalStack, tmp_path: Path, photo: Path
) -> None:
    app = served.app()
    np.save(tmp_path / "large.npy", np.tile(data.camera(), (4, 4)))
    batch = slow_job(app, tmp_path, tmp_path / "large.npy", "batch", 0.4, priority="batch", workers=16)  # takes 205 s
    wait_until(lambda: batch.info().blocks_done > 0)
    interactive = slow_job(app, tmp_path, photo, "interactive", 0.01, priority="interactive")
    info = interactive.wait(180)
    assert batch.info().state is JobState.RUNNING
    batch.cancel()
    assert info.blocks_total >= 8 * interactive.manifest().plan.stages[0].batch_blocks
    orders = messages_in_order(workers)
    assert any(interactive.id in order for order in orders)
    for order in orders:
        between = order[order.find(interactive.id) : order.rfind(interactive.id)]
        # no message waited for a batch, except one that the worker had taken, and one that found no free worker
        assert between.count(batch.id) <= 2, order
    assert_slow_job_is_right(tmp_path, photo, "interactive")


def test_the_lane_of_a_message_is_known_also_after_a_delay() -> None:
    assert lane_of({"exchange": "lepton", "routing_key": "lepton.batch"}) == "batch"
    assert lane_of({"exchange": "celery_delayed_delivery", "routing_key": "0.0.1.1.lepton.batch"}) == "batch"
    assert lane_of({"exchange": "", "routing_key": "mail.batch"}) == "default"
    assert lane_of(None) == "default"
    assert job_queue_of({"exchange": "lepton", "routing_key": "lepton.control"}) == "lepton.control"
    assert (
        job_queue_of({"exchange": "celery_delayed_delivery", "routing_key": "0.1.lepton.control"}) == "lepton.control"
    )
    assert job_queue_of({"exchange": "", "routing_key": "mail.control"}) == "lepton.default"


def test_hostile_messages_are_refused_before_they_are_unpacked(
    served: Site, workers: LocalStack, tmp_path: Path, photo: Path
) -> None:
    app = served.app()
    lane: dict[str, Any] = {"queue": queue_of("default")}
    before = {psutil.Process(process.pid) for process in workers.processes}
    for options in (
        {"name": PROCESS, "args": ("0" * (1 << 24), 0, "0"), "compression": "gzip"},
        {"name": PROCESS, "args": ("0" * (1 << 24), 0, "0")},
        {"name": PROCESS, "args": ("a", 0, "0"), "link": app.signature("other.task")},
        {"name": "other.task", "args": ("a",)},
    ):
        app.send_task(**options, **lane)
    with app.producer_pool.acquire() as producer:
        producer.publish(b"[", content_type="application/json", content_encoding="utf-8", routing_key=lane["queue"])
    job = slow_job(app, tmp_path, photo, seconds=0)
    job.wait(180)
    assert_slow_job_is_right(tmp_path, photo)
    wait_until(lambda: served.count(queue_of("default")) == 0)
    assert all(process.is_running() for process in before)
    logs = "".join(path.read_text() for path in workers.logs.glob("worker*.log"))
    assert "a message in lepton.default is refused: it is longer than 64 KiB" in logs
    assert "a message in lepton.default is refused: its headers are not those of this package" in logs
    assert "Traceback" not in logs


# ------------------------------------------------------------------------------------------------ failures


def test_a_block_that_was_given_up_is_tried_again(served: Site, tmp_path: Path) -> None:
    dark = np.full((256, 256), 40, np.uint8)
    dark[70, 200], dark[-1, -1] = 255, 1
    np.save(tmp_path / "dark.npy", dark)
    files: dict[str, Any] = {name: str(tmp_path / name) for name in ("cured", "enough")}
    poisoned = lepton.map_blocks("tests.faults.blocks:poisoned", lepton.open(tmp_path / "dark.npy"), **files)
    outputs, app = {str(tmp_path / "o.npy"): filters.gaussian(poisoned, sigma=1)}, served.app()
    job = lepton.submit(outputs, app=app, block_shape=(64, 64), on_error="fill")
    wait_until(lambda: job.info().filled, "a block that is given up")
    (tmp_path / "cured").touch()
    assert lepton.retry(job.id, app=app).blocks == 1
    (tmp_path / "enough").touch()
    job.wait(180)
    assert job.filled_blocks() == []
    assert np.array_equal(read(tmp_path / "o.npy"), sk_filters.gaussian(255 - dark, sigma=1))


def test_a_killed_worker_costs_no_block(served: Site, workers: LocalStack, tmp_path: Path, photo: Path) -> None:
    job = slow_job(served.app(), tmp_path, photo)
    first, second = (psutil.Process(process.pid) for process in workers.processes)
    for done, process in ((16, first.children()[0]), (48, second)):
        wait_until(lambda done=done: job.info().blocks_done >= done)  # type: ignore[misc]
        process.send_signal(signal.SIGKILL)
    (tmp_path / "enough").touch()
    info = job.wait(180)
    assert info.blocks_done == info.blocks_total == 256
    assert_slow_job_is_right(tmp_path, photo)
    assert served.count(DEAD_QUEUE) == 0


def test_a_broker_that_dies_and_comes_back_costs_no_block(
    rabbit: RabbitServer, served: Site, tmp_path: Path, photo: Path
) -> None:
    job = slow_job(served.app(), tmp_path, photo, seconds=0.2)  # takes 26 s or more
    wait_until(lambda: job.info().blocks_done >= 16)
    rabbit.kill()
    assert job.info().state is JobState.RUNNING
    (tmp_path / "enough").touch()
    rabbit.start()
    info = job.wait(180)
    assert info.blocks_done == info.blocks_total == 256
    assert_slow_job_is_right(tmp_path, photo)


def test_messages_delivered_too_often_are_kept_and_their_job_ends(site: Site, tmp_path: Path, photo: Path) -> None:
    app = site.app()
    job = slow_job(app, tmp_path, photo, seconds=0)
    sent = site.count(queue_of("default"))
    with Connection(site.broker_url) as connection:
        lane = Queue(queue_of("default"), channel=connection.channel())
        for _ in range(sent * (DELIVERY_LIMIT + 1)):
            message = lane.get()
            assert message is not None
            message.requeue()
        wait_until(lambda: site.count(DEAD_QUEUE) == sent)
        assert lane.get() is None
    with site.stack(tmp_path / "stack") as stack:
        job.wait(180)
        assert "nobody works on them; sent again" in (stack.logs / "worker-1.log").read_text()
    assert_slow_job_is_right(tmp_path, photo)
    assert site.count(DEAD_QUEUE) == sent


def test_a_retry_waits_in_the_broker_and_keeps_its_lane(site: Site, tmp_path: Path) -> None:
    app = site.app()
    np.save(tmp_path / "input.npy", data.camera())
    image = filters.gaussian(lepton.open(tmp_path / "input.npy"), sigma=1)
    job = lepton.submit({str(tmp_path / "o.npy"): image}, app=app, priority="interactive")
    with ExitStack() as running:
        with damaged(tmp_path / "input.npy"), Connection(site.broker_url) as connection:
            workers = running.enter_context(site.stack(tmp_path / "stack"))
            delayed = Exchange("celery_delayed_delivery", type="topic")
            probe = Queue("probe", delayed, routing_key="#.lepton.interactive", channel=connection.channel())
            probe.declare()
            retries: list[int] = []

            def came_back_twice() -> bool:
                message: Any = probe.get(no_ack=True)
                if message is not None:
                    retries.append(message.headers["retries"])
                return 2 in retries

            wait_until(came_back_twice)
            assert job.info().state is JobState.RUNNING
        job.wait(180)
        wait_until(lambda: site.count(queue_of("default")) == site.count(DEAD_QUEUE) == 0)
    assert "Reject" not in (workers.logs / "worker-1.log").read_text()
    assert np.array_equal(read(tmp_path / "o.npy"), sk_filters.gaussian(data.camera(), sigma=1))


def test_the_sweeper_finds_out_whether_messages_wait(site: Site, tmp_path: Path) -> None:
    app = site.app()
    np.save(tmp_path / "input.npy", np.zeros((64, 64), np.uint8))
    job = lepton.submit({str(tmp_path / "o.npy"): ~lepton.open(tmp_path / "input.npy")}, app=app, priority="batch")
    assert canvas.waiting_messages(app, "batch")
    with Connection(site.broker_url) as connection:
        Queue(queue_of("batch"), channel=connection.channel()).delete()
    assert not canvas.waiting_messages(app, "batch")
    job.cancel()


# ------------------------------------------------------------------------------------------------ URLs and applications

PROJECT = """
import os
from celery import Celery
from kombu import Queue
from lepton_celery import configure

app = Celery("project", broker=os.environ["LEPTON_BROKER_URL"], backend=os.environ["LEPTON_RESULT_BACKEND"])
app.conf.task_queues = [Queue("project"), Queue("lepton.batch")]
app.conf.task_default_queue = "project"
configure(app)

@app.task(name="project.add")
def add(a, b):
    return a + b
"""


def test_a_projects_own_application_serves_the_same_lanes(
    site: Site, rabbit: RabbitServer, tmp_path: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "project.py").write_text(PROJECT)
    monkeypatch.setenv("LEPTON_BROKER_URL", site.broker_url)
    monkeypatch.setenv("LEPTON_RESULT_BACKEND", site.ledger_url)
    names: dict[str, Any] = {}
    exec(PROJECT, names)
    with site.stack(tmp_path / "stack", app="project", cwd=tmp_path):
        assert names["add"].apply_async((1, 2)).get(timeout=30) == 3
        for name, app in (("project", names["app"]), ("ours", site.app())):
            output = tmp_path / f"{name}.npy"
            lepton.submit({str(output): ~lepton.open(photo)}, app=app, priority="batch").wait(180)
            assert np.array_equal(read(output), ~np.load(photo))
    assert isinstance(names["app"].amqp.queues[queue_of("interactive")], LaneQueue)
    found = rabbit.queues(site.broker_url.rpartition("/")[2])
    assert found[queue_of("batch")]["arguments"]["x-delivery-limit"] == DELIVERY_LIMIT
    assert found["project"]["arguments"] == {}


def test_rabbitmq_without_a_redis_for_the_ledger_is_refused() -> None:
    with pytest.raises(InputError, match="LEPTON_RESULT_BACKEND"):
        lepton.create_app(load_settings({"LEPTON_BROKER_URL": "amqp://lepton:secret@127.0.0.1//"}))
    with pytest.raises(InputError, match="result_backend of an application"):
        lepton.configure(Celery(broker="amqp://127.0.0.1//", backend="rpc://", set_as_current=False))


def test_without_a_broker_nothing_is_submitted(redis_server: RedisServer, tmp_path: Path, photo: Path) -> None:
    app = Site("amqp://lepton:secret@127.0.0.1:1//", redis_server.url).app()
    with pytest.raises(BrokerUnreachable) as caught:
        slow_job(app, tmp_path, photo)
    assert "secret" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["input.npy"]
