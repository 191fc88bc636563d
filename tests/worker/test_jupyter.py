"""What people see of images and jobs in a real JupyterLab."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from lepton_celery.local.stack import LocalStack
from tests.worker.browser import WAIT_MS, chromium, shot
from tests.worker.dark_images import BLOCK
from tests.worker.jupyter import TOKEN, notebook, running_lab

pytestmark = pytest.mark.worker


@pytest.fixture
def page() -> Iterator[Page]:
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1200, "height": 1400})
        page.set_default_timeout(2 * WAIT_MS)
        yield page


@pytest.mark.usefixtures("dark")
def test_a_notebook_shows_an_image_a_graph_and_a_job_that_goes_on(
    workers: LocalStack, page: Page, tmp_path: Path
) -> None:
    until, log = tmp_path / "until", str(tmp_path / "log")
    title = "<img src=x onerror=alert(1)>"
    cells = (
        "import lepton_celery as lepton\nfrom lepton_celery.skimage import filters\nlepton.open('input.npy')",
        "smooth = filters.gaussian(lepton.open('input.npy'), sigma=2)\nsmooth > filters.threshold_otsu(smooth)",
        f"""
held = lepton.map_blocks("tests.faults.blocks:held", lepton.open("input.npy"), until={str(until)!r}, log={log!r})
job = lepton.submit({{"held.npy": held}}, block_shape=({BLOCK}, {BLOCK}), title={title!r})
job.wait(progress=True);
""",
        "[result] = job.result().values()\nresult",
    )
    (tmp_path / "seen.ipynb").write_text(notebook(*cells))
    problems: list[str] = []
    page.on("dialog", lambda dialog: problems.append(dialog.message))
    with running_lab(tmp_path, {"LEPTON_SETTINGS": "test", "LEPTON_BROKER_URL": workers.broker_url}) as address:
        page.goto(f"{address}lab/tree/seen.ipynb?token={TOKEN}")
        expect(page.locator(".jp-Notebook-cell")).to_have_count(len(cells))
        expect(page.locator("body")).to_contain_text("| Idle", timeout=2 * WAIT_MS)  # the kernel is there
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        outputs = page.locator(".jp-Notebook-cell .jp-OutputArea")
        image, graph, job, result = (outputs.nth(number) for number in range(len(cells)))
        expect(image).to_contain_text("input.npy", timeout=2 * WAIT_MS)  # its kernel starts
        expect(image.locator("img")).to_be_visible()
        expect(graph).to_contain_text("gaussian")
        expect(graph).to_contain_text("stage 2/")
        expect(job).to_contain_text("worked on")
        expect(job).to_contain_text("running")
        before = job.locator("img.map").get_attribute("src")
        shot(page, "notebook-running")
        until.touch()
        expect(job).to_contain_text("done: 16")
        expect(job).to_contain_text("100%")
        assert job.locator("img.map").get_attribute("src") != before
        expect(result.locator("img")).to_be_visible()
        shot(page, "notebook-done")
        drawn = page.evaluate("[...document.querySelectorAll('.jp-OutputArea img')].map(one => one.naturalWidth)")
        assert len(drawn) >= 4 and all(drawn)
        assert not page.locator(".jp-OutputArea script, .jp-OutputArea [onerror]").count() and problems == []
        expect(job).to_contain_text(title)
        assert page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
