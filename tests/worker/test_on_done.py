"""A real worker of a project tells of the end of jobs, also if it is killed at that moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from celery import Celery, group
from numpy.typing import NDArray

import lepton_celery as lepton
from lepton_celery.errors import JobFailed
from lepton_celery.local.server import RedisServer
from lepton_celery.local.stack import LocalStack, Project
from tests.acceptance.commands import ROOT
from tests.stacks import short_lived
from tests.waiting import eventually

pytestmark = pytest.mark.worker

SITE = """
import os
import signal
from pathlib import Path
from celery import Celery
from celery.signals import after_task_publish
from kombu import Queue
from lepton_celery import configure
from lepton_celery.ledger import Ledger

FOLDER = Path(os.environ["SITE_FOLDER"])
app = Celery("site", broker=os.environ["SITE_BROKER"], set_as_current=False)


def kill(when):
    # kills this process once, if the test has asked for it
    asked = FOLDER / when
    if "SITE_WORKER" in os.environ and asked.exists():
        asked.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def route(name, *args, **options):
    if name.startswith("site."):
        kill("before")
        return {"queue": "site"}


def end_notice(*arguments, end=Ledger.end_notice):
    kill("noting")
    end(*arguments)


Ledger.end_notice = end_notice if "SITE_WORKER" in os.environ else Ledger.end_notice


@after_task_publish.connect(weak=False)
def published(sender=None, **_):
    if sender.startswith("site."):
        kill("after")


app.conf.update(
    task_routes=[route],
    task_queues=[Queue(name) for name in ("site", "lepton.batch", "lepton.default", "lepton.interactive")],
)
configure(app)


@app.task(name="site.tell", bind=True, shared=False)
def tell(self, job_id, state, *more):
    with (FOLDER / "told").open("a") as file:
        print(job_id, state, self.request.id, *more, file=file)
    return state


@app.task(name="site.next", shared=False)
def following(state, job_id):
    with (FOLDER / "told").open("a") as file:
        print(job_id, "then", state, file=file)
"""


@dataclass
class Site:
    app: Celery[Any]
    folder: Path

    def told(self, job: lepton.Job) -> list[list[str]]:
        """What the project was told of a job, in order: the words after its id."""
        with suppress(FileNotFoundError):
            lines = (self.folder / "told").read_text().splitlines()
            return [line.split()[1:] for line in lines if line.startswith(job.id)]
        return []

    def owed(self) -> int:
        """Number of jobs whose end is to be told."""
        with redis.Redis.from_url(self.app.conf.broker_url) as client:
            return int(client.zcard("lepton:notices"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    (folder / "site_app.py").write_text(SITE)
    with RedisServer(folder / "server") as server, pytest.MonkeyPatch.context() as patch:
        env = {
            "SITE_BROKER": server.url,
            "SITE_FOLDER": str(folder),
            "LEPTON_ALLOWED_FUNCTIONS": "tests.faults.blocks:*",
            "PYTHONPATH": str(ROOT),
            "LEPTON_LEASE_S": "3",
            "LEPTON_SWEEP_S": "0.5",
        }
        for name, value in env.items():
            patch.setenv(name, value)
        names: dict[str, Any] = {"__name__": "site_app"}
        exec(SITE, names)
        project = Project(app="site_app", settings="", env={**env, "SITE_WORKER": "1"}, cwd=folder)
        stack = LocalStack(folder / "stack", workers=1, flower=False, broker_url=server.url, project=project)
        with short_lived(stack):
            yield Site(names["app"], folder)


@pytest.fixture
def image(tmp_path: Path) -> NDArray[np.uint8]:
    pixels = np.arange(128 * 128, dtype=np.uint32).reshape(128, 128).astype(np.uint8) % 200
    np.save(tmp_path / "input.npy", pixels)
    return pixels


def submit(site: Site, tmp_path: Path, on_done: Any, function: str = "inverted", **parameters: Any) -> lepton.Job:
    node = lepton.map_blocks(f"tests.faults.blocks:{function}", lepton.open(tmp_path / "input.npy"), **parameters)
    return lepton.submit(
        {str(tmp_path / "o.npy"): node}, app=site.app, block_shape=(64, 64), overwrite=True, on_done=on_done
    )


def test_each_end_is_told_once(site: Site, tmp_path: Path, image: NDArray[np.uint8]) -> None:
    tell, following = site.app.tasks["site.tell"], site.app.tasks["site.next"]
    done = submit(site, tmp_path, group(tell.s("a"), tell.s("b")))
    done.wait(120)
    eventually(lambda: len(site.told(done)) == 2)
    assert sorted((state, more) for state, _, more in site.told(done)) == [("done", "a"), ("done", "b")]
    assert np.array_equal(np.load(tmp_path / "o.npy"), 255 - image)

    chained = submit(site, tmp_path, tell.s() | following.s("-"))
    chained.wait(120)
    eventually(lambda: "- then done" in (site.folder / "told").read_text())

    image[70, 70] = 255
    np.save(tmp_path / "input.npy", image)
    failed = submit(site, tmp_path, tell.s(), "raises", cured=str(tmp_path / "cured"))
    with pytest.raises(JobFailed):
        failed.wait(120)
    eventually(lambda: len(site.told(failed)) == 1)
    (tmp_path / "cured").touch()
    lepton.resume(failed.id, app=site.app).wait(120)
    eventually(lambda: len(site.told(failed)) == 2)
    assert [words[0] for words in site.told(failed)] == ["failed", "done"]
    assert len({words[1] for words in site.told(failed)}) == 2


@pytest.mark.parametrize(("when", "function"), [("before", "inverted"), ("after", "raises"), ("noting", "inverted")])
def test_a_process_that_is_killed_at_the_end_has_it_told_once(
    site: Site, tmp_path: Path, image: NDArray[np.uint8], when: str, function: str
) -> None:
    """SIGKILL after the job has ended: before its message is sent, within sending, or before that is noted."""
    if function == "raises":
        image[70, 70] = 255
        np.save(tmp_path / "input.npy", image)
    (site.folder / when).touch()
    job = submit(site, tmp_path, site.app.tasks["site.tell"].s(), function)
    with suppress(JobFailed):
        job.wait(120)
    eventually(lambda: bool(site.told(job)))
    eventually(lambda: not site.owed())  # a sweeper has looked after what the process left
    site.app.tasks["site.tell"].delay(f"last-{job.id}", "done")  # comes after what waits in the queue
    eventually(lambda: f"last-{job.id}" in (site.folder / "told").read_text())
    assert not (site.folder / when).exists()  # the process was killed
    [[state, _]] = site.told(job)
    assert state == ("done" if function == "inverted" else "failed")
