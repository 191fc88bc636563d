"""The pages for jobs in Flower, in a real browser, on real workers."""

from __future__ import annotations

import base64
import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from celery import Celery
from playwright.sync_api import Browser, Page, expect

import lepton_celery as lepton
from lepton_celery.errors import JobFailed
from lepton_celery.jobs.job import Job
from lepton_celery.jobs.submit import JobKeywords
from lepton_celery.ledger import open_ledger
from lepton_celery.local.server import RedisServer
from lepton_celery.local.stack import LocalStack, Project
from lepton_celery.skimage import filters, measure
from tests.server.ledgers import copied, new_job
from tests.stacks import short_lived
from tests.waiting import eventually
from tests.worker.browser import THEMES, barriers, in_theme, problems_of, shot
from tests.worker.conftest import app_of

pytestmark = pytest.mark.worker

AUTH = "someone:a secret"
PREFIX = "flower"
BLOCK = 64
HOSTILE = "<img src=x onerror=alert(1)>\"'&{{ 7*7 }}"


@dataclass
class Flowers:
    """Three Flowers on one broker with two workers."""

    mine: str
    """With a password; jobs may be changed."""
    read_only: str
    """As on a server: with a password and a prefix, read-only."""
    unguarded: str
    """As on a laptop: without a password."""
    app: Celery


@pytest.fixture(scope="module")
def flowers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flowers]:
    folder = tmp_path_factory.mktemp("flower")
    guarded = Project(settings="test", env={"LEPTON_FLOWER_AUTH": AUTH})
    server = Project(settings="production", env={"LEPTON_FLOWER_AUTH": AUTH, "FLOWER_URL_PREFIX": PREFIX})
    bare = Project(settings="test")
    with short_lived(LocalStack(folder / "mine", workers=2, project=guarded)) as mine:
        url = mine.broker_url
        with (
            short_lived(LocalStack(folder / "server", workers=0, broker_url=url, project=server)) as read_only,
            short_lived(LocalStack(folder / "open", workers=0, broker_url=url, project=bare)) as unguarded,
        ):
            assert mine.flower_url and read_only.flower_url and unguarded.flower_url
            yield Flowers(mine.flower_url, f"{read_only.flower_url}/{PREFIX}", unguarded.flower_url, app_of(mine))


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    user, _, password = AUTH.partition(":")
    context = browser.new_context(
        viewport={"width": 1400, "height": 900}, http_credentials={"username": user, "password": password}
    )
    page = context.new_page()
    problems = problems_of(page)
    yield page
    context.close()
    assert [problem for problem in problems if "Failed to load resource" not in problem] == []


@pytest.fixture
def image(tmp_path: Path) -> lepton.Image:
    pixels = np.random.default_rng(0).integers(0, 255, (7 * BLOCK, 12 * BLOCK - 3), np.uint8)
    pixels[100, 200] = 255
    np.save(tmp_path / "in.npy", pixels)
    return lepton.open(tmp_path / "in.npy")


def ask(url: str, auth: str | None = AUTH, method: str = "GET", **headers: str) -> tuple[int, Any]:
    request = urllib.request.Request(url, method=method, data=b"" if method == "POST" else None, headers=headers)
    if auth is not None:
        request.add_header("Authorization", f"Basic {base64.b64encode(auth.encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=180) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def slow_job(flowers: Flowers, image: lepton.Image, folder: Path, title: str) -> tuple[Job, Path]:
    """A job that takes half a minute, or ends soon after a file exists."""
    enough = folder / f"enough {title}"
    slow = lepton.map_blocks("tests.faults.blocks:slow", image, seconds=0.5, until=str(enough))
    outputs = {str(folder / f"{title}.npy"): slow}
    return lepton.submit(outputs, app=flowers.app, block_shape=(BLOCK, BLOCK), title=title), enough


def test_a_job_is_seen_to_come_and_to_end(flowers: Flowers, page: Page, tmp_path: Path, image: lepton.Image) -> None:
    page.goto(f"{flowers.mine}/jobs")
    expect(page.locator("#live-text")).to_have_text("Live")
    expect(page.get_by_role("link", name="Jobs", exact=True)).to_have_attribute("aria-current", "page")
    job, enough = slow_job(flowers, image, tmp_path, "nuclei of plate 7")
    row = page.locator("#jobs tbody tr").filter(has_text="nuclei of plate 7")
    expect(row.locator(".badge")).to_have_text("Running")
    eventually(lambda: float(row.get_by_role("progressbar").get_attribute("aria-valuenow") or 0) > 5, "progress")
    shot(page, "jobs-running")
    row.get_by_role("link").click()
    page.wait_for_url(f"**/job/{job.id}")
    expect(page.locator("#map-legend")).to_contain_text("Being worked on")
    expect(page.locator("#remaining")).not_to_have_text("—")
    shot(page, "job-running", full=True)
    enough.touch()
    expect(page.locator("#state .badge")).to_have_text("Done")
    expect(page.locator("#progress")).to_have_text("100 %")


def test_a_job_shows_its_stages_blocks_and_origin(
    flowers: Flowers, page: Page, tmp_path: Path, image: lepton.Image
) -> None:
    smooth = filters.gaussian(image, sigma=2)
    labels = measure.label(smooth > filters.threshold_otsu(smooth))
    outputs = {str(tmp_path / "labels.zarr"): labels}
    job = lepton.submit(
        outputs,
        app=flowers.app,
        block_shape=(BLOCK, BLOCK),
        title="labels",
        tenant="lab",
        owner=HOSTILE,
        priority="batch:3",
    )
    job.wait(180)
    layers = json.loads(ask(f"{flowers.mine}/api/lepton/v1/jobs/{job.id}/blocks?stage=1&layer=states")[1])
    assert (base64.b64decode(layers["states"]), layers["attempts"], layers["seconds"]) == (b"\3" * 84, "", "")
    page.goto(f"{flowers.mine}/job/{job.id}")
    expect(page.locator("#state .badge")).to_have_text("Done")
    expect(page.locator("#about")).to_contain_text(f"lane batch, rank 3 · tenant lab · owner {HOSTILE}")
    rows = page.locator("#stages tbody tr")
    assert rows.count() == job.info().stages
    expect(rows.first).to_contain_text("84 of 84 blocks")
    expect(page.locator("#map-legend")).to_have_text("Done: 84")
    expect(page.locator("#origin")).to_contain_text(str(tmp_path / "in.npy"))
    expect(page.locator("#origin")).to_contain_text(f"numpy {np.__version__}")
    expect(page.locator("#timeline-story")).to_contain_text("busy for")
    expect(page.locator("#course-left-story")).to_have_text(re.compile(r"^0 blocks of stage \d+ are left\.$"))
    expect(page.locator("#course-busy-story")).to_contain_text("slots were busy on average")
    page.locator("#course-left .u-over").hover(position={"x": 500, "y": 40})
    expect(page.locator("#course-left-story")).to_contain_text("s: stage")
    expect(page.locator("#course-busy-story")).to_contain_text("s: stage")
    page.locator("#course summary").click()
    page.mouse.move(0, 0)  # not over the map when that is scrolled into view
    expect(page.locator("#course-table tbody tr").last).to_contain_text("0")
    choose_blocks_of_the_map(page)
    page.goto(f"{flowers.mine}/jobs")
    page.get_by_label("Owner").select_option(f"={HOSTILE}")
    expect(page.locator("#range")).to_have_text("1–1 of 1 job")
    expect(page.locator("#jobs tbody tr")).to_contain_text(HOSTILE)
    shot(page, "jobs-of-an-owner")
    page.go_back()
    see_the_job_in_all_looks(page)


def choose_blocks_of_the_map(page: Page) -> None:
    """By key and by mouse, in the first stage; then look at each colouring, and zoom."""
    page.locator("#map-stage").select_option("1")
    canvas = page.locator("#map-canvas")
    canvas.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    expect(page.locator("#story-title")).to_have_text("Block 13")
    expect(page.locator("#story")).to_contain_text("[64:128, 64:128]")
    expect(page.locator("#story")).to_contain_text("lepton")
    page.keyboard.press("Escape")
    expect(page.locator("#story-title")).to_have_text("Block")
    canvas.hover(position={"x": 40, "y": 3})
    expect(page.locator("#story-title")).to_have_text("Block 0")
    for mode in ("seconds", "ended", "slots", "attempts"):
        page.locator("#map-mode").select_option(mode)
        expect(page.locator("#map-legend")).not_to_contain_text("Done: 84")
        shot(page, f"map-{mode}")
    page.mouse.wheel(0, -300)
    page.locator("#map-mode").select_option("states")
    expect(page.locator("#map-legend")).to_have_text("Done: 84")
    canvas.hover(position={"x": 300, "y": 200})
    page.mouse.wheel(0, -600)
    shot(page, "map-zoomed")
    page.locator("#map").get_by_role("button", name="Whole image").click()


def see_the_job_in_all_looks(page: Page) -> None:
    """Light and dark without barriers, and on a narrow screen."""
    for theme in THEMES:
        in_theme(page, theme)
        expect(page.locator("#timeline-story")).to_contain_text("busy for")
        shot(page, f"job-{theme}", full=True)
        assert barriers(page) == []
    page.set_viewport_size({"width": 390, "height": 800})
    in_theme(page, "light")
    expect(page.locator("#course-busy canvas")).to_be_visible()
    shot(page, "job-narrow", full=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_blocks_do_not_push_other_tasks_out_of_flowers_store(
    flowers: Flowers, tmp_path: Path, image: lepton.Image
) -> None:
    def tasks() -> list[str]:
        return [task["name"] for task in json.loads(ask(f"{flowers.mine}/api/tasks")[1]).values()]

    def runs_own() -> None:
        before = len(tasks())
        flowers.app.send_task("celery.accumulate", args=(1, 2), queue="lepton.default", ignore_result=True)
        eventually(lambda: len(tasks()) > before, "the task in Flower")

    runs_own()
    outputs = {str(tmp_path / "o.npy"): image + 1}
    lepton.submit(outputs, app=flowers.app, block_shape=(BLOCK, BLOCK)).wait(180)
    runs_own()  # its events come after those of the job, if it had any
    assert set(tasks()) == {"celery.accumulate"}


def test_a_job_is_paused_resumed_and_cancelled(
    flowers: Flowers, page: Page, tmp_path: Path, image: lepton.Image
) -> None:
    job, _ = slow_job(flowers, image, tmp_path, "long")
    page.goto(f"{flowers.mine}/job/{job.id}")
    state = page.locator("#state .badge")
    page.get_by_role("button", name="Pause").click()
    expect(state).to_have_text("Paused")
    assert job.info().state == "paused"
    page.get_by_role("button", name="Resume").click()
    expect(state).to_have_text("Running")
    page.get_by_role("button", name="Cancel").click()
    shot(page, "cancel")
    assert barriers(page) == []
    page.get_by_role("button", name="Keep it").click()
    assert job.info().state == "running"
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel the job").click()
    expect(state).to_have_text("Cancelled")
    expect(page.locator("#actions button:visible")).to_have_text(["Retry"])
    assert job.info().state == "cancelled"


def test_a_failed_job_shows_its_block_and_is_resumed(
    flowers: Flowers, page: Page, tmp_path: Path, image: lepton.Image
) -> None:
    cured = tmp_path / "cured"
    broken = lepton.map_blocks("tests.faults.blocks:raises", image, cured=str(cured))
    job = lepton.submit({str(tmp_path / "o.npy"): broken}, app=flowers.app, block_shape=(BLOCK, BLOCK), title="broken")
    with pytest.raises(JobFailed):
        job.wait(180)
    page.goto(f"{flowers.mine}/job/{job.id}")
    expect(page.locator("#errors")).to_contain_text("stage 1, block 15, pixels [64:128, 192:256]")
    expect(page.locator("#errors")).to_contain_text("a bright pixel")
    page.locator("#errors summary", has_text="Traceback").click()
    expect(page.locator("#errors details")).to_contain_text(re.compile(r'blocks\.py", line \d+, in raises'))
    page.get_by_role("button", name="Show in the map").click()
    expect(page.locator("#story-title")).to_have_text("Block 15")
    expect(page.locator("#story")).to_contain_text("Failed")
    for theme in THEMES:
        in_theme(page, theme)
        expect(page.locator("#map-legend")).to_contain_text("Failed: 1")
        shot(page, f"job-failed-{theme}", full=True)
        assert barriers(page) == []
    cured.touch()
    page.get_by_role("button", name="Retry").click()
    expect(page.locator("#told")).to_contain_text("The job goes on")
    expect(page.locator("#state .badge")).to_have_text("Done")


def test_a_block_that_was_given_up_is_tried_again(
    flowers: Flowers, page: Page, tmp_path: Path, image: lepton.Image
) -> None:
    cured, enough = tmp_path / "cured", tmp_path / "enough"
    dark = np.full((4 * BLOCK, 6 * BLOCK), 40, np.uint8)
    dark[100, 200], dark[-1, -1] = 255, 1
    np.save(tmp_path / "dark.npy", dark)
    poisoned = lepton.map_blocks(
        "tests.faults.blocks:poisoned", lepton.open(tmp_path / "dark.npy"), cured=str(cured), enough=str(enough)
    )
    outputs = {str(tmp_path / "o.npy"): poisoned}
    about: JobKeywords = {"title": "poison", "block_shape": (BLOCK, BLOCK), "on_error": "fill", "overwrite": True}
    job = lepton.submit(outputs, app=flowers.app, **about)
    page.goto(f"{flowers.mine}/job/{job.id}")
    expect(page.locator("#again")).to_contain_text("1 block of this job was given up")
    for theme in THEMES:
        in_theme(page, theme)
        expect(page.get_by_role("button", name="Try again")).to_be_visible()
        shot(page, f"given-up-{theme}", full=True)
        assert barriers(page) == []
    cured.touch()
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#told")).to_have_text("1 block is done after all.")
    expect(page.locator("#again")).to_be_hidden()
    enough.touch()
    expect(page.locator("#state .badge")).to_have_text("Done")
    assert np.array_equal(np.load(tmp_path / "o.npy"), 255 - dark)

    cured.unlink()
    again = lepton.submit(outputs, app=flowers.app, **about)
    again.wait(180)
    page.goto(f"{flowers.mine}/job/{again.id}")
    cured.touch()
    page.get_by_role("button", name="Do the job again").click()
    shot(page, "do-again")
    assert barriers(page) == []
    page.get_by_role("button", name="Do it again").click()
    expect(page.locator("#links")).to_have_text(f"This job repeats job {again.id}")
    expect(page.locator("#state .badge")).to_have_text("Done")
    shot(page, "done-again")
    page.locator("#links a").click()
    expect(page.locator("#links")).to_contain_text("repeats this one")
    assert np.array_equal(np.load(tmp_path / "o.npy"), 255 - dark)


def test_what_users_wrote_is_shown_as_text(flowers: Flowers, page: Page, tmp_path: Path, image: lepton.Image) -> None:
    outputs = {str(tmp_path / "<b>o.npy"): image + 1}
    job = lepton.submit(outputs, app=flowers.app, title=HOSTILE, block_shape=(BLOCK, BLOCK))
    job.wait(180)
    page.goto(f"{flowers.mine}/jobs")
    expect(page.get_by_role("link", name=HOSTILE, exact=True)).to_be_visible()
    page.get_by_role("link", name=HOSTILE, exact=True).click()
    expect(page.locator("#title")).to_have_text(HOSTILE)
    expect(page.locator("#origin")).to_contain_text("<b>o.npy")
    assert page.locator("#job img, #origin b").count() == 0
    policy = page.request.get(f"{flowers.mine}/jobs").headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy


def test_ten_thousand_jobs_are_filtered_sorted_and_in_pages(browser: Browser, tmp_path: Path) -> None:
    with RedisServer(tmp_path / "server") as server:
        ledger = open_ledger(server.url)
        ledger.cancel(new_job(ledger, "old-00000", dispatched=0))
        copied(server.url, "old-00000", [f"old-{number:05}" for number in range(1, 9_000)])
        ledger.pause(new_job(ledger, "old-09000", dispatched=0))
        copied(server.url, "old-09000", [f"old-{number:05}" for number in range(9_001, 10_000)])
        stack = LocalStack(tmp_path, workers=0, broker_url=server.url, project=Project(settings="test"))
        with short_lived(stack), browser.new_context(viewport={"width": 1400, "height": 900}) as context:
            page = context.new_page()
            problems = problems_of(page)
            page.goto(f"{stack.flower_url}/jobs?text=old-")
            expect(page.locator("#range")).to_have_text("1–50 of 10,000 jobs")
            page.get_by_role("button", name="Next").click()
            expect(page.locator("#range")).to_have_text("51–100 of 10,000 jobs")
            page.get_by_role("button", name=re.compile("^Paused")).click()
            expect(page.locator("#range")).to_have_text("1–50 of 1,000 jobs")
            page.get_by_label("Search").fill("old-0999")
            expect(page.locator("#range")).to_have_text("1–10 of 10 jobs")
            page.get_by_role("button", name="Submitted").click()
            expect(page.locator("#jobs tbody tr").first).to_contain_text("old-09990")
            expect(page.locator("th[aria-sort]")).to_have_attribute("aria-sort", "ascending")
            page.reload()
            expect(page.locator("#range")).to_have_text("1–10 of 10 jobs")
            for theme in THEMES:
                in_theme(page, theme)
                expect(page.locator("#range")).to_have_text("1–10 of 10 jobs")
                assert barriers(page) == []
            page.get_by_label("Search").fill("no such")
            expect(page.locator("#empty")).to_be_visible()
            assert problems == []


def test_where_events_do_not_arrive_the_page_asks(
    flowers: Flowers, page: Page, tmp_path: Path, image: lepton.Image
) -> None:
    page.route("**/lepton/changes", lambda route: route.fulfill(status=502))
    page.goto(f"{flowers.unguarded}/jobs")
    expect(page.locator("#live-text")).to_have_text("Checked every 5 seconds")
    outputs = {str(tmp_path / "o.npy"): image + 1}
    lepton.submit(outputs, app=flowers.app, title="seen by asking", block_shape=(BLOCK, BLOCK)).wait(180)
    expect(page.locator("#jobs tbody tr").filter(has_text="seen by asking").locator(".badge")).to_have_text("Done")


def test_the_work_of_each_worker_is_seen(flowers: Flowers, page: Page, tmp_path: Path, image: lepton.Image) -> None:
    job, enough = slow_job(flowers, image, tmp_path, "at work")
    page.goto(f"{flowers.mine}/fleet")
    rows = page.locator("#workers tbody tr")
    for number in range(2):  # of one machine, with a slot each
        expect(rows.nth(number)).to_contain_text(re.compile(rf"1 of 1.*[1-9]\d* MB.*{job.id} stage 1: \d+ block"))
    for theme in THEMES:
        in_theme(page, theme)
        expect(rows.first).to_contain_text(job.id)
        shot(page, f"workers-{theme}")
        assert barriers(page) == []
    page.set_viewport_size({"width": 390, "height": 800})
    shot(page, "workers-narrow", full=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    rows.first.get_by_role("link", name=job.id).click()
    page.wait_for_url(f"**/job/{job.id}")
    enough.touch()
    job.wait(180)


def test_the_fleet_is_seen(flowers: Flowers, page: Page) -> None:
    ledger = open_ledger(flowers.app.conf["lepton"].ledger)
    seen: dict[str, Any] = {"ready": 2, "busy": 2}
    ledger.decisions.note({"at": 1e9, "by": "machine", "desired": 4, "reason": HOSTILE, "seen": seen, "events": ["+2"]})
    for step in range(1, 40):
        lanes = [
            {"lane": lane, "blocks": max(0, 900 - 25 * step) * n, "oldest_s": step % 9 * n}
            for n, lane in enumerate(("interactive", "default", "batch"))
        ]
        seen = {"ready": min(8, 2 + step // 3), "busy": min(7, 1 + step // 3), "lanes": lanes}
        ledger.decisions.note({"at": 1e9 + 20 * step, "by": "machine", "desired": min(8, 2 + step // 2), "seen": seen})
    ledger.decisions.note({"at": 1e9 + 900, "by": "machine", "desired": 4, "reason": HOSTILE, "events": ["+2"]})
    page.goto(f"{flowers.mine}/fleet")
    expect(page.locator("#workers tbody tr")).to_have_count(2)
    expect(page.locator("#lanes tbody tr")).to_have_count(3)
    expect(page.locator("#decisions tbody tr").first).to_contain_text(HOSTILE)
    for theme in THEMES:
        in_theme(page, theme)
        expect(page.locator("#workers tbody tr")).to_have_count(2)
        expect(page.locator("#depth-story")).to_have_text("Blocks to do, by lane: 41 moments within 15 min.")
        expect(page.locator("#slots canvas")).to_be_visible()
        shot(page, f"fleet-{theme}", full=True)
        assert barriers(page) == []
    page.locator("#course summary").click()
    expect(page.locator("#course-table tbody tr")).to_have_count(41)
    expect(page.locator("#course-table thead")).to_contain_text("batch: oldest wait")
    page.set_viewport_size({"width": 390, "height": 800})
    shot(page, "fleet-narrow", full=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_read_only_flower_shows_jobs_and_changes_none(
    flowers: Flowers, page: Page, tmp_path: Path, image: lepton.Image
) -> None:
    job, enough = slow_job(flowers, image, tmp_path, "looked at")
    for url, auth in ((flowers.read_only, AUTH), (flowers.unguarded, None)):
        page.goto(f"{url}/jobs")
        page.locator("#jobs tbody tr").filter(has_text="looked at").get_by_role("link").click()
        page.wait_for_url(f"{url}/job/{job.id}")
        expect(page.locator("#map-legend")).to_contain_text("Done")
        expect(page.locator("#live-text")).to_have_text("Live")
        expect(page.locator("#actions")).to_be_hidden()
        for path in ("lepton/v1", "api/lepton/v1"):
            assert ask(f"{url}/{path}/jobs/{job.id}/cancel", auth, "POST")[0] in (401, 403), (url, path)
    assert job.info().state == "running"
    enough.touch()
    job.wait(180)


def test_nothing_is_seen_without_the_password(flowers: Flowers) -> None:
    for path in ("jobs", "job/j", "fleet", "lepton/v1/jobs", "lepton/changes", "api/lepton/v1/jobs"):
        for url in (flowers.mine, flowers.read_only):
            assert ask(f"{url}/{path}", None)[0] == 401, path
            assert ask(f"{url}/{path}", "someone:else")[0] == 401, path
    assert ask(f"{flowers.mine}/lepton/v1/jobs/j/cancel", None, "POST")[0] == 401
    other_site = {"Sec-Fetch-Site": "cross-site"}
    assert ask(f"{flowers.mine}/lepton/v1/jobs/j/cancel", AUTH, "POST", **other_site)[0] == 403


def test_the_api_is_open_as_flowers_own(flowers: Flowers) -> None:
    assert (
        ask(f"{flowers.unguarded}/api/lepton/v1/jobs", None)[0] == ask(f"{flowers.unguarded}/api/tasks", None)[0] == 401
    )
    status, text = ask(f"{flowers.read_only}/api/lepton/v1/openapi.json")
    assert status == 200 and "/jobs/{job}" in json.loads(text)["paths"]
    assert json.loads(ask(f"{flowers.mine}/api/lepton/v1/jobs?count=1")[1])["count"] >= 0
    assert ask(f"{flowers.mine}/api/lepton/v1/jobs?count=none")[0] == 400
    assert ask(f"{flowers.mine}/api/lepton/v1/jobs/none/cancel", AUTH, "POST")[0] == 404


def test_a_job_that_does_not_exist_is_said_to(flowers: Flowers, page: Page) -> None:
    answer = page.goto(f"{flowers.mine}/job/none")
    assert answer is not None and answer.status == 404
    expect(page.get_by_role("heading", name="There is no such job")).to_be_visible()
    shot(page, "no-job")
    assert barriers(page) == []


def test_a_ledger_that_is_down_is_said_to_be(page: Page, tmp_path: Path) -> None:
    with short_lived(LocalStack(tmp_path / "stack", workers=0, project=Project(settings="test"))) as stack:
        page.goto(f"{stack.flower_url}/jobs")
        expect(page.locator("#empty")).to_contain_text("There are no jobs yet")
        shot(page, "jobs-none")
        stack.processes[0].kill()
        expect(page.locator("#trouble")).to_contain_text("does not answer")
        shot(page, "ledger-down")
        answer = page.goto(f"{stack.flower_url}/jobs")
        assert answer is not None and answer.status == 503
        expect(page.get_by_role("heading", name="Jobs cannot be read now")).to_be_visible()
        assert "does not answer" in page.content()
