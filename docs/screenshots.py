"""Renews the pictures of Flower's pages in the documents, from real jobs on real workers: `python docs/screenshots.py`."""

from __future__ import annotations

import io
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright
from skimage import data

import lepton_celery as lepton
from lepton_celery.config import load_settings
from lepton_celery.local.stack import LocalStack, Project
from lepton_celery.skimage import filters, measure, morphology

DOCS = Path(__file__).parent
CHROMIUM = "/usr/bin/chromium"
MOST_BYTES = 100_000
"""Largest size of a picture."""
COLOURS = 200
FUNCTIONS = "tests.faults.blocks:*"
ENVIRONMENT = {
    "LEPTON_FLOWER_AUTH": "ada:engine",
    "LEPTON_ALLOWED_FUNCTIONS": FUNCTIONS,
    "PYTHONPATH": str(DOCS.parent),
}


def save(page: Page, name: str, height: int) -> None:
    """Save the top of a page, as it is in a window that is `height` pixels high."""
    page.set_viewport_size({"width": 1400, "height": height})
    page.mouse.move(1, 1)
    page.wait_for_selector("#live-dot.status-dot-live", timeout=60_000)
    page.wait_for_timeout(700)
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    path = DOCS / f"flower-{name}.png"
    shot.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise SystemExit(f"{path} has {size:,} bytes, more than {MOST_BYTES:,}; give it fewer colours or less height")
    print(f"{path}: {size:,} bytes")  # noqa: T201 - what a script says


def submit_jobs(app: Any, folder: Path) -> lepton.Job:
    """Submit jobs like those of a laboratory; returns one that takes a while."""
    coins = np.tile(data.coins(), (12, 12))
    np.save(folder / "plate 7.npy", coins)
    plate = lepton.open(folder / "plate 7.npy")
    smooth = filters.gaussian(plate, sigma=2)
    labels = measure.label(smooth > filters.threshold_otsu(smooth))
    broken = lepton.map_blocks("tests.faults.blocks:raises", lepton.open(np.where(coins > 250, 255, coins)))

    def go(title: str, owner: str, node: Any, suffix: str = "zarr", **options: Any) -> lepton.Job:
        given = {"block_shape": (128, 128), "owner": owner, "tenant": "imaging"} | options
        return lepton.submit({str(folder / f"{title}.{suffix}"): node}, app=app, title=title, **given)

    for number, owner in ((3, "grace"), (4, "grace"), (5, "ada")):
        go(f"nuclei of plate {number}", owner, labels).wait(300)
    go("sizes of nuclei", "ada", measure.regionprops_table(labels), "csv", priority="interactive").wait(300)
    go("background of plate 6", "linus", broken)
    go("all plates, smoothed", "grace", filters.gaussian(plate, sigma=12), priority="batch:2").pause()
    opened = morphology.opening(filters.median(plate, footprint=np.ones((9, 9))), footprint=morphology.disk(9))
    edges = filters.sobel(filters.gaussian(opened, sigma=3))
    return go("nuclei of plate 7", "ada", measure.label(edges > filters.threshold_otsu(edges)), block_shape=(96, 96))


def main() -> None:
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        project = Project(settings="local", env=ENVIRONMENT)
        with LocalStack(folder / "stack", workers=1, autoscale=(1, 3), interactive=True, project=project) as stack:
            settings = load_settings({"LEPTON_ALLOWED_FUNCTIONS": FUNCTIONS, "LEPTON_BROKER_URL": stack.broker_url})
            app = lepton.create_app(settings)
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
            context = browser.new_context(http_credentials={"username": "ada", "password": "engine"})
            page = context.new_page()
            job = submit_jobs(app, folder)
            page.goto(f"{stack.flower_url}/job/{job.id}")
            page.wait_for_selector("#map-legend span")
            while job.info().state.is_open and job.info().stage_index < 1:
                time.sleep(0.2)
            save(page, "job", 1550)
            page.goto(f"{stack.flower_url}/jobs")
            page.wait_for_selector("#jobs tbody tr")
            save(page, "jobs", 900)
            page.goto(f"{stack.flower_url}/fleet")
            page.wait_for_selector("#workers tbody tr")
            save(page, "fleet", 1080)
            job.cancel()
            browser.close()


if __name__ == "__main__":
    main()
