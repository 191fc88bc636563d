"""The pictures of jobs through the HTTP API: what is described, drawn, kept by browsers, and refused."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from PIL import Image as Pillow

import lepton_celery as lepton
from lepton_celery import stores
from lepton_celery.api.answers import Answer, Request
from lepton_celery.api.openapi import document
from lepton_celery.api.routes import ROUTES
from lepton_celery.api.service import Api
from lepton_celery.config import Settings
from lepton_celery.grid import Region
from lepton_celery.jobs.job import Job
from lepton_celery.skimage import filters, measure
from tests.oracle import picture
from tests.server.server import Server

BLOCK = (256, 256)


@pytest.fixture
def settings(server: Server, tmp_path: Path) -> Settings:
    return Settings(broker_url=server.url, allowed_roots=(str(tmp_path),))


@pytest.fixture
def api(settings: Settings) -> Api:
    return Api(lepton.create_app(settings))


@pytest.fixture
def pixels(tmp_path: Path) -> Any:
    array = (picture((700, 900), "uint16") // 3).astype(np.uint16)
    np.save(tmp_path / "in.npy", array)
    return array


@pytest.fixture
def job(pixels: Any, settings: Settings, tmp_path: Path) -> Iterator[Job]:
    """A job that no worker takes up."""
    image = lepton.open(tmp_path / "in.npy")
    table = measure.regionprops_table(measure.label(image > 50), properties=("label", "area"))
    outputs = {str(tmp_path / name): image + 1 for name in ("o.zarr", "o.tif", "o.npy")}
    submitted = lepton.submit(
        outputs | {str(tmp_path / "o.csv"): table}, app=lepton.create_app(settings), block_shape=BLOCK
    )
    yield submitted
    submitted.cancel()
    submitted.forget()


def ask(api: Api, job: Job, below: str = "", /, *, etags: str = "", **query: Any) -> Answer:
    texts = {
        name: [str(one) for one in (value if isinstance(value, list) else [value])] for name, value in query.items()
    }
    return api.answer(Request("GET", f"/jobs/{job.id}/pictures{below}", texts, headers={"if-none-match": etags}))


def told(api: Api, job: Job, below: str = "", **query: Any) -> Any:
    answer = ask(api, job, below, **query)
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


def drawn(answer: Answer) -> Any:
    assert (answer.status, answer.headers["Content-Type"]) == (200, "image/png"), answer.body
    return np.asarray(Pillow.open(io.BytesIO(answer.body)))


def test_a_jobs_images_are_listed_and_tables_are_not(api: Api, job: Job) -> None:
    found = told(api, job)
    assert [(one["picture"], one["role"], one["title"]) for one in found["pictures"]] == [
        ("input-1", "input", "in.npy"),
        ("output-1", "output", "o.zarr"),
        ("output-2", "output", "o.tif"),
        ("output-3", "output", "o.npy"),
    ]
    assert found["arrays"] == 0


def test_an_input_is_described_and_drawn(api: Api, job: Job, pixels: Any) -> None:
    view = told(api, job, "/input-1")
    assert (view["width"], view["height"], view["levels"], view["square_px"]) == (900, 700, 2, 512)
    assert (view["look"], view["channel"], view["planes"], view["block_shape"]) == ("grey", None, [], [])
    black, white = view["black"], view["white"]
    expected = np.clip((pixels[512:, 512:].astype(float) - black) * 255 / (white - black), 0, 255)
    found = drawn(ask(api, job, "/input-1/tile", column=1, row=1))
    assert found.shape == expected.shape and np.abs(found - expected).max() <= 0.51
    found = drawn(ask(api, job, "/input-1/tile", level=1, black=0, white=1000))
    assert np.abs(found - np.clip(pixels[1::2, 1::2] * 0.255, 0, 255)).max() <= 0.51


def test_browsers_keep_tiles_of_what_does_not_change(api: Api, job: Job) -> None:
    version = told(api, job, "/input-1")["version"]
    final = ask(api, job, "/input-1/tile", version=version)
    assert final.headers["Cache-Control"] == "private, max-age=86400"
    other = ask(api, job, "/input-1/tile")
    assert other.headers["Cache-Control"] == "private, no-cache" and other.headers["ETag"] != final.headers["ETag"]
    again = ask(api, job, "/input-1/tile", version=version, etags=f'"x", W/{final.headers["ETag"]}')
    assert (again.status, again.body, again.headers["ETag"]) == (304, b"", final.headers["ETag"])
    assert ask(api, job, "/input-1").headers["Cache-Control"] == "no-store"


def test_a_file_that_is_written_again_is_read_again(api: Api, job: Job, tmp_path: Path) -> None:
    before = ask(api, job, "/input-1/tile", etags="", black=0, white=255)
    np.save(tmp_path / "in.npy", np.full((100, 120), 51, np.uint8))
    after = ask(api, job, "/input-1/tile", etags=before.headers["ETag"], black=0, white=255)
    assert after.headers["ETag"] != before.headers["ETag"]
    np.testing.assert_array_equal(drawn(after), np.full((100, 120), 51))
    assert told(api, job, "/input-1")["shape"] == [100, 120]


def test_an_unfinished_output_is_seen_as_far_as_it_is_written(api: Api, job: Job, pixels: Any) -> None:
    for target in (one for targets in job.manifest().targets.values() for one in targets):
        region = Region((256, 256), (512, 512))
        stores.array_output(target).write(region, pixels[region.slices])
    for name in ("output-1", "output-3"):
        view = told(api, job, f"/{name}")
        assert not view["is_finished"] and view["block_shape"] == [256, 256]
        assert view["black"] > 0, "what is not written does not count"
        tile = ask(api, job, f"/{name}/tile", black=0, white=255 * 200, version=view["version"])
        assert tile.headers["Cache-Control"] == "private, no-cache"
        found = drawn(tile)
        assert not found[:256].any() and found[256:, 256:].any()
    for path in ("/output-2", "/output-2/tile"):
        refused = ask(api, job, path)
        assert refused.status == 409 and "when the job is done" in json.loads(refused.body)["error"]["message"]


@pytest.mark.parametrize(
    ("path", "query", "status", "says"),
    [
        ("/input-2", {}, 404, "it has input-1, output-1"),
        ("/output-4/tile", {}, 404, "no picture"),
        ("/elsewhere", {}, 404, "no such path"),
        ("/input-1/../input-1", {}, 404, "no such path"),
        ("/input-1/tile", {"level": 2}, 400, "levels 0 to 1"),
        ("/input-1/tile", {"level": -1}, 400, "level"),
        ("/input-1/tile", {"column": 2}, 400, "columns 0 to 1"),
        ("/input-1/tile", {"row": 10**9}, 400, "rows 0 to 1"),
        ("/input-1/tile", {"row": 1.5}, 400, "row is '1.5'"),
        ("/input-1/tile", {"plane": 0}, 400, "given 1 times"),
        ("/input-1/tile", {"channel": 0}, 400, "0 channels"),
        ("/input-1/tile", {"look": "colours"}, 400, "3 or 4 channels"),
        ("/input-1/tile", {"look": "pink"}, 400, "look is 'pink'"),
        ("/input-1/tile", {"black": 5}, 400, "two finite numbers"),
        ("/input-1/tile", {"black": 5, "white": 5}, 400, "two finite numbers"),
        ("/input-1/tile", {"black": "nan", "white": 1}, 400, "two finite numbers"),
        ("/input-1/tile", {"black": "-inf", "white": "inf"}, 400, "two finite numbers"),
        ("/input-1/tile", {"path": "/etc/passwd"}, 400, "no parameter 'path'"),
        ("/input-1", {"level": 0}, 400, "no parameter 'level'"),
    ],
)
def test_what_is_refused_says_why(api: Api, job: Job, path: str, query: dict[str, Any], status: int, says: str) -> None:
    refused = ask(api, job, path, **query)
    assert (refused.status, refused.headers["Content-Type"]) == (status, "application/json; charset=utf-8")
    assert says in json.loads(refused.body)["error"]["message"]


def test_a_file_that_is_gone_is_said_to_be(api: Api, job: Job, tmp_path: Path) -> None:
    assert ask(api, job, "/input-1/tile").status == 200
    (tmp_path / "in.npy").unlink()
    for path in ("/input-1", "/input-1/tile"):
        refused = ask(api, job, path)
        assert refused.status == 404 and "there is nothing at" in json.loads(refused.body)["error"]["message"]
    (tmp_path / "in.npy").write_bytes(b"no array")
    assert ask(api, job, "/input-1").status == 502
    job.cancel()
    refused = ask(api, job, "/output-1")
    assert refused.status == 404 and "was cancelled" in json.loads(refused.body)["error"]["message"]


def test_only_files_in_the_allowed_folders_are_read(settings: Settings, job: Job, tmp_path: Path) -> None:
    (tmp_path / "allowed").mkdir()
    narrow = Settings(broker_url=settings.broker_url, allowed_roots=(str(tmp_path / "allowed"),))
    api = Api(lepton.create_app(narrow))
    for path in ("/input-1", "/input-1/tile", "/output-1", "/output-3/tile"):
        refused = ask(api, job, path)
        assert refused.status == 400 and "outside the allowed folders" in json.loads(refused.body)["error"]["message"]


def test_another_tenants_pictures_are_not_seen(api: Api, job: Job) -> None:
    for path in ("", "/input-1", "/input-1/tile"):
        assert api.answer(Request("GET", f"/jobs/{job.id}/pictures{path}", tenant="other")).status == 404


def test_images_that_came_with_the_job_are_counted(settings: Settings, api: Api, tmp_path: Path) -> None:
    Pillow.fromarray(picture((60, 70), "uint8")).save(tmp_path / "small.png")
    image = lepton.open(np.zeros((60, 70), np.uint8)) + lepton.open(tmp_path / "small.png")
    job = lepton.submit({str(tmp_path / "sum.npy"): filters.gaussian(image)}, app=lepton.create_app(settings))
    found = told(api, job)
    assert [one["title"] for one in found["pictures"]] == ["small.png", "sum.npy"] and found["arrays"] == 1
    assert drawn(ask(api, job, "/input-1/tile")).shape == (60, 70)
    job.cancel()
    job.forget()


def test_the_document_describes_pictures(api: Api, job: Job) -> None:
    described = document(ROUTES)
    for path, answered in (
        ("/jobs/{job}/pictures", told(api, job)),
        ("/jobs/{job}/pictures/{picture}", told(api, job, "/input-1")),
    ):
        content = described["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        Draft202012Validator({**content, "components": described["components"]}).validate(answered)
    tile = described["paths"]["/jobs/{job}/pictures/{picture}/tile"]["get"]
    assert "image/png" in tile["responses"]["200"]["content"]
    assert {"job", "picture", "level", "plane"} <= {one["name"] for one in tile["parameters"]}
