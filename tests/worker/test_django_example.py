"""The Django example, started by its command, used over HTTP and in a browser."""

from __future__ import annotations

import csv
import io
import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
import redis
import skimage
import tifffile
from playwright.sync_api import FilePayload, Page, expect
from skimage import data, filters, measure

from lepton_celery.jobs.local_stack import read_running
from lepton_celery.local.server import RedisServer
from lepton_celery.text import password_of
from tests.waiting import eventually
from tests.worker.browser import barriers, chromium, problems_of, shot
from tests.worker.example_sites import EVIL, LONG_STEPS, Site, failed_with, is_shown_as_text, running

pytestmark = pytest.mark.worker

COINS = Path(skimage.__file__).parent / "data" / "coins.png"
PASSWORD = "sesame-opens-7"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running("django_app", tmp_path_factory.mktemp("django") / "state") as site:
        yield site


@contextmanager
def logged_in(site: Site, name: str) -> Iterator[httpx.Client]:
    """A client with an account, which it makes the first time."""
    with httpx.Client(base_url=site.url, timeout=60) as client:
        new = {"username": name, "password1": PASSWORD, "password2": PASSWORD}
        if sent(client, "/register/", None, **new).status_code != 302:
            answer = sent(client, "/accounts/login/", username=name, password=PASSWORD)
            assert answer.status_code == 302, answer.text
        yield client


def sent(client: httpx.Client, path: str, image: bytes | None = None, **fields: str) -> httpx.Response:
    """Post a form as a page does, with its token."""
    if "csrftoken" not in client.cookies:
        client.get("/accounts/login/")
    files = {"image": ("a.png", image)} if image is not None else None
    return client.post(path, data={"csrfmiddlewaretoken": client.cookies["csrftoken"], **fields}, files=files)


def started(client: httpx.Client, **fields: str) -> str:
    answer = sent(client, "/", None, **{"sample": "coins", "pipeline_choice": "cells", **fields})
    assert answer.status_code == 302, answer.text
    return answer.headers["Location"].split("/")[2]


def ended(client: httpx.Client, job: str) -> str:
    def state() -> str:
        return str(client.get(f"/lepton/jobs/{job}").json()["summary"]["state"])

    eventually(lambda: state() not in ("running", "paused"), "the end of the job", 60)
    return state()


def test_a_user_counts_coins_and_nobody_else_sees_it(site: Site) -> None:
    with logged_in(site, "ada") as ada, logged_in(site, "bob") as bob, httpx.Client(base_url=site.url) as nobody:
        job = started(ada)
        assert ended(ada, job) == "done"
        smooth = filters.gaussian(data.coins(), sigma=2)
        labels = measure.label(smooth > filters.threshold_otsu(smooth))
        found = ada.get(f"/lepton/jobs/{job}/results/labels.tif").content
        assert np.array_equal(tifffile.imread(io.BytesIO(found)), labels)
        header, *rows = csv.reader(ada.get(f"/lepton/jobs/{job}/results/cells.csv").text.splitlines())
        assert (header[:2], len(rows)) == (["label", "area"], labels.max())
        for path in (f"/jobs/{job}/", f"/lepton/jobs/{job}", f"/lepton/jobs/{job}/results/labels.tif"):
            assert bob.get(path).status_code == 404
            assert nobody.get(path).status_code in (302, 401)
        assert job in ada.get("/").text and job not in bob.get("/").text
        for wrong in ({"sample": "../x"}, {"pipeline_choice": "x"}, {"pipeline_choice": "", "pipeline_own": "gausian"}):
            answer = sent(ada, "/", None, **{"sample": "coins", "pipeline_choice": "cells", **wrong})
            assert answer.status_code == 400 and "errorlist" in answer.text
        assert sent(ada, "/", image=b"no picture", pipeline_choice="cells").status_code == 400
        own = started(
            ada, pipeline_choice="", pipeline_own="gaussian:sigma=2\nthreshold:otsu\nlabel\nregionprops_table"
        )
        assert ended(ada, own) == "done"
        assert sent(ada, "/accounts/logout/").status_code == 302 and ada.get(f"/jobs/{job}/").status_code == 302


def test_other_sites_and_planted_sessions_get_nothing(site: Site) -> None:
    with logged_in(site, "eva") as eva, httpx.Client(base_url=site.url) as victim:
        assert eva.post("/", data={"sample": "coins", "pipeline_choice": "cells"}).status_code == 403
        assert eva.post("/lepton/jobs", json={}, headers={"Origin": "https://evil.example"}).status_code == 403
        victim.cookies.set("sessionid", "planted-by-somebody-else-0000000")
        answer = sent(victim, "/accounts/login/", username="eva", password=PASSWORD)
        cookie = answer.headers["Set-Cookie"]
        assert answer.status_code == 302 and "planted" not in cookie and "HttpOnly" in cookie
        assert httpx.get(site.url, headers={"Host": "evil.example"}).status_code == 400
        policy = eva.get("/").headers["Content-Security-Policy"]
        assert "script-src 'self'" in policy and "unsafe" not in policy


def test_a_session_begins_with_the_login_and_ends_with_the_logout(site: Site) -> None:
    def user_of(session: str) -> str | None:
        found = httpx.get(site.url, cookies={"sessionid": session})
        return re.findall("<span>(.*?)</span>", found.text)[0] if found.status_code == 200 else None

    with logged_in(site, "thief") as thief, logged_in(site, "eva") as eva, httpx.Client(base_url=site.url) as victim:
        planted = thief.cookies["sessionid"]
        assert user_of(planted) == "thief"
        victim.get("/accounts/login/")
        form = {"csrfmiddlewaretoken": victim.cookies["csrftoken"], "username": "eva", "password": PASSWORD}
        cookies = f"sessionid={planted}; csrftoken={victim.cookies['csrftoken']}"
        given = httpx.post(f"{site.url}accounts/login/", data=form, headers={"Cookie": cookies}).cookies["sessionid"]
        assert given != planted and (user_of(given), user_of(planted)) == ("eva", None)
        copied = eva.cookies["sessionid"]
        assert user_of(copied) == "eva"
        assert sent(eva, "/accounts/logout/").status_code == 302
        assert user_of(copied) is None and user_of(given) == "eva", "one browser was logged out"


def test_the_page_about_an_error_shows_no_password(site: Site) -> None:
    """Also not in the variables of the Redis client, in which the error came up: the entry of a job is of a wrong type."""
    stack = read_running(site.state)
    assert stack is not None
    password = password_of(stack.broker_url)
    with logged_in(site, "ada") as ada, redis.Redis.from_url(stack.broker_url, decode_responses=True) as client:
        job = started(ada)
        ended(ada, job)
        [key] = client.keys(f"*{{{job}}}:job")
        client.set(key.replace(job, "damaged"), "no entry")
        answer = ada.get("/lepton/jobs/damaged")
        client.delete(key.replace(job, "damaged"))
    assert len(password) > 8 and password not in answer.text


def test_a_broker_that_is_gone_is_told(tmp_path: Path) -> None:
    with (
        RedisServer(tmp_path / "own") as server,
        running("django_app", tmp_path / "state", "--workers=0", broker_url=server.url) as site,
        logged_in(site, "ada") as ada,
    ):
        job = started(ada)
        assert ada.get(f"/jobs/{job}/").status_code == 200
        server.stop()
        answer = sent(ada, "/", sample="coins", pipeline_choice="cells")
        assert answer.status_code == 503 and "answer" in answer.text
        assert ada.get(f"/lepton/jobs/{job}?").status_code == 503
        assert ada.get("/").status_code == 200, "the rows are there"


def log_in(page: Page, site: Site, name: str) -> None:
    page.goto(site.url)
    page.get_by_role("link", name="Make a new account").click()
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password:", exact=True).fill(PASSWORD)
    page.get_by_label("Password confirmation").fill(PASSWORD)
    page.get_by_role("button", name="Make an account").click()
    expect(page.get_by_role("heading", name="Your image")).to_be_visible()


def test_a_person_sends_a_photograph_and_compares(site: Site) -> None:
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1000, "height": 900})
        problems = problems_of(page)
        log_in(page, site, "eve")
        assert barriers(page) == []
        page.set_input_files("#image", FilePayload(name=f"{EVIL}.png", mimeType="image/png", buffer=COINS.read_bytes()))
        page.get_by_role("button", name="Start").click()
        expect(page.get_by_text("Done")).to_be_visible()
        expect(page.get_by_role("heading", level=1)).to_contain_text("onerror")
        expect(page.locator("lepton-compare[ready]")).to_be_visible()
        expect(page.locator("#table tr")).to_have_count(13)
        expect(page.locator("#table h2")).to_have_text(re.compile(r"^\d\d objects, the first 12$"))
        page.get_by_label("From before to after").fill("10")
        assert barriers(page) == []
        shot(page, "django-job", full=True)
        with page.expect_download() as download:
            page.get_by_role("link", name="cells.csv").click()
        assert download.value.path().read_text().startswith("label,")
        page.set_viewport_size({"width": 400, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 400

        page.goto(site.url)
        page.set_input_files("#image", FilePayload(name=f"{EVIL}.png", mimeType="image/png", buffer=b"no picture"))
        page.get_by_text("My own steps").click()
        page.get_by_role("textbox", name="Steps").fill("gaussian:sigma=2")
        shot(page, "django-index", full=True)
        assert problems == []
        page.get_by_role("button", name="Start").click()
        expect(page.get_by_role("alert")).to_contain_text(re.compile("onerror.*cannot be read"))
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        assert not [one for one in problems if "dialog" in one or "Security" in one]


def test_hostile_texts_are_text_on_all_pages(site: Site, tmp_path: Path) -> None:
    """Of a block that failed, of titles, of a pipeline and of files, also in the admin."""
    with chromium() as browser:
        page = browser.new_page()
        problems = problems_of(page)
        log_in(page, site, "mallory")
        message = f"error {EVIL}"
        failed = with_row(site, "mallory", lambda owner: failed_with(site, message, owner, tmp_path))
        page.goto(f"{site.url}jobs/{failed}/")
        is_shown_as_text(page, message, f"title {EVIL}")
        page.goto(site.url)
        page.get_by_text("My own steps").click()
        own = {"version": 1, "steps": ["a=sobel"], "outputs": {f"file {EVIL}.tif": "a"}}
        page.get_by_role("textbox", name="Steps").fill(json.dumps(own))
        page.get_by_role("button", name="Start").click()
        expect(page.get_by_text("Done")).to_be_visible()
        is_shown_as_text(page, f"file {EVIL}.tif")
        for path, texts in (
            ("", [f"title {EVIL}"]),
            ("admin/lepton/job/", [f"title {EVIL}"]),
            (f"admin/lepton/job/{failed}/change/", [message, f"pipeline {EVIL}"]),
            (f"admin/lepton/job/{page.url.split('/')[-2]}/change/", [f"file {EVIL}.tif"]),
        ):
            page.goto(f"{site.url}{path}")
            is_shown_as_text(page, *texts)
        page.goto(site.url)
        page.get_by_text("My own steps").click()
        page.get_by_role("textbox", name="Steps").fill(f"{EVIL}:sigma=2")
        page.get_by_role("button", name="Start").click()
        expect(page.get_by_role("alert")).to_contain_text("onerror")
        expect(page.locator("[onerror]")).to_have_count(0)
        assert [one for one in problems if "Failed to load" not in one] == []  # there is no icon


def with_row(site: Site, name: str, submitted: Callable[[str], str]) -> str:
    """A job that did not come from the site, with a row there; its user may see the admin."""
    with closing(sqlite3.connect(site.state / "site.sqlite3", timeout=30)) as database, database:
        [owner] = database.execute("SELECT id FROM auth_user WHERE username = ?", [name]).fetchone()
        database.execute("UPDATE auth_user SET is_staff = 1, is_superuser = 1 WHERE id = ?", [owner])
        database.commit()
        job = submitted(str(owner))
        row = {"id": job, "owner_id": owner, "title": f"title {EVIL}", "pipeline": json.dumps(f"pipeline {EVIL}")}
        row |= {"state": "running", "progress": 0, "outputs": "[]", "error": "", "created_at": "2026-01-01 00:00:00"}
        names = ", ".join(row)
        database.execute(f"INSERT INTO lepton_job ({names}) VALUES ({', '.join('?' * len(row))})", list(row.values()))
    return job


def test_a_large_job_shows_its_blocks_and_is_cancelled(site: Site, tmp_path: Path) -> None:
    np.save(tmp_path / "large.npy", np.tile(data.moon(), (12, 12)))
    with chromium() as browser:
        page = browser.new_page()
        log_in(page, site, "kim")
        page.set_input_files("#image", tmp_path / "large.npy")
        page.get_by_text("My own steps").click()
        page.get_by_role("textbox", name="Steps").fill(LONG_STEPS)
        page.get_by_role("button", name="Start").click()
        expect(page.locator("lepton-map canvas")).to_have_attribute("aria-label", re.compile("Stage .* done"))
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_text("Cancelled", exact=True)).to_be_visible()
        page.get_by_role("link", name="Count cells").click()
        expect(page.locator(".state-cancelled")).to_be_visible()
