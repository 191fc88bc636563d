"""The pictures of a job in Flower, in a real browser, on real workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import zarr
from celery import Celery
from playwright.sync_api import Browser, Page, expect
from skimage import data

import lepton_celery as lepton
from lepton_celery.jobs.job import Job
from lepton_celery.local.stack import LocalStack, Project
from lepton_celery.skimage import filters, measure
from tests.stacks import short_lived
from tests.waiting import eventually
from tests.worker.browser import barriers, problems_of, shot
from tests.worker.conftest import app_of

pytestmark = pytest.mark.worker


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    project = Project(settings="test")
    with short_lived(LocalStack(tmp_path_factory.mktemp("pictures"), workers=2, project=project)) as stack:
        yield stack


@pytest.fixture(scope="module")
def app(stack: LocalStack) -> Celery:
    return app_of(stack)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    problems = problems_of(page)
    yield page
    page.close()
    assert [problem for problem in problems if "Failed to load resource" not in problem] == []


def opened(page: Page, stack: LocalStack, job: Job) -> list[str]:
    """Open a job's page and scroll to its pictures; the addresses of the tiles that are asked for from now on."""
    tiles: list[str] = []
    page.on("request", lambda request: tiles.append(request.url) if "/tile?" in request.url else None)
    page.goto(f"{stack.flower_url}/job/{job.id}")
    expect(page.locator("#progress")).not_to_have_text("—")
    assert tiles == [], "pages of which only the top is read cost no picture"
    page.locator("#picture").scroll_into_view_if_needed()
    loaded(page)
    return tiles


def loaded(page: Page) -> None:
    expect(page.locator(".lepton-picture-frame")).to_have_attribute("data-loaded", "yes")


def pixel(page: Page, x: float, y: float) -> list[int]:
    """The colour that the viewer shows at a place, in fractions of its width and height."""
    found: list[int] = page.evaluate(
        """([x, y]) => {
            const canvas = document.querySelector(".lepton-picture-stage canvas");
            return [...canvas.getContext("2d").getImageData(x * canvas.width, y * canvas.height, 1, 1).data];
        }""",
        [x, y],
    )
    return found


def until(page: Page, condition: Callable[[], bool], what: str) -> None:
    """Wait for what the browser does."""

    def holds() -> bool:
        page.wait_for_timeout(50)  # requests are noted meanwhile
        return condition()

    eventually(holds, what, timeout_s=30)


def turn(page: Page, theme: str) -> None:
    """Show a page in another theme, without loading it again."""
    page.evaluate(
        """async theme => {
            document.documentElement.setAttribute("data-bs-theme", theme);
            await Promise.allSettled(document.getAnimations().map(one => one.finished));
        }""",
        theme,
    )


def test_before_and_after_are_compared(stack: LocalStack, app: Celery, page: Page, tmp_path: Path) -> None:
    np.save(tmp_path / "coins.npy", np.tile(data.coins(), (6, 8)))
    image = lepton.open(tmp_path / "coins.npy")
    smooth = filters.gaussian(image, sigma=2)
    labels = measure.label(smooth > filters.threshold_otsu(smooth))
    job = lepton.submit({str(tmp_path / "labels.zarr"): labels}, app=app, block_shape=(512, 512))
    job.wait(180)
    tiles = opened(page, stack, job)
    expect(page.locator(".lepton-picture-name").first).to_have_text("Before: coins.npy")
    expect(page.locator(".lepton-picture-name").last).to_have_text("After: labels.zarr")
    expect(page.locator("#picture .lepton-legend")).to_contain_text("each label in a colour of its own")
    shot(page, "picture")
    # grey on the left of the divider, colours on its right, and after the divider has moved, colours there too
    divider = page.get_by_role("slider", name="Divider between before and after")
    grey, colours = (
        any(max(c := pixel(page, x / 100, 0.4)[:3]) != min(c) for x in r) for r in (range(35, 48), range(52, 65))
    )
    assert (grey, colours) == (False, True)
    divider.focus()
    page.keyboard.press("Home")
    expect(divider).to_have_attribute("aria-valuenow", "0")
    until(
        page,
        lambda: any(max(c := pixel(page, x / 100, 0.4)[:3]) != min(c) for x in range(35, 48)),
        "labels on the left",
    )
    page.keyboard.press("End")
    for _ in range(10):
        page.keyboard.press("ArrowLeft")
    expect(divider).to_have_attribute("aria-valuetext", "80 % before, 20 % after")
    box = divider.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] - 200, box["y"] + 60, steps=5)
    page.mouse.up()
    assert 55 < int(divider.get_attribute("aria-valuenow") or 0) < 70
    before = len(tiles)
    for _ in range(4):
        page.get_by_role("group", name="Zoom of the picture").get_by_role("button", name="Zoom in").click()
    until(page, lambda: len(tiles) > before and "level=0" in tiles[-1], "finer tiles")
    loaded(page)
    page.get_by_label("Grid of blocks").check()
    shot(page, "picture-zoomed")
    canvas = page.locator("#map-canvas")
    canvas.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    page.get_by_role("button", name="Show in the picture").click()
    loaded(page)
    page.wait_for_timeout(600)
    shot(page, "picture-block")
    for theme in ("dark", "light"):
        turn(page, theme)
        shot(page, f"picture-{theme}", full=True)
        assert barriers(page) == []
    page.set_viewport_size({"width": 390, "height": 800})
    page.locator("#picture").scroll_into_view_if_needed()
    loaded(page)
    shot(page, "picture-narrow")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_planes_and_channels_of_a_volume_are_chosen(stack: LocalStack, app: Celery, page: Page, tmp_path: Path) -> None:
    volume = np.zeros((9, 300, 400), np.uint16)
    for plane in range(9):
        volume[plane, 20 * plane : 20 * plane + 40] = 1000 + 100 * plane
    np.save(tmp_path / "volume.npy", volume)
    np.save(tmp_path / "photo.npy", data.astronaut())
    outputs = {
        str(tmp_path / "smooth.zarr"): filters.gaussian(lepton.open(tmp_path / "volume.npy"), sigma=1),
        str(tmp_path / "photo.tif"): lepton.open(tmp_path / "photo.npy") + 0,
    }
    job = lepton.submit(outputs, app=app, block_shape=(128, 128))
    job.wait(180)
    tiles = opened(page, stack, job)
    slider = page.get_by_label("Axis 0, plane 4")
    assert all("plane=4" in url for url in tiles)
    slider.focus()
    page.keyboard.press("End")
    until(page, lambda: "plane=8" in tiles[-1], "tiles of the last plane")
    loaded(page)
    shot(page, "picture-volume")
    page.get_by_label("Before", exact=True).select_option(label="Input: photo.npy")
    page.get_by_label("After", exact=True).select_option(label="Output: photo.tif")
    channel = page.get_by_label("Channel")
    expect(channel).to_have_value("")
    loaded(page)
    assert len(set(pixel(page, 0.45, 0.5)[:3])) > 1, "in colours"
    channel.select_option("0")
    until(page, lambda: "channel=0" in tiles[-1], "tiles of the red channel")
    loaded(page)
    assert len(set(pixel(page, 0.45, 0.5)[:3])) == 1, "in grey"
    shot(page, "picture-channel")
    assert barriers(page) == []


def test_an_unfinished_and_a_deleted_output_say_so(stack: LocalStack, app: Celery, page: Page, tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", np.tile(data.coins(), (2, 3)))
    enough = tmp_path / "enough"
    slow = lepton.map_blocks(
        "tests.faults.blocks:slow", lepton.open(tmp_path / "in.npy"), seconds=0.3, until=str(enough)
    )
    outputs = {str(tmp_path / "out.zarr"): slow, str(tmp_path / "out.tif"): slow}
    job = lepton.submit(outputs, app=app, block_shape=(64, 64))
    eventually(lambda: job.info().blocks_done > 12, "some blocks")
    tiles = opened(page, stack, job)
    expect(page.locator(".lepton-picture-name").last).to_have_text("After: out.zarr, unfinished")
    shot(page, "picture-unfinished")
    before = len({url.partition("version=")[2] for url in tiles})
    until(
        page, lambda: len({url.partition("version=")[2] for url in tiles}) > before, "tiles of what was written since"
    )
    page.get_by_label("After", exact=True).select_option(label="Output: out.tif")
    message = page.locator(".lepton-picture-message")
    expect(message).to_contain_text("can be seen when the job is done")
    enough.touch()
    expect(page.locator("#state .badge")).to_have_text("Done")
    expect(page.locator(".lepton-picture-name").last).to_have_text("After: out.tif")
    loaded(page)
    expect(message).to_be_hidden()
    (tmp_path / "out.tif").unlink()
    page.reload()
    page.locator("#picture").scroll_into_view_if_needed()
    loaded(page)
    page.get_by_label("After", exact=True).select_option(label="Output: out.tif")
    expect(message).to_contain_text("there is nothing at")
    shot(page, "picture-deleted")
    assert barriers(page) == []


def test_a_view_that_would_cost_too_much_asks_to_zoom_in(
    stack: LocalStack, app: Celery, page: Page, tmp_path: Path
) -> None:
    zarr.create_array(
        str(tmp_path / "huge.zarr"), shape=(200_000, 200_000), chunks=(2048, 2048), dtype="uint8", fill_value=9
    )
    job = lepton.submit({str(tmp_path / "corner.npy"): lepton.open(tmp_path / "huge.zarr")[:64, :64] + 1}, app=app)
    job.wait(180)
    tiles = opened(page, stack, job)
    page.get_by_label("After", exact=True).select_option(label="Input: huge.zarr")
    loaded(page)
    message = page.locator(".lepton-picture-message")
    expect(message).to_be_hidden()
    expect(page.get_by_role("slider", name="Divider between before and after")).to_be_hidden()
    assert all("level=4" in url for url in tiles if "input-1" in url)
    before = len(tiles)
    page.get_by_role("button", name="Whole picture").click()
    expect(message).to_contain_text("Zoom in to see the pixels")
    shot(page, "picture-huge")
    assert len(tiles) - before < 60
    page.get_by_role("button", name="1:1").click()
    expect(message).to_be_hidden()
    until(page, lambda: "level=0" in tiles[-1], "tiles of full resolution")
