"""The Flask example, started by its command, used over HTTP and in a browser."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import skimage
import tifffile
from playwright.sync_api import FilePayload, Page, expect
from skimage import data, filters, measure

from lepton_celery.local.server import RedisServer
from tests.waiting import eventually
from tests.worker.browser import barriers, chromium, problems_of, shot
from tests.worker.example_sites import EVIL, LONG_STEPS, Site, failed_with, is_shown_as_text, running

pytestmark = pytest.mark.worker

COINS = Path(skimage.__file__).parent / "data" / "coins.png"
PASSWORD = "a long password"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running("flask_app", tmp_path_factory.mktemp("flask") / "state") as site:
        yield site


@contextmanager
def logged_in(site: Site, name: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=site.url, timeout=60) as client:
        answer = client.post("/login", data={"name": name, "password": PASSWORD})
        assert (answer.status_code, answer.headers["Location"]) == (302, "/"), answer.text
        yield client


def ended(client: httpx.Client, job: str) -> dict[str, Any]:
    eventually(lambda: client.get(f"/lepton/jobs/{job}").json()["summary"]["state"] not in ("running", "paused"))
    found: dict[str, Any] = client.get(f"/lepton/jobs/{job}").json()["summary"]
    return found


def started(client: httpx.Client, sample: str, pipeline: str = "cells") -> str:
    answer = client.post("/samples", data={"sample": sample, "pipeline": pipeline})
    assert answer.status_code == 302, answer.text
    return answer.headers["Location"].removeprefix("/jobs/")


def test_a_user_counts_coins_and_nobody_else_sees_it(site: Site) -> None:
    with logged_in(site, "ada") as ada, logged_in(site, "bob") as bob, httpx.Client(base_url=site.url) as nobody:
        job = started(ada, "coins")
        assert ended(ada, job)["state"] == "done"
        smooth = filters.gaussian(data.coins(), sigma=2)
        labels = measure.label(smooth > filters.threshold_otsu(smooth))
        found = ada.get(f"/lepton/jobs/{job}/results/labels.tif").content
        assert np.array_equal(tifffile.imread(io.BytesIO(found)), labels)
        header, *rows = csv.reader(ada.get(f"/lepton/jobs/{job}/results/cells.csv").text.splitlines())
        assert (header[:2], len(rows)) == (["label", "area"], labels.max())
        for path in (f"/jobs/{job}", f"/lepton/jobs/{job}", f"/lepton/jobs/{job}/results/labels.tif"):
            assert bob.get(path).status_code == 404
            assert nobody.get(path).status_code == 401
        assert "coins" in ada.get("/").text and "coins" not in bob.get("/").text.partition("Your jobs")[2]
        assert ada.post("/samples", data={"sample": "../x", "pipeline": "cells"}).status_code == 400
        assert ada.post("/samples", data={"sample": "coins", "pipeline": "x"}).status_code == 400
        steps = {"sample": "coins", "pipeline": "", "steps": "smooth=gaussian\nedges=sobel"}
        assert ada.post("/samples", data=steps).status_code == 302
        assert ada.post("/samples", data=steps | {"steps": "gausian"}).status_code == 400
        assert ada.post("/logout").status_code == 302 and ada.get(f"/jobs/{job}").status_code == 401


def test_a_password_is_asked_for_and_a_planted_session_is_not_kept(site: Site) -> None:
    with logged_in(site, "eva") as eva, logged_in(site, "thief") as thief:
        planted = thief.cookies["session"]
        form = {"name": "eva", "password": PASSWORD}
        with httpx.Client(base_url=site.url, headers={"Cookie": f"session={planted}"}) as victim:
            given = victim.post("/login", data=form).headers["Set-Cookie"]
        assert planted not in given and given.startswith("session=")
        job = started(eva, "coins", "edges")
        assert eva.get(f"/jobs/{job}").status_code == 200
        assert thief.cookies["session"] == planted and thief.get(f"/jobs/{job}").status_code == 404
        ended(eva, job)
        copied = eva.cookies["session"]
        assert httpx.get(f"{site.url}jobs/{job}", cookies={"session": copied}).status_code == 200
        assert eva.post("/logout").status_code == 302
        assert httpx.get(f"{site.url}jobs/{job}", cookies={"session": copied}).status_code == 401, (
            "a copy has ended, too"
        )
        wrong = thief.post("/login", data={"name": "eva", "password": "another password"})
        assert (wrong.status_code, "another password" in wrong.text) == (200, True)
        for name, password in (("", PASSWORD), ("a b", PASSWORD), ("x" * 41, PASSWORD), ("new", "short")):
            assert "characters or more" in thief.post("/login", data={"name": name, "password": password}).text


def test_other_sites_pages_change_nothing(site: Site) -> None:
    with logged_in(site, "ada") as ada:
        for path in ("/samples", "/logout", "/lepton/jobs"):
            for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
                assert ada.post(path, data={"sample": "coins", "pipeline": "cells"}, headers=headers).status_code == 403
        cookie = ada.post("/login", data={"name": "ada", "password": PASSWORD}).headers["Set-Cookie"]
        assert "HttpOnly" in cookie and "SameSite=Lax" in cookie
        assert httpx.get(site.url, headers={"Host": "evil.example"}).status_code == 400


def test_the_broker_that_was_named_is_used_and_503_when_it_is_gone(tmp_path: Path) -> None:
    with (
        RedisServer(tmp_path / "own") as server,
        running("flask_app", tmp_path / "state", "--workers=0", broker_url=server.url) as site,
        logged_in(site, "ada") as ada,
    ):
        job = started(ada, "coins", "edges")
        assert ada.get(f"/jobs/{job}").status_code == 200
        server.stop()
        for answer in (
            ada.post("/samples", data={"sample": "coins", "pipeline": "cells"}),
            ada.get(f"/lepton/jobs/{job}?"),
            ada.post(f"/lepton/jobs/{job}/cancel"),
        ):
            assert answer.status_code == 503, answer.text


def log_in(page: Page, site: Site, name: str) -> None:
    page.goto(site.url)
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Your image")).to_be_visible()


def test_a_person_sends_a_photograph_and_compares(site: Site) -> None:
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1000, "height": 900})
        problems = problems_of(page)
        log_in(page, site, "eve")
        assert barriers(page) == []
        shot(page, "flask-index")
        page.set_input_files("#image", FilePayload(name=f"{EVIL}.png", mimeType="image/png", buffer=COINS.read_bytes()))
        page.get_by_role("button", name="Start").click()
        expect(page.get_by_text("Done")).to_be_visible()
        expect(page.get_by_role("heading", level=1)).to_contain_text("onerror")
        expect(page.locator("lepton-compare[ready]")).to_be_visible()
        page.get_by_label("From before to after").fill("10")
        assert barriers(page) == []
        shot(page, "flask-job", full=True)
        with page.expect_download() as download:
            page.get_by_role("link", name="cells.csv").click()
        header, *rows = csv.reader(download.value.path().read_text().splitlines())
        assert header[0] == "label" and len(rows) > 20
        page.set_viewport_size({"width": 400, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 400

        page.goto(site.url)
        page.set_input_files("#image", FilePayload(name=f"{EVIL}.png", mimeType="image/png", buffer=b"no picture"))
        assert problems == []
        page.get_by_role("button", name="Start").click()
        expect(page.get_by_role("alert")).to_contain_text(re.compile("onerror.*cannot be read"))
        page.get_by_text("My own steps").click()
        page.set_input_files("#image", COINS)
        for steps, word in (("gausian\nlabel", "did you mean filters.gaussian"), ("", "length >= 1")):
            page.get_by_role("textbox", name="Steps").fill(steps)
            page.get_by_role("button", name="Start").click()
            expect(page.get_by_role("alert")).to_contain_text(word)
        page.get_by_role("textbox", name="Steps").fill("smooth=gaussian:sigma=2\nsobel\n")
        page.get_by_role("button", name="Start").click()
        expect(page.get_by_role("link", name="result.tif")).to_be_visible()
        assert not [one for one in problems if "dialog" in one or "Security" in one]


def test_hostile_texts_are_text_on_all_pages(site: Site, tmp_path: Path) -> None:
    """Of a block that failed, of titles and of a pipeline."""
    with chromium() as browser:
        page = browser.new_page()
        problems = problems_of(page)
        log_in(page, site, "mallory")
        failed = failed_with(site, f"error {EVIL}", "mallory", tmp_path)
        page.goto(f"{site.url}jobs/{failed}")
        is_shown_as_text(page, f"error {EVIL}", f"title {EVIL}")
        page.goto(site.url)
        is_shown_as_text(page, f"title {EVIL}")
        page.locator("[name=pipeline]").first.evaluate("(field, text) => { field.value = text; }", f"pipeline {EVIL}")
        page.get_by_role("button", name="Start").click()
        is_shown_as_text(page, f"pipeline {EVIL}")
        assert [one for one in problems if "Failed to load" not in one] == []  # there is no icon


def test_a_large_job_shows_its_blocks_and_is_cancelled_where_a_proxy_holds_events_back(
    site: Site, tmp_path: Path
) -> None:
    np.save(tmp_path / "large.npy", np.tile(data.moon(), (12, 12)))
    with chromium() as browser:
        page = browser.new_page()
        page.route("**/lepton/changes", lambda route: route.abort())
        log_in(page, site, "kim")
        page.set_input_files("#image", tmp_path / "large.npy")
        page.get_by_text("My own steps").click()
        page.get_by_role("textbox", name="Steps").fill(LONG_STEPS)
        page.get_by_role("button", name="Start").click()
        expect(page.locator("lepton-map canvas")).to_have_attribute("aria-label", re.compile("Stage .* done"))
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_text("Cancelled", exact=True)).to_be_visible()
        expect(page.get_by_role("button", name="Try again")).to_be_visible()
