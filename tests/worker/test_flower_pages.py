"""Flower's pages for jobs under the hand: with a keyboard, with fingers, on a phone, in volumes, and as a worker dies."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

import lepton_celery as lepton
from lepton_celery.jobs.job import Job
from lepton_celery.local.stack import LocalStack, Project
from tests.faults.blocks import inverted
from tests.stacks import short_lived
from tests.waiting import eventually
from tests.worker.browser import barriers, problems_of, shot
from tests.worker.conftest import app_of

pytestmark = pytest.mark.worker

BLOCK = 64
WIDTH = 390
"""Of a phone, in CSS pixels."""
MOST_TABS = 60
"""Longest way to anything on a page with the Tab key."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    project = Project(settings="test", env={"LEPTON_FLOWER_AUTH": "someone:secret"})
    with short_lived(LocalStack(tmp_path_factory.mktemp("flower"), workers=2, project=project)) as stack:
        yield stack


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page of a window, or of a phone for tests whose parameter says so."""
    device = getattr(request, "param", {"viewport": {"width": 1400, "height": 900}})
    credentials: Any = {"username": "someone", "password": "secret"}
    context = browser.new_context(http_credentials=credentials, **device)
    page = context.new_page()
    problems = problems_of(page)
    yield page
    context.close()
    assert problems == []


phone = pytest.mark.parametrize(
    "page", [{"viewport": {"width": WIDTH, "height": 800}, "has_touch": True, "is_mobile": True}], indirect=True
)


def pixels(*shape: int) -> Any:
    return np.random.default_rng(0).integers(0, 255, shape, np.uint8)


def done(stack: LocalStack, folder: Path, image: Any, block: tuple[int, ...], title: str) -> Job:
    """A job that has ended."""
    outputs = {str(folder / "out.npy"): lepton.open(image) + 1}
    job = lepton.submit(outputs, app=app_of(stack), block_shape=block, title=title)
    job.wait(180)
    return job


def slow(stack: LocalStack, folder: Path, seconds: float) -> Job:
    """A job of 60 blocks that take a while, or end soon after the file `enough` exists."""
    np.save(folder / "in.npy", pixels(6 * BLOCK, 10 * BLOCK))
    slowly = lepton.map_blocks(
        "tests.faults.blocks:slow", lepton.open(folder / "in.npy"), seconds=seconds, until=str(folder / "enough")
    )
    outputs = {str(folder / "out.npy"): slowly}
    return lepton.submit(outputs, app=app_of(stack), block_shape=(BLOCK, BLOCK), title="slow")


def shown(page: Page, stack: LocalStack, job: Job) -> None:
    page.goto(f"{stack.flower_url}/job/{job.id}")
    expect(page.locator("#map-legend")).to_contain_text("Done")


def kill_at_work(worker: psutil.Process, job: Job) -> None:
    """Kill one of two workers while it has a block of a job. It is stopped meanwhile, so that it cannot finish the block."""

    def is_killed() -> bool:
        family = [worker, *worker.children(recursive=True)]
        for process in family:
            process.suspend()
        both_work = len({lease.owner for lease in job.open_blocks().leases.values()}) == 2
        for process in family:
            process.send_signal(signal.SIGKILL if both_work else signal.SIGCONT)
        return both_work

    eventually(is_killed, "a worker at work", 60)


def tab_to(page: Page, what: str) -> None:
    """Press Tab until the focus is on an element, which must show it."""
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        if page.evaluate("what => document.activeElement.matches(what)", what):
            styles = "[style.outlineStyle, style.boxShadow]"
            seen = page.evaluate(
                f"() => {{ const style = getComputedStyle(document.activeElement); return {styles}; }}"
            )
            assert seen != ["none", "none"], f"{what} shows no focus"
            return
    raise AssertionError(f"{what} cannot be reached with the Tab key")


def middle_of(canvas: Locator, *, below: float) -> tuple[float, float]:
    """A point a little below the middle of an element, on the screen."""
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2 + below


def test_all_is_done_with_the_keyboard_alone(stack: LocalStack, page: Page, tmp_path: Path) -> None:
    job = slow(stack, tmp_path, 0.3)
    page.goto(f"{stack.flower_url}/jobs")
    expect(page.locator("#jobs tbody tr")).to_have_count(1)
    tab_to(page, "#text")
    page.keyboard.type("slow")
    tab_to(page, "th[data-sort=title] button")
    page.keyboard.press("Enter")
    expect(page.locator("th[aria-sort]")).to_have_attribute("data-sort", "title")
    tab_to(page, f"a[href$='{job.id}']")
    page.keyboard.press("Enter")
    expect(page.locator("#map-legend")).to_contain_text("Done")
    tab_to(page, "[data-action=pause]")
    page.keyboard.press("Space")
    expect(page.locator("#state .badge")).to_have_text("Paused")
    tab_to(page, "#map-mode")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#map-mode")).to_have_value("seconds")
    tab_to(page, "#map-canvas")
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "+", "+"):
        page.keyboard.press(key)
    expect(page.locator("#story-title")).to_have_text("Block 11")
    tab_to(page, "#timeline summary")
    page.keyboard.press("Enter")
    expect(page.locator("#slots tbody tr").first).to_be_visible()
    page.keyboard.press("Control+Home")
    page.locator("body").focus()
    tab_to(page, "[data-action=cancel]")
    page.keyboard.press("Enter")
    expect(page.locator("#confirm-cancel")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#confirm-cancel")).to_be_hidden()
    assert job.info().state == "paused"
    page.keyboard.press("Enter")
    tab_to(page, "#confirm-cancel [data-answer=yes]")
    page.keyboard.press("Enter")
    expect(page.locator("#state .badge")).to_have_text("Cancelled")


def test_a_volume_is_shown_plane_by_plane(stack: LocalStack, page: Page, tmp_path: Path) -> None:
    job = done(stack, tmp_path, pixels(48, 64, 80), (16, 16, 16), "volume")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.partition("/lepton/v1/")[2]))
    shown(page, stack, job)
    assert asked.count(f"jobs/{job.id}/blocks?stage=1&layer=states") == 1  # the page had asked before its script did
    expect(page.locator("#map-canvas")).to_have_attribute(
        "aria-label", "Block map of stage 1: 60 of 60 blocks done, an image of 48 by 64 by 80 pixels"
    )
    sliders = page.locator("#map-planes input")
    assert sliders.count() == 1
    sliders.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#map-planes output")).to_have_text("2")
    page.mouse.click(*middle_of(page.locator("#map-canvas"), below=4))
    expect(page.locator("#story-title")).to_have_text("Block 52")
    expect(page.locator("#story")).to_contain_text("[32:48, 32:48, 32:48]")
    shot(page, "map-volume")
    assert barriers(page) == []


@phone
def test_pages_fit_on_a_phone_and_follow_fingers(stack: LocalStack, page: Page, tmp_path: Path) -> None:
    job = done(stack, tmp_path, pixels(6 * BLOCK, 10 * BLOCK), (BLOCK, BLOCK), "on a phone")
    for path in ("jobs", "fleet", f"job/{job.id}"):
        page.goto(f"{stack.flower_url}/{path}")
        expect(page.locator("#live-text")).to_have_text("Live")
        shot(page, f"phone-{path.partition('/')[0]}", full=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= WIDTH, path
    expect(page.locator("#map-legend")).to_contain_text("Done: 60")
    canvas = page.locator("#map-canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box
    touches = page.context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        fingers = [{"x": box["x"] + x, "y": box["y"] + y, "id": number} for number, (x, y) in enumerate(points)]
        touches.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})

    def block_at(x: float, y: float) -> str | None:
        page.touchscreen.tap(box["x"] + x, box["y"] + y)
        expect(page.locator("#story-title")).not_to_have_text("Block")
        found = page.locator("#story-title").text_content()
        page.keyboard.press("Escape")
        return found

    middle = (box["width"] / 2, box["height"] / 2)
    assert block_at(5, 5) == "Block 0"
    touch("touchStart", (middle[0] - 20, middle[1]), (middle[0] + 20, middle[1]))
    for apart in range(25, 125, 5):
        touch("touchMove", (middle[0] - apart, middle[1]), (middle[0] + apart, middle[1]))
    touch("touchEnd")
    assert block_at(5, 5) != "Block 0"  # two fingers have zoomed in about the middle
    shot(page, "phone-zoomed")
    touch("touchStart", (10, 10))
    for moved in range(10, 330, 10):
        touch("touchMove", (moved, moved * box["height"] / box["width"]))
    touch("touchEnd")
    touch("touchStart", (10, 10))
    for moved in range(10, 330, 10):
        touch("touchMove", (moved, moved * box["height"] / box["width"]))
    touch("touchEnd")
    assert block_at(5, 5) == "Block 0"  # one finger has moved the image
    assert barriers(page) == []


def test_a_worker_that_is_killed_costs_an_attempt_and_no_pixel(stack: LocalStack, page: Page, tmp_path: Path) -> None:
    job = slow(stack, tmp_path, 0.3)
    shown(page, stack, job)
    eventually(lambda: job.info().blocks_done > 4, "some blocks")
    kill_at_work(psutil.Process(stack.processes[2].pid), job)
    before = page.locator("#progress-note").text_content()
    expect(page.locator("#progress-note")).not_to_have_text(
        str(before)
    )  # the other worker goes on, and so does the page
    expect(page.locator("#lost-note")).to_contain_text("lost attempt")
    shot(page, "worker-killed", full=True)
    (tmp_path / "enough").touch()
    expect(page.locator("#state .badge")).to_have_text("Done")
    expect(page.locator("#live-text")).to_have_text("Live")
    assert job.info().lost_attempts >= 1
    assert np.array_equal(np.load(tmp_path / "out.npy"), inverted(np.load(tmp_path / "in.npy")))
