"""Jobs of an application with `task_always_eager`, which run where they are submitted and need no server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from celery import Celery
from skimage import data
from skimage import filters as sk_filters

import lepton_celery as lepton
from lepton_celery.config import Settings
from lepton_celery.errors import InputError, JobError, JobFailed, OutputExists, PlanTooLarge
from lepton_celery.jobs import eager
from lepton_celery.ledger.info import JobState
from lepton_celery.planning.options import Limits
from lepton_celery.skimage import filters


@pytest.fixture
def app() -> Celery[Any]:
    """A project under test: nothing answers at its URLs."""
    app: Celery[Any] = Celery("p", broker="memory://", backend="cache+memory://", set_as_current=False)
    app.conf.task_always_eager = True
    return lepton.configure(app, Settings(allowed_functions=("tests.faults.blocks:*",)))


def faulty(tmp_path: Path) -> Any:
    image = np.full((64, 64), 255, np.uint8)
    np.save(tmp_path / "input.npy", image)
    return lepton.map_blocks("tests.faults.blocks:raises", lepton.open(tmp_path / "input.npy"))


def test_a_job_is_done_when_submit_returns(app: Celery, tmp_path: Path) -> None:
    coins = data.coins()
    output = tmp_path / "o.npy"
    job = lepton.submit({str(output): filters.gaussian(lepton.open(coins), sigma=2)}, app=app, priority="batch")
    assert np.array_equal(np.load(output), sk_filters.gaussian(coins, sigma=2))
    assert job.info().state is JobState.DONE
    assert job.progress() == 1.0
    assert job.wait().state is JobState.DONE
    assert np.array_equal(lepton.compute(job.result()[str(output)]), np.load(output))
    assert not job.cancel()
    with pytest.raises(OutputExists):
        lepton.submit({str(output): ~lepton.open(coins)}, app=app)


def test_a_job_is_found_again_by_its_id(app: Celery, tmp_path: Path) -> None:
    job = lepton.submit({str(tmp_path / "o.npy"): ~lepton.open(data.coins())}, app=app, title="inverted")
    assert lepton.get_job(job.id).info().title == "inverted"
    assert eager.newest_jobs(1)[0].job_id == job.id
    with pytest.raises(JobError, match="cannot be resumed"):
        lepton.resume(job.id, app=app)
    with pytest.raises(JobError, match="cannot be tried again"):
        lepton.retry(job.id, app=app)


def test_a_failed_job_is_returned_and_raises_when_it_is_waited_for(app: Celery, tmp_path: Path) -> None:
    job = lepton.submit({str(tmp_path / "o.npy"): faulty(tmp_path)}, app=app)
    assert job.info().state is JobState.FAILED
    with pytest.raises(JobFailed, match="a bright pixel"):
        job.wait()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["input.npy"]


def test_errors_propagate_if_the_project_wants_them(app: Celery, tmp_path: Path) -> None:
    app.conf.task_eager_propagates = True
    with pytest.raises(ValueError, match="a bright pixel"):
        lepton.submit({str(tmp_path / "o.npy"): faulty(tmp_path)}, app=app)


def test_what_is_refused_on_workers_is_refused(app: Celery, tmp_path: Path) -> None:
    image = lepton.map_blocks("numpy:negative", lepton.open(data.coins()))
    with pytest.raises(InputError, match="allowed_functions"):
        lepton.submit({str(tmp_path / "o.npy"): image}, app=app)


def test_a_project_may_switch_it_on_after_configure(tmp_path: Path) -> None:
    app: Celery[Any] = Celery("p", broker="redis://127.0.0.1:1/0", set_as_current=False)
    lepton.configure(app, Settings())
    app.conf.task_always_eager = True
    lepton.submit({str(tmp_path / "o.npy"): ~lepton.open(data.coins())}, app=app)
    assert (tmp_path / "o.npy").exists()


def test_a_job_is_refused_by_the_settings_and_leaves_nothing(tmp_path: Path) -> None:
    app: Celery[Any] = Celery("site", broker="memory://", set_as_current=False)
    app.conf.task_always_eager = True
    lepton.configure(app, Settings(max_output_bytes=1000))
    with pytest.raises(PlanTooLarge, match="LEPTON_MAX_OUTPUT_BYTES"):
        lepton.submit({str(tmp_path / "o.npy"): ~lepton.open(data.coins())}, app=app)
    assert list(tmp_path.iterdir()) == []
    limits = Limits(output_bytes=1 << 20)
    assert (
        lepton.submit({str(tmp_path / "o.npy"): ~lepton.open(data.coins())}, app=app, limits=limits).info().state
        == "done"
    )
