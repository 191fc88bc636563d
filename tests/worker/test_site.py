"""A site's users send files, submit jobs on them and fetch results; the web framework is left out."""

from __future__ import annotations

import asyncio
import io
import json
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage
import tifffile
from celery import Celery
from skimage import data, filters, measure

from lepton_celery.api.answers import Answer, Request
from lepton_celery.api.events import HELLO
from lepton_celery.errors import QueueFull
from lepton_celery.local.stack import LocalStack
from lepton_celery.planning.options import Limits
from lepton_celery.web.live import Live
from lepton_celery.web.pipelines import Pipeline
from lepton_celery.web.site import Site, SiteOptions
from lepton_celery.web.uploads import UploadLimits
from tests.stacks import short_lived
from tests.waiting import eventually
from tests.worker.conftest import app_of

pytestmark = pytest.mark.worker

CELLS = Pipeline(
    "Count cells",
    (
        "smooth=gaussian:sigma=2",
        "mask=threshold:otsu",
        "labels=label",
        "cells=regionprops_table:properties=label+area",
    ),
    {"labels.tif": "labels", "cells.csv": "cells", "smooth.zarr": "smooth"},
)
HOSTILE: tuple[dict[str, Any], ...] = (
    {
        "version": 1,
        "nodes": [{"operation": "lepton.source", "arguments": {"url": "/etc/passwd"}}],
        "outputs": {"a.tif": 0},
    },
    {
        "version": 1,
        "nodes": [{"operation": "lepton.source", "arguments": {"url": "http://127.0.0.1/"}}],
        "outputs": {"a.tif": 0},
    },
    {"version": 1, "steps": ["@/etc/passwd"], "outputs": {"a.tif": "image"}},
    {"version": 1, "steps": ["gaussian"], "outputs": {"../a.tif": "image"}},
    {"version": 1, "steps": ["gaussian"], "outputs": {"/tmp/a.tif": "image"}},
    {"version": 1, "steps": ["gaussian"], "outputs": {".a.tif": "image"}},
    {"version": 1, "steps": ["gaussian"], "outputs": {"a.exe": "image"}},
    {"version": 1, "steps": ["gaussian"], "outputs": {}},
    {"version": 1, "steps": ["gaussian"]},
    {"version": 1, "steps": ["os.system:id"], "outputs": {"a.tif": "image"}},
    {"version": 1, "steps": ["big=resize:output_shape=(1000000000,1000000000)"], "outputs": {"a.tif": "big"}},
    {"version": 1, "steps": [["gaussian"]], "outputs": {"a.tif": "image"}},
    {},
)
"""Pipelines that no site must run."""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Celery]:
    with short_lived(LocalStack(tmp_path_factory.mktemp("site"), workers=2, flower=False)) as stack:
        yield app_of(stack)


@pytest.fixture
def site(app: Celery, tmp_path: Path) -> Site:
    return Site(app, SiteOptions(tmp_path / "site", {"cells": CELLS}, limits=Limits(pixels=1 << 22, blocks=5000)))


def ask(site: Site, owner: str | None, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return site.answer(Request(method, path, body=content, headers=given, base="/lepton", owner=owner, may_change=True))


def document(answer: Answer, status: int = 200) -> Any:
    assert answer.status == status, answer.body
    return json.loads(answer.body)


def content(answer: Answer) -> bytes:
    return b"".join(answer.pieces or ())


def sent(site: Site, owner: str, name: str, content: bytes) -> str:
    return site.uploads.add(owner, name, len(content), io.BytesIO(content)).id


def done(site: Site, owner: str, job: str) -> None:
    eventually(lambda: document(ask(site, owner, "GET", f"/jobs/{job}"))["summary"]["state"] == "done", "the end", 60)


@pytest.fixture(scope="module")
def coins() -> bytes:
    return (Path(skimage.__file__).parent / "data" / "coins.png").read_bytes()


def test_an_upload_becomes_results(site: Site, coins: bytes) -> None:
    assert document(ask(site, "ada", "GET", "/pipelines")) == {
        "pipelines": {"cells": "Count cells"},
        "may_compose": True,
    }
    upload = sent(site, "ada", "my coins.png", coins)
    answer = ask(site, "ada", "POST", "/jobs", {"upload": upload, "pipeline": "cells"})
    job = document(answer, 202)["job"]
    assert answer.headers["Location"] == f"/lepton/jobs/{job}"
    done(site, "ada", job)
    view = document(ask(site, "ada", "GET", f"/jobs/{job}"))
    assert (view["summary"]["title"], view["summary"]["owner"]) == ("Count cells: my coins.png", "ada")
    assert str(site.options.folder) not in json.dumps(view) and "labels.tif" in json.dumps(view)
    names = {
        result["name"]: result["bytes"]
        for result in document(ask(site, "ada", "GET", f"/jobs/{job}/results"))["results"]
    }
    assert set(names) == {"labels.tif", "cells.csv", "smooth.zarr"}
    smooth = filters.gaussian(data.coins(), sigma=2)
    expected = measure.label(smooth > filters.threshold_otsu(smooth))
    whole = ask(site, "ada", "GET", f"/jobs/{job}/results/labels.tif")
    pixels = content(whole)
    assert (whole.status, len(pixels)) == (200, int(whole.headers["Content-Length"]))
    assert (tifffile.imread(io.BytesIO(pixels)) == expected).all()
    assert "labels.tif" in whole.headers["Content-Disposition"]
    zipped = ask(site, "ada", "GET", f"/jobs/{job}/results/smooth.zarr")
    archive = content(zipped)
    assert len(archive) == int(zipped.headers["Content-Length"])
    assert any(name.endswith("zarr.json") for name in zipfile.ZipFile(io.BytesIO(archive)).namelist())


def test_results_come_in_ranges(site: Site, coins: bytes) -> None:
    upload = sent(site, "ada", "coins.png", coins)
    pipeline = {"version": 1, "steps": ["bright=threshold:100"], "outputs": {"bright.npy": "bright"}}
    job = document(ask(site, "ada", "POST", "/jobs", {"upload": upload, "pipeline": pipeline, "title": "mine"}), 202)[
        "job"
    ]
    early = ask(site, "ada", "GET", f"/jobs/{job}/results/bright.npy")
    assert early.status in (200, 409)
    done(site, "ada", job)
    path = f"/jobs/{job}/results/bright.npy"
    whole = ask(site, "ada", "GET", path)
    pixels = content(whole)
    assert (np.load(io.BytesIO(pixels)) == (data.coins() > 100)).all()
    size = len(pixels)
    for asked, first, stop in (
        ("0-9", 0, 10),
        (f"{size - 5}-", size - 5, size),
        ("-7", size - 7, size),
        ("5-99999999", 5, size),
    ):
        part = ask(site, "ada", "GET", path, range=f"bytes={asked}")
        assert (part.status, content(part)) == (206, pixels[first:stop])
        assert part.headers["Content-Range"] == f"bytes {first}-{stop - 1}/{size}"
    for asked in ("9-3", "x-y", "1-2,5-6", ""):
        assert (ask(site, "ada", "GET", path, range=f"bytes={asked}")).status == 200
    for asked in (f"{size}-", "-0"):
        outside = ask(site, "ada", "GET", path, range=f"bytes={asked}")
        assert (outside.status, outside.headers["Content-Range"]) == (416, f"bytes */{size}")
    etag = whole.headers["ETag"]
    assert ask(site, "ada", "GET", path, range="bytes=0-9", if_range='"other"').status == 200
    assert ask(site, "ada", "GET", path, range="bytes=0-9", if_range=etag).status == 206
    assert ask(site, "ada", "GET", path, range="bytes=0-9", if_range=whole.headers["Last-Modified"]).status == 206
    assert ask(site, "ada", "GET", path, if_none_match=etag).status == 304
    head = ask(site, "ada", "HEAD", path)
    assert (head.status, head.headers["Content-Length"], content(head)) == (200, str(size), b"")


def test_nobody_sees_what_is_another_users(site: Site, coins: bytes) -> None:
    upload = sent(site, "ada", "coins.png", coins)
    assert ask(site, "bob", "POST", "/jobs", {"upload": upload, "pipeline": "cells"}).status == 404
    job = document(ask(site, "ada", "POST", "/jobs", {"upload": upload, "pipeline": "cells"}), 202)["job"]
    for method, path in (
        ("GET", f"/jobs/{job}"),
        ("GET", f"/jobs/{job}/blocks"),
        ("GET", f"/jobs/{job}/timeline"),
        ("GET", f"/jobs/{job}/results"),
        ("GET", f"/jobs/{job}/results/labels.tif"),
        ("POST", f"/jobs/{job}/cancel"),
        ("POST", f"/jobs/{job}/pause"),
        ("DELETE", f"/uploads/{upload}"),
    ):
        answer = ask(site, "bob", method, path, tus_resumable="1.0.0")
        assert answer.status == 404, (path, answer.body)
    assert document(ask(site, "bob", "GET", "/jobs"))["jobs"] == []
    assert document(ask(site, "bob", "GET", "/uploads")) == {"uploads": []}
    assert ask(site, "ada", "GET", "/fleet").status == ask(site, "ada", "GET", "/fleet/course").status == 404
    for path in ("/uploads", f"/jobs/{job}/results"):
        assert ask(site, None, "GET", path).status == 401
    done(site, "ada", job)


@pytest.mark.parametrize("pipeline", HOSTILE)
def test_hostile_pipelines_are_refused_and_leave_nothing(site: Site, coins: bytes, pipeline: dict[str, Any]) -> None:
    upload = sent(site, "ada", "coins.png", coins)
    answer = ask(site, "ada", "POST", "/jobs", {"upload": upload, "pipeline": pipeline})
    assert answer.status == 400, answer.body
    assert list(site.uploads.root_of("ada").glob("jobs/*")) == []
    assert str(site.options.folder).encode() not in answer.body


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"{", b"truncated"),
        (b"[]", b"object"),
        (b"{}", b"upload"),
        ({"upload": 3, "pipeline": "cells"}, b"$.upload"),
        ({"upload": "x", "pipeline": 3}, b"$.pipeline"),
        ({"upload": "x", "pipeline": "cells", "more": 1}, b"more"),
        (b"[" * 60_000, b"understood"),
        (b'{"upload": "' + b"x" * 70_000 + b'"}', b"at most 65,536"),
        (b"\xff\xfe", b"understood"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(site: Site, body: Any, word: bytes) -> None:
    answer = ask(site, "ada", "POST", "/jobs", body)
    assert answer.status == 400 and word in answer.body, answer.body


def test_files_that_are_no_images_are_refused(site: Site) -> None:
    for name, content in (
        ("a.png", b"no png at all"),
        ("a.npy", b"\x93NUMPY\1\0v\0{'descr':'|O','fortran_order':False,'shape':(3,)}"),
    ):
        upload = sent(site, "ada", name, content)
        answer = ask(site, "ada", "POST", "/jobs", {"upload": upload, "pipeline": "cells"})
        assert (
            answer.status == 400
            and name.encode() in answer.body
            and str(site.options.folder).encode() not in answer.body
        ), answer.body
    half = site.uploads.begin("ada", "b.png", 10)
    answer = ask(site, "ada", "POST", "/jobs", {"upload": half.id, "pipeline": "cells"})
    assert (answer.status, b"0 of 10 bytes" in answer.body) == (400, True)


def test_what_is_old_is_removed(app: Celery, tmp_path: Path, coins: bytes) -> None:
    site = Site(app, SiteOptions(tmp_path / "site", {"cells": CELLS}, uploads=UploadLimits(keep_s=1000), keep_s=5000))
    upload = sent(site, "ada", "coins.png", coins)
    job = site.submit("ada", site.uploads.find("ada", upload), "cells")
    job.wait(60)
    assert site.prune() == 0
    now = time.time()
    assert site.prune(now + 2000) == 1
    assert ask(site, "ada", "GET", f"/jobs/{job.id}/results/labels.tif").status == 200
    assert site.prune(now + 6000) == 1
    gone = ask(site, "ada", "GET", f"/jobs/{job.id}/results/labels.tif")
    assert (gone.status, b"removed" in gone.body) == (404, True)


def test_many_watch_with_one_reader(site: Site, coins: bytes) -> None:
    reads = 0
    rows = site.api.rows

    def counted() -> Any:
        nonlocal reads
        reads += 1
        return rows()

    site.api.rows = counted  # type: ignore[method-assign]
    live = Live(site, most_listeners=21, most_of_owner=20)
    watches = [live.events("ada") for _ in range(20)] + [live.events("bob")]
    assert [next(watch) for watch in watches] == [HELLO] * 21
    with ThreadPoolExecutor(21) as pool:
        first = [pool.submit(next, watch) for watch in watches]
        eventually(lambda: live.listeners == 21, "all listen")
        with pytest.raises(QueueFull, match="21 pages are open"):
            next(live.events("ada"))
        begun = time.monotonic()
        eventually(lambda: reads >= 1, "the first reading")
        job = site.submit("ada", site.uploads.find("ada", sent(site, "ada", "coins.png", coins)), "cells")
        told = [json.loads(one.result(60).removeprefix(b"data: "))["jobs"] for one in first[:20]]
        assert all(set(one) == {job.id} and one[job.id]["owner"] == "ada" for one in told)
        assert not first[20].done()
        assert reads <= 2 + (time.monotonic() - begun)
        job.wait(60)
        other = site.submit("bob", site.uploads.find("bob", sent(site, "bob", "coins.png", coins)), "cells")
        assert set(json.loads(first[20].result(60).removeprefix(b"data: "))["jobs"]) == {other.id}
        other.wait(60)
    request = Request("GET", f"/jobs/{job.id}", owner="ada")
    assert document(live.answer(request))["summary"]["state"] == "done"
    assert asyncio.run(live.aanswer(request)).status == 200
    for watch in watches:
        watch.close()  # type: ignore[attr-defined]
    eventually(lambda: live.listeners == 0, "nobody listens")


def test_a_user_has_few_streams_of_events(site: Site, coins: bytes) -> None:
    live = Live(site, most_of_owner=2)
    watches = [live.events("ada") for _ in range(2)]
    with pytest.raises(QueueFull, match="2 pages of yours"):  # also before anybody reads them
        live.events("ada")
    watches.pop().close()  # type: ignore[attr-defined]
    watches.append(live.events("ada"))
    with ThreadPoolExecutor(3) as pool:
        for watch in watches:
            next(watch)
            pool.submit(next, watch, None)
        eventually(lambda: live.listeners == 2, "both listen")
        with pytest.raises(QueueFull, match="2 pages of yours"):
            live.events("ada")
        other = live.events("bob")
        next(other)
        site.submit("ada", site.uploads.find("ada", sent(site, "ada", "coins.png", coins)), "cells").cancel()
    for watch in (*watches, other):
        watch.close()  # type: ignore[attr-defined]
    eventually(lambda: live.listeners == 0, "nobody listens")


def test_watching_in_an_event_loop_ends_when_it_is_cancelled(site: Site) -> None:
    live = Live(site)

    async def watch() -> None:
        async for _ in live.aevents("ada"):
            pass

    async def main() -> None:
        watching = asyncio.ensure_future(watch())
        while live.listeners == 0:
            await asyncio.sleep(0.01)
        watching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watching

    asyncio.run(main())
    eventually(lambda: live.listeners == 0, "nobody listens")


def test_a_job_that_is_never_sent_leaves_nothing(site: Site, coins: bytes) -> None:
    upload = site.uploads.find("ada", sent(site, "ada", "coins.png", coins))
    prepared = site.prepare("ada", upload, "cells")
    folders = list(site.uploads.root_of("ada").glob("jobs/*"))
    assert len(folders) == 1 and ask(site, "ada", "GET", f"/jobs/{prepared.id}").status == 404
    del prepared
    assert not folders[0].exists()
    prepared = site.prepare("ada", upload, "cells")
    job = prepared.send()
    assert (job.id, job.info().tenant) == (prepared.id, "ada")
    del prepared
    job.wait(60)
    assert [result.name for result in site.results(job)] != []
