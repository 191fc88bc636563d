"""What is seen of jobs on real workers: the list, one job, its block map and its timeline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from celery import Celery

import lepton_celery as lepton
from lepton_celery.config import load_settings
from lepton_celery.errors import InputError, JobFailed
from lepton_celery.grid import BlockIndex, StageIndex
from lepton_celery.jobs.submit import JobKeywords
from lepton_celery.ledger import JobState, open_ledger
from lepton_celery.local.stack import LocalStack, Project
from lepton_celery.skimage import filters
from lepton_celery.views.blocks import BlockState, block_map, block_story
from lepton_celery.views.course import course
from lepton_celery.views.job import view_of
from lepton_celery.views.listing import JobQuery, Listing
from lepton_celery.views.report_page import report_page
from lepton_celery.views.timeline import timeline
from tests.waiting import eventually

pytestmark = pytest.mark.worker

BLOCK = 64
FIRST, SECOND = StageIndex(0), StageIndex(1)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Celery]:
    project = Project(settings="test")
    with LocalStack(tmp_path_factory.mktemp("views"), workers=2, flower=False, project=project) as stack:
        yield lepton.create_app(load_settings({"LEPTON_SETTINGS": "test", "LEPTON_BROKER_URL": stack.broker_url}))


@pytest.fixture
def image(tmp_path: Path) -> lepton.Image:
    pixels = np.random.default_rng(0).integers(0, 255, (5 * BLOCK, 7 * BLOCK - 3), np.uint8)
    pixels[100, 200] = 255
    np.save(tmp_path / "in.npy", pixels)
    return lepton.open(tmp_path / "in.npy")


def test_a_done_job_shows_who_did_which_block_when(app: Celery, tmp_path: Path, image: lepton.Image) -> None:
    smooth = filters.gaussian(image, sigma=1)
    outputs = {str(tmp_path / "o.npy"): smooth > filters.threshold_otsu(smooth)}
    given: JobKeywords = {"block_shape": (BLOCK, BLOCK), "title": "two", "priority": "batch:3", "tenant": "lab"}
    given["owner"] = "Ada Ü"
    job = lepton.submit(outputs, app=app, **given)
    job.wait(60)
    assert (job.manifest().options.owner, job.info().owner, view_of(job).summary.owner) == ("Ada Ü",) * 3
    with pytest.raises(InputError, match="owner 'a"):
        lepton.submit(outputs, app=app, owner="a\n")
    info, view = job.info(), view_of(job)
    assert (view.summary.state, view.summary.lane, view.summary.rank, view.summary.tenant) == (
        "done",
        "batch",
        3,
        "lab",
    )
    assert (view.summary.progress, view.summary.remaining_s, view.failure) == (1.0, None, None)
    assert view.outputs == (str(tmp_path / "o.npy"),)
    assert list(view.inputs) == [str(tmp_path / "in.npy")]
    assert view.versions["numpy"] == np.__version__
    assert [stage.state for stage in view.stages] == ["done"] * view.summary.stages
    for stage in view.stages:
        assert stage.blocks_done == stage.blocks == int(np.prod(stage.grid))
        assert stage.actual.elapsed_s is not None and stage.actual.elapsed_s > 0
        assert stage.actual.computing_s is not None and stage.predicted.computing_s is not None
    for index in range(info.stages):
        shown = block_map(job, StageIndex(index))
        assert shown.grid.counts == view.stages[index].grid
        assert set(shown.states) == {BlockState.DONE}
        assert shown.counts()[BlockState.DONE] == len(shown.grid)
        assert np.all(shown.seconds > 0) and np.all(shown.ended > 0) and np.all(shown.slots < len(shown.slot_names))
    line = timeline(job)
    assert 0 < line.busy_s <= line.length_s * len(line.lines)
    assert sum(span.blocks for one in line.lines for span in one.spans) == sum(stage.blocks for stage in view.stages)
    merges = [span for one in line.lines for span in one.spans if not span.blocks]
    assert len(merges) == info.stages
    found = course(job)
    assert [stage.left[-1] for stage in found.stages] == [0] * info.stages
    assert [stage.left[0] for stage in found.stages] == [stage.blocks for stage in view.stages]
    assert max(max(stage.busy) for stage in found.stages) <= len(line.lines) + 0.1  # times have milliseconds
    story = block_story(job, FIRST, BlockIndex(8))
    assert (story.position, story.start, story.stop) == ((1, 1), (64, 64), (128, 128))
    assert (story.state, story.attempts, story.owner) == ("done", 0, "")
    assert story.slot in shown.slot_names and story.batch_blocks > 0
    with pytest.raises(InputError, match="block"):
        block_story(job, FIRST, BlockIndex(10**6))


def test_a_running_job_shows_what_waits_and_what_is_worked_on(app: Celery, tmp_path: Path, image: lepton.Image) -> None:
    enough = tmp_path / "enough"
    slow = lepton.map_blocks("tests.faults.blocks:slow", image, seconds=0.1, until=str(enough))
    job = lepton.submit({str(tmp_path / "o.npy"): slow}, app=app, block_shape=(BLOCK // 4, BLOCK // 4))
    eventually(lambda: job.info().blocks_done > 3, "the first blocks", 30)
    eventually(lambda: block_map(job, FIRST).counts()[BlockState.WORKED_ON], "blocks that are worked on")
    counts = block_map(job, FIRST).counts()
    assert counts[BlockState.WAITS] + counts[BlockState.SENT] > 0 and counts[BlockState.DONE] > 3
    view = view_of(job)
    assert view.stages[0].state == "running"
    assert 0 < view.summary.progress < 1
    assert view.summary.blocks_per_s is not None and view.summary.blocks_per_s > 0
    assert view.summary.remaining_s is not None and view.summary.remaining_s > 0
    enough.touch()
    job.wait(60)


def test_a_failed_job_shows_the_block_and_the_reason(app: Celery, tmp_path: Path, image: lepton.Image) -> None:
    broken = lepton.map_blocks("tests.faults.blocks:raises", image)
    job = lepton.submit({str(tmp_path / "o.npy"): broken}, app=app, block_shape=(BLOCK, BLOCK))
    with pytest.raises(JobFailed):
        job.wait(60)
    view = view_of(job)
    assert view.failure is not None
    assert view.failure.reason
    assert 'blocks.py", line' in view.failure.traceback and "ValueError: a bright pixel" in view.failure.traceback
    hidden = view_of(job, shows_tracebacks=False).failure
    assert hidden == replace(view.failure, traceback="")
    page = report_page(job)
    assert "Traceback of block" in page and "blocks.py&quot;, line" in page
    assert block_map(job, FIRST).states[view.failure.block] == BlockState.FAILED
    assert view.stages[0].state == "failed"


def test_the_list_is_filtered_sorted_and_in_pages(app: Celery, tmp_path: Path, image: lepton.Image) -> None:
    listing = Listing(open_ledger(app.conf["lepton"].ledger))
    before = listing.page(JobQuery()).count
    for number, lane in enumerate(["batch", "interactive", "batch"]):
        outputs = {str(tmp_path / f"{number}.npy"): filters.gaussian(image, sigma=number + 1)}
        lepton.submit(outputs, app=app, priority=lane, title=f"job {number}", tenant="x" * number).wait(60)
    page = listing.page(JobQuery(count=2))
    assert [row.title for row in page.jobs] == ["job 2", "job 1"]
    assert page.count == before + 3
    assert [row.title for row in listing.page(JobQuery(count=2, start=2)).jobs][:1] == ["job 0"]
    assert [row.title for row in listing.page(JobQuery(text="JOB", sort="title", descending=False)).jobs] == [
        "job 0",
        "job 1",
        "job 2",
    ]
    assert {row.title for row in listing.page(JobQuery(lane="batch", text="job ")).jobs} == {"job 0", "job 2"}
    assert [row.title for row in listing.page(JobQuery(tenant="xx")).jobs] == ["job 2"]
    assert listing.page(JobQuery(states=["paused"])).count == 0
    assert {"x", "xx"} <= set(page.tenants)
    assert page.states[JobState.DONE] >= 3
    for wrong in ({"sort": "colour"}, {"states": ["asleep"]}, {"count": 0}, {"start": -1}):
        with pytest.raises(InputError):
            JobQuery(**wrong)
