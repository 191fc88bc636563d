"""`lepton report` on real workers: the page in a real browser, of a job that is done and of one that failed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from celery import Celery
from click.testing import CliRunner
from playwright.sync_api import Browser
from skimage import data

import lepton_celery as lepton
from lepton_celery.cli import lepton as lepton_command
from lepton_celery.config import load_settings
from lepton_celery.errors import JobFailed
from lepton_celery.jobs.job import Job
from lepton_celery.local.stack import LocalStack, Project
from lepton_celery.skimage import filters, measure

pytestmark = pytest.mark.worker

HOSTILE = "<img src=x onerror=alert(1)> & \u202e cells"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    project = Project(settings="test")
    with LocalStack(tmp_path_factory.mktemp("report"), workers=2, flower=False, project=project) as stack:
        yield stack


@pytest.fixture(scope="module")
def app(stack: LocalStack) -> Celery:
    return lepton.create_app(load_settings({"LEPTON_SETTINGS": "test", "LEPTON_BROKER_URL": stack.broker_url}))


def report_of(job: Job, stack: LocalStack, path: Path, *options: str) -> str:
    runner = CliRunner(env={"LEPTON_BROKER_URL": stack.broker_url})
    done = runner.invoke(lepton_command, ["report", job.id[:8], "-o", str(path), *options])
    assert done.exit_code == 0, done.output
    assert f"wrote {path}" in done.output
    return path.read_text()


def opened(browser: Browser, path: Path, width: int = 1100) -> tuple[dict[str, object], list[str]]:
    """What the browser finds in a page, and what it complains of."""
    problems: list[str] = []
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text))
    page.on("dialog", lambda dialog: problems.append(dialog.message))
    page.on(
        "request", lambda request: None if request.url.startswith(("file:", "data:")) else problems.append(request.url)
    )
    page.goto(path.as_uri())
    found: dict[str, object] = page.evaluate(
        """() => ({
            broken: [...document.images].filter(one => !one.naturalWidth || !one.alt).length,
            images: document.images.length,
            headings: [...document.querySelectorAll('h2')].map(one => one.textContent),
            scripts: document.scripts.length,
            width: document.documentElement.scrollWidth,
            bars: document.querySelectorAll('svg rect').length,
        })"""
    )
    if shots := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=f"{shots}/{path.stem}-{width}.png", full_page=True)
    assert len(page.pdf()) > 10_000, "it prints"
    page.close()
    return found, problems


def test_the_page_of_a_done_job(browser: Browser, app: Celery, stack: LocalStack, tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", np.tile(data.coins(), (2, 3)))
    image = lepton.open(tmp_path / "in.npy")
    smooth = filters.gaussian(image, sigma=2)
    coins = measure.label(smooth > filters.threshold_otsu(smooth))
    table = measure.regionprops_table(coins, image, properties=("label", "area"))
    outputs = {str(tmp_path / "coins <&>.npy"): coins, str(tmp_path / "coins.csv"): table}
    job = lepton.submit(outputs, app=app, block_shape=(64, 64), title=HOSTILE, tenant="lab")
    job.wait(120)
    text = report_of(job, stack, tmp_path / "done.html")
    for word in (
        "gaussian",
        "sigma=2",
        "otsu",
        "label",
        "tenant lab",
        np.__version__,
        "coins.csv",
        "Computing (C)",
        job.id,
    ):
        assert word in text, word
    assert "<img src=x" not in text and "\u202e" not in text and "http" not in re.sub("http-equiv", "", text)
    stages = job.info().stages
    for width in (1100, 400):
        found, problems = opened(browser, tmp_path / "done.html", width)
        assert problems == []
        assert found["headings"] == ["Pictures", "Stages", "Timeline", "Provenance"]
        assert found["broken"] == found["scripts"] == 0
        assert found["images"] == 2 + 3 * stages, "two pictures, and three maps of each stage"
        assert isinstance(found["bars"], int) and found["bars"] >= stages
        assert found["width"] == width, "nothing is wider than the window"
    assert len(text) < 2_000_000
    bare = report_of(job, stack, tmp_path / "bare.html", "--no-pictures")
    assert "Pictures" not in bare


def test_the_page_of_a_failed_job(browser: Browser, app: Celery, stack: LocalStack, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (320, 448), np.uint8)
    pixels[100, 200] = 255  # on which the function fails
    np.save(tmp_path / "in.npy", pixels)
    broken = lepton.map_blocks("tests.faults.blocks:raises", lepton.open(tmp_path / "in.npy"))
    job = lepton.submit({str(tmp_path / "o.npy"): broken}, app=app, block_shape=(64, 64))
    with pytest.raises(JobFailed):
        job.wait(60)
    report_of(job, stack, tmp_path / "failed.html")
    found, problems = opened(browser, tmp_path / "failed.html")
    assert problems == [] and found["broken"] == 0
    assert "Troubles" in str(found["headings"])
    text = (tmp_path / "failed.html").read_text()
    assert 'role="alert"' in text and "The block because of which the job failed" in text
    (tmp_path / "in.npy").unlink()
    text = report_of(job, stack, tmp_path / "without.html")
    assert "no picture" in text


def test_where_it_cannot_be_written(app: Celery, stack: LocalStack, tmp_path: Path) -> None:
    runner = CliRunner(env={"LEPTON_BROKER_URL": stack.broker_url})
    assert runner.invoke(lepton_command, ["report", "unknown", "-o", str(tmp_path / "x.html")]).exit_code == 8
