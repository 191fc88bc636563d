"""The Django example, started by its command and used over HTTP and in a browser."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
import tifffile
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import expect
from skimage import color, data, filters, measure

import lepton_celery as lepton
from lepton_celery.config import Settings
from lepton_celery.jobs.local_stack import read_running
from lepton_celery.local.server import RedisServer
from lepton_celery.text import password_of
from tests.waiting import eventually
from tests.worker.browser import chromium, problems_of
from tests.worker.example_sites import Site, running

pytestmark = pytest.mark.worker

NAMES = ("django_app",)

Array = NDArray[Any]


@pytest.fixture(scope="module", params=NAMES)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Each example in turn, with a broker and two workers of its own."""
    with running(request.param, tmp_path_factory.mktemp(request.param) / "state") as site:
        assert len(site.children) >= 6  # watchman, server, two workers with a pool process each
        yield site


def encoded(pixels: Array, kind: str) -> bytes:
    file = io.BytesIO()
    if kind == "npy":
        np.save(file, pixels)
    elif kind == "tif":
        tifffile.imwrite(file, pixels)
    else:
        Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def whole(pixels: Array) -> tuple[Array, dict[str, Array]]:
    """Labels and table with scikit-image on the whole image."""
    gray = color.rgb2gray(pixels[..., :3]) if pixels.ndim == 3 else pixels
    smooth = filters.gaussian(gray, sigma=2)
    labels: Array = measure.label(smooth > filters.threshold_otsu(smooth))
    return labels, measure.regionprops_table(labels, gray, properties=("label", "area", "centroid", "intensity_mean"))


@pytest.mark.parametrize("kind", ["png", "tif", "npy"])
def test_an_upload_gives_what_scikit_image_gives_on_the_whole_image(site: Site, kind: str) -> None:
    photo = data.hubble_deep_field()
    pixels = {"png": photo, "tif": np.tile(photo, (2, 3, 1)), "npy": data.coins()}[kind]
    before = site.directories()

    job = site.post("/jobs/", image=(f"../../cells.{kind}", encoded(pixels, kind)))
    seen = site.ended(job)
    status = seen[-1]
    progress = [one["progress"] for one in seen]
    assert progress == sorted(progress)
    assert all(0 <= share <= 1 for share in progress)
    assert (status["state"], status["progress"], status["error"]) == ("done", 1, "")
    assert status["stage"] == status["stages"]

    labels, table = whole(pixels)
    assert status["results"]["objects"] == labels.max()
    files = status["results"]["files"]
    found = tifffile.imread(io.BytesIO(site.get(files["labels.tif"]).body))
    assert found.dtype == labels.dtype
    assert np.array_equal(found, labels)
    header, *rows = csv.reader(site.get(files["cells.csv"]).body.decode().splitlines())
    assert header == list(table)
    assert np.array_equal(np.array(rows, float).T, np.array([column.astype(float) for column in table.values()]))
    picture = site.get(files["overlay.png"])
    assert picture.headers["Content-Type"] == "image/png"
    shape = np.asarray(Image.open(io.BytesIO(picture.body))).shape
    assert shape == (*(min(n, -(-n // -(-max(pixels.shape) // 2000))) for n in labels.shape), 3)

    (directory,) = set(site.directories()) - set(before)
    eventually(lambda: site.get(job.json["status"]).json["notice"] == f"{labels.max()} objects found")
    kept = ["cells.csv", "labels.tif", "notice.txt", "overlay.png"]
    # the project's own task removes the upload, and a worker the job's workspace, in whichever order
    eventually(lambda: sorted(path.name for path in directory.iterdir()) == kept, f"{kept} alone in {directory}")


def test_several_jobs_are_accepted_and_done_later(site: Site) -> None:
    jobs = [site.post("/jobs/", sample="hubble_deep_field") for _ in range(3)]
    for job in jobs:
        assert job.headers["Location"] == job.json["status"] == f"/jobs/{job.json['job']}/"
        assert site.ended(job)[-1]["state"] == "done"
    assert len({job.json["job"] for job in jobs}) == 3


def test_a_job_is_cancelled_and_leaves_no_files(site: Site) -> None:
    before = site.directories()
    job = site.post("/jobs/", image=("large.npy", encoded(np.tile(data.moon(), (14, 14)), "npy")))
    assert job.status == 202
    cancelled = site.post(f"{job.json['status']}cancel/")
    assert (cancelled.status, cancelled.json["state"]) == (200, "cancelled")
    assert cancelled.json["results"] is None

    again = site.post(f"{job.json['status']}cancel/")
    assert again.status == 409
    assert "ended already: it is cancelled" in again.json["error"]
    (directory,) = set(site.directories()) - set(before)
    eventually(lambda: [path.name for path in directory.iterdir()] == ["notice.txt"])
    eventually(lambda: (directory / "notice.txt").read_text() == "the job was cancelled")
    missing = site.get(f"{job.json['status']}overlay.png")
    assert (missing.status, "error" in missing.json) == (404, True)


def test_a_job_that_fails_leaves_a_notice_and_no_files(site: Site) -> None:
    """The project's task discards them, since nobody can resume the job there."""
    before = site.directories()
    pixels = data.coins() / 255
    pixels[200, 300] = np.nan  # a threshold of such pixels is refused by the block that has them
    status = site.ended(site.post("/jobs/", image=("nan.npy", encoded(pixels, "npy"))))[-1]
    assert (status["state"], status["results"]) == ("failed", None)
    assert "finite" in status["error"]
    (directory,) = set(site.directories()) - set(before)
    eventually(lambda: [path.name for path in directory.iterdir()] == ["notice.txt"], "the removal of the files")
    assert (directory / "notice.txt").read_text() == "the job was failed"


def test_an_unknown_job_is_404_and_so_is_one_of_another_application(site: Site, tmp_path: Path) -> None:
    stack = read_running(site.state)
    assert stack is not None
    others = lepton.create_app(Settings(broker_url=stack.broker_url))
    foreign = lepton.submit({str(tmp_path / "other.npy"): lepton.open(data.coins()) > 9}, app=others)
    foreign.wait(180)
    for job_id in ("0123456789ab", "x{y}", "..", foreign.id):
        for answer in (
            site.get(f"/jobs/{job_id}/"),
            site.get(f"/jobs/{job_id}/overlay.png"),
            site.post(f"/jobs/{job_id}/cancel/"),
        ):
            assert answer.status == 404, job_id
            assert "no such job" in answer.json["error"]


def bad_uploads() -> dict[str, tuple[dict[str, str | tuple[str, bytes]], str]]:
    big = encoded(np.zeros((11_000, 11_000), bool), "png")
    return {
        "nothing": ({}, "there is no sample ''"),
        "another sample": ({"sample": "../../../etc/passwd"}, "choose one of hubble_deep_field, coins, moon"),
        "another type": (
            {"image": ("cells.svg", b"<svg/>")},
            r"\.svg was sent; send one of \.png, \.tif, \.jpg, \.npy",
        ),
        "no type": ({"image": ("cells", b"?")}, "a file of type none was sent"),
        "no picture": ({"image": ("cells.png", b"not a picture")}, "input.png"),
        "empty": ({"image": ("cells.npy", b"")}, "input.npy"),
        "a pickle": ({"image": ("cells.npy", encoded(np.array([{}], object), "npy"))}, "input.npy"),
        "too many axes": ({"image": ("cells.npy", encoded(np.zeros((3, 4, 5, 6)), "npy"))}, r"\(3, 4, 5, 6\); send"),
        "a bomb": ({"image": ("cells.png", big)}, "121,000,000 pixels, over the limit of 100,000,000"),
    }


def test_a_bad_upload_is_refused_with_its_reason_and_leaves_nothing(site: Site) -> None:
    before = site.directories()
    for name, (fields, reason) in bad_uploads().items():
        answer = site.post("/jobs/", **fields)
        assert answer.status == 400, name
        assert re.search(reason, answer.json["error"]), (name, answer.json)
        assert str(site.state) not in answer.json["error"], f"{name}: the error shows a path of the server"
    assert site.directories() == before


def test_an_upload_that_is_too_long_is_refused_before_it_is_read(site: Site) -> None:
    headers = {"Content-Length": str(1 << 30), "Content-Type": "multipart/form-data; boundary=x", **site.permission()}
    answer = site.ask("POST", "/jobs/", b"--x", headers)
    assert answer.status == 413
    assert answer.json["error"] == "the upload is over 64 MB; send a smaller image"


def test_other_sites_cannot_submit_jobs(site: Site) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "cross-site"}
    answer = site.ask("POST", "/jobs/", b"sample=coins", headers)
    assert answer.status == 403
    assert answer.json["error"]


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://127.0.0.1.evil.example", "null", "http://127.0.0.1:1"]
)
def test_other_sites_cannot_submit_jobs_with_an_old_browser(site: Site, origin: str) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": origin, **site.permission()}
    before = site.directories()
    answer = site.ask("POST", "/jobs/", b"sample=coins", headers)
    assert answer.status == 403
    assert answer.json["error"]
    assert site.directories() == before


def test_a_page_of_this_site_submits_jobs_with_an_old_browser(site: Site) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": site.url.rstrip("/"), **site.permission()}
    assert site.ended(site.ask("POST", "/jobs/", b"sample=coins", headers))[-1]["state"] == "done"


def test_an_error_page_shows_no_password(site: Site) -> None:
    """Also not in the variables of the Redis client, in which the error came up: the entry of a job is of a wrong type."""
    stack = read_running(site.state)
    assert stack is not None
    password = password_of(stack.broker_url)
    assert len(password) > 8
    job = site.ended(site.post("/jobs/", sample="coins"))[-1]["job"]
    with redis.Redis.from_url(stack.broker_url, decode_responses=True) as client:
        [key] = client.keys(f"*{{{job}}}:job")
        client.set(key.replace(job, "damaged"), "no entry")
        answer = site.get("/jobs/damaged/")
        client.delete(key.replace(job, "damaged"))
    assert answer.status == 500
    page = answer.body.decode()
    if site.name == "django_app":
        assert "JobError" in page and "CELERY_BROKER_URL" in page, "it is the page for developers"
        assert "redis://***@127.0.0.1" in page
    assert password not in page


@pytest.mark.parametrize("name", NAMES)
def test_the_broker_that_was_named_is_used_and_503_when_it_is_gone(name: str, tmp_path: Path) -> None:
    with (
        RedisServer(tmp_path / "own") as server,
        running(name, tmp_path / "state", "--workers=0", broker_url=server.url) as site,
    ):
        assert not (tmp_path / "state" / "valkey").exists()
        job = site.post("/jobs/", sample="coins")
        assert job.status == 202, "accepted at once: there are no workers"
        assert lepton.get_job(job.json["job"], settings=Settings(broker_url=server.url)).info().lane == "interactive"
        before = site.directories()

        server.stop()
        answers = (
            site.post("/jobs/", image=("cells.npy", encoded(data.coins(), "npy"))),
            site.get(job.json["status"]),
            site.post(f"{job.json['status']}cancel/"),
        )
        for answer in answers:
            assert answer.status == 503
            assert answer.json == {"error": "the job queue does not answer; try again in a minute"}
        assert site.directories() == before


def test_a_person_counts_galaxies_in_a_browser(site: Site, tmp_path: Path) -> None:
    expected = whole(data.hubble_deep_field())[0].max()
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1000, "height": 900})
        problems = problems_of(page)
        page.goto(site.url)
        page.get_by_text("hubble deep field").click()
        page.get_by_role("button", name="Count").click()
        expect(page.get_by_role("progressbar")).to_be_visible()
        expect(page.locator("#objects")).to_have_text(f"{expected:,}", timeout=180_000)
        expect(page.get_by_role("progressbar")).to_be_hidden()
        page.wait_for_function("document.getElementById('overlay').naturalWidth == 1000")
        page.set_viewport_size({"width": 400, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        expect(page.get_by_role("button", name="Count")).to_be_enabled()

        page.set_input_files("#image", {"name": "x.png", "mimeType": "image/png", "buffer": b"no picture"})
        expect(page.get_by_role("radio", checked=True)).to_have_count(0)
        assert problems == []
        page.get_by_role("button", name="Count").click()
        expect(page.get_by_role("alert")).to_contain_text("input.png")
        expect(page.locator("#results")).to_be_hidden()
