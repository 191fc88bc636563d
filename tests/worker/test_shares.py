"""Small jobs beside large ones on real workers: in a more urgent lane, in the same one, and in one's own share of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from celery import Celery

import lepton_celery as lepton
from lepton_celery.config import load_settings
from lepton_celery.ledger import JobState, open_ledger
from lepton_celery.local.stack import LocalStack, Project
from lepton_celery.skimage import exposure, filters, measure
from tests.waiting import eventually

pytestmark = pytest.mark.worker

BLOCK = 64


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    project = Project(settings="test", env={"LEPTON_TENANTS": "slow:1:1"})
    with LocalStack(tmp_path_factory.mktemp("lanes"), workers=2, flower=False, project=project) as stack:
        yield stack


@pytest.fixture(scope="module")
def app(stack: LocalStack) -> Celery:
    return lepton.create_app(
        load_settings({"LEPTON_SETTINGS": "test", "LEPTON_BROKER_URL": stack.broker_url, "LEPTON_TENANTS": "slow:1:1"})
    )


@pytest.fixture
def large(app: Celery, tmp_path: Path) -> Any:
    """Submits a job of 1,024 blocks that take 0.1 s each until the test has it `end`."""
    enough = tmp_path / "enough"
    np.save(tmp_path / "large.npy", np.zeros((32 * BLOCK, 32 * BLOCK), np.uint8))

    def submit(name: str = "l.npy", **options: Any) -> lepton.Job:
        image = lepton.map_blocks(
            "tests.faults.blocks:slow", lepton.open(tmp_path / "large.npy"), seconds=0.1, until=str(enough)
        )
        job = lepton.submit({str(tmp_path / name): image}, app=app, block_shape=(BLOCK, BLOCK), **options)
        eventually(lambda: job.info().blocks_done > 0, "the first blocks")
        return job

    submit.end = enough.touch  # type: ignore[attr-defined]
    return submit


def small(app: Celery, folder: Path, **options: Any) -> lepton.Job:
    """Submit a job of five stages, so small that it is one message on a busy machine too, where times are long."""
    np.save(folder / "small.npy", np.random.default_rng(0).integers(0, 255, (2 * BLOCK, 2 * BLOCK), np.uint8))
    image = exposure.rescale_intensity(lepton.open(folder / "small.npy"), out_range=(0.0, 1.0))
    smooth = filters.gaussian(image, sigma=2)
    labels = measure.label(smooth > filters.threshold_otsu(smooth))
    outputs = {str(folder / "s.npy"): labels, str(folder / "s.csv"): measure.regionprops_table(labels)}
    return lepton.submit(outputs, app=app, block_shape=(BLOCK, BLOCK), **options)


@pytest.mark.parametrize(("urgent", "slow"), [("interactive", "batch"), ("default", "batch"), ("batch", "batch")])
def test_a_small_job_ends_while_a_large_one_runs(
    app: Celery, tmp_path: Path, large: Any, urgent: str, slow: str
) -> None:
    job = large(priority=slow)
    info = small(app, tmp_path, priority=urgent).wait(180)
    assert len(info.stage_times) == 5
    assert job.info().state is JobState.RUNNING
    large.end()
    job.wait(180)
    assert np.all(np.load(tmp_path / "l.npy") == 255)


def test_a_small_job_is_one_message(app: Celery, stack: LocalStack, tmp_path: Path) -> None:
    open_ledger(stack.broker_url).keep_costs("default", None)  # of a busy machine, where the job would not be small
    job = small(app, tmp_path)
    assert job.manifest().plan.is_small

    def tasks() -> list[str]:
        lines = [line for path in stack.logs.glob("worker-*.log") for line in path.read_text().splitlines()]
        return [line for line in lines if "lepton.process" in line and "succeeded" in line and job.id in line]

    job.wait(180)
    eventually(tasks, "the line of the job's task in a worker's log")
    assert len(tasks()) == 1


def test_two_jobs_of_a_lane_go_on_side_by_side(tmp_path: Path, large: Any) -> None:
    first, second = large("first.npy"), large("second.npy")
    begun = [job.info().blocks_done for job in (first, second)]

    def done() -> list[int]:
        return [job.info().blocks_done - at for job, at in zip((first, second), begun, strict=True)]

    eventually(lambda: sum(done()) >= 100, "a hundred blocks", 60)
    # 0.44 on a quiet machine; the turns themselves are tested to a tenth in `test_turns.py`
    assert min(done()) >= 0.25 * sum(done())
    large.end()
    for job in (first, second):
        job.wait(180)


def test_a_tenant_occupies_no_more_slots_than_it_may(app: Celery, large: Any) -> None:
    job = large(tenant="slow")
    ledger = open_ledger(app.conf["lepton"].ledger)
    client: Any = ledger._connection._client
    owners = set()

    def watched() -> bool:
        held = client.hvals(ledger._connection.key(job.id, "leases"))
        owners.add(len({lease.split(" ", 3)[-1].split("@")[0] for lease in held}))
        return bool(job.info().blocks_done >= 30)

    eventually(watched, "thirty blocks", 60)
    assert max(owners) == 1
    job.cancel()
    large.end()


def test_a_job_that_is_given_another_lane_goes_on_there(app: Celery, large: Any) -> None:
    job = large(priority="batch")
    assert job.reprioritize("interactive:3")
    before = job.info().blocks_done
    eventually(lambda: job.info().blocks_done >= before + 50, "blocks", 60)
    large.end()
    assert job.wait(180).priority == "interactive:3"
    assert not job.reprioritize("batch")
