"""A Flask site on gunicorn and a Django site on gunicorn and uvicorn, with real workers, attacked: clear answers, lines in
the log, and the site goes on.
"""

from __future__ import annotations

import base64
import json
import os
import pickle
import re
import socket
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import redis

from lepton_celery.local.stack import LocalStack
from tests.hostile import files
from tests.hostile.attacked import (
    COINS,
    FILE_BYTES,
    REQUEST_S,
    THREADS,
    TUS,
    Attacked,
    answered,
    attacked,
    begun,
    make_accounts,
    stored,
)
from tests.hostile.test_site_pipelines import LONG, PLANNED
from tests.waiting import eventually

pytestmark = pytest.mark.worker

EVERYWHERE = pytest.mark.parametrize("site", ["flask", "django", "asgi"], indirect=True)
"""For attacks that a web server may treat in its own way."""
ONCE = pytest.mark.parametrize("site", ["flask"], indirect=True)
"""For attacks of which no part of a web framework takes notice."""
FORM = "Content-Type: multipart/form-data; boundary=b"
PART = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
PIECE = "Tus-Resumable: 1.0.0\nUpload-Offset: 0\nContent-Type: application/offset+octet-stream"
METHODS = ("GET", "HEAD", "POST", "PATCH", "DELETE")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("database")
    make_accounts(folder)
    return folder


@pytest.fixture(scope="module", params=["flask", "django"])
def site(
    request: pytest.FixtureRequest, workers: LocalStack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Attacked]:
    database = Path() if request.param == "flask" else request.getfixturevalue("database")
    with attacked(request.param, workers.broker_url, tmp_path_factory.mktemp("attacked"), database) as site:
        yield site


@pytest.fixture(autouse=True)
def the_site_goes_on(site: Attacked) -> Iterator[None]:
    """After each attack the site and its workers do an honest job."""
    yield
    with site.client("ada") as ada:
        answer = site.sent(ada, "coins.png", COINS)
        assert answer.status_code == 202, answer.text
        job = answer.json()["job"]
        eventually(lambda: is_done(ada, job), "an honest job", 60)


def is_done(client: httpx.Client, job: str) -> bool:
    """Whether a job has its result, which is never answered from a cache as its state may be."""
    return client.head(f"/lepton/jobs/{job}/results/result.tif").status_code == 200


def all_in(folder: Path) -> set[Path]:
    """All files and folders in a folder, where others may vanish meanwhile, at which `rglob` would fail."""
    return {Path(parent, name) for parent, folders, files in os.walk(folder) for name in (*folders, *files)}


@EVERYWHERE
def test_names_and_ids_lead_to_no_other_folder(site: Attacked) -> None:
    with site.client() as eve:
        before = all_in(site.folder)
        names = ("../../../x.png", "..\\..\\x.png", "/etc/x.png", "%2e%2e%2fx.png", "a\0.png", "\u202egnp.png")
        for name in names:
            answer = begun(eve, len(COINS), name, COINS)
            assert answer.status_code == 201, answer.text
        new = all_in(site.folder) - before
        assert {path.name for path in new if path.is_file()} == {"about.json", "image.png", ".lock"}
        for name in names:
            assert site.sent(eve, name, COINS).status_code in (202, 400)
        new = all_in(site.folder) - before
        assert new and all(path.is_relative_to(site.folder / "lepton") for path in new)
        job = site.sent(eve, "a.png", COINS).json()["job"]
        for path in (
            "/lepton/uploads/..%2f..%2fetc%2fpasswd",
            "/lepton/uploads/%2e%2e",
            f"/lepton/jobs/{job}/results/..%2f..%2fabout.json",
            f"/lepton/jobs/{job}/results/%2e%2e%2f%2e%2e%2fshop.py",
            f"/lepton/jobs/{job}/results/%252e%252e%252fshop.py",
            f"/lepton/jobs/{job}/results/a%0a.tif",
            "/lepton/jobs/..%2f..%2fx/results/a.tif",
            *(f"/lepton/{folder}/{up}site.py" for folder in ("static", "scripts") for up in ("..%2f..%2f", "%2e%2e/")),
            *(f"/lepton/{kind}/..%2f..%2fshop.py" for kind in ("signed", "links", "links/x")),
            f"/lepton/jobs/{job}/pictures/..%2finput-1/tile",
        ):
            answer = eve.get(path)
            assert answer.status_code in (400, 404, 405, 409), (path, answer.status_code)
            assert "root:" not in answer.text and "import" not in answer.text, (path, answer.text)
            assert answer.status_code == 404 or answer.json()["error"]["message"], path


def test_nothing_is_fetched_and_no_file_of_the_server_is_read(site: Attacked) -> None:
    with site.client() as eve, socket.create_server(("127.0.0.1", 0)) as inside:
        inside.settimeout(0.2)
        upload, port = stored(eve), inside.getsockname()[1]
        urls = (f"http://127.0.0.1:{port}/x.png", f"http://[::1]:{port}/", f"ftp://127.0.0.1:{port}/")
        for source in (*urls, "file:///etc/passwd", "/etc/passwd", "/dev/zero", "s3://bucket/x.zarr", "input:other"):
            nodes = [{"operation": "lepton.source", "arguments": {"url": source}}]
            document = {"version": 1, "nodes": nodes, "outputs": {"a.tif": 0}}
            steps = {"version": 1, "steps": [f"a=numpy.add:x2=@{source}"], "outputs": {"a.tif": "a"}}
            for pipeline in (document, steps):
                answer = eve.post("/lepton/jobs", json={"upload": upload, "pipeline": pipeline})
                assert answer.status_code == 400, (source, answer.text)
                assert "root:" not in answer.text
        with pytest.raises(TimeoutError):
            inside.accept()
    assert site.logged(rf"refused with 400: POST /jobs of {site.owner('eve')}: .*(source|path|@)")


def bombs(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Files that lie about their sizes, unpack to much, or carry pickles."""
    side = 12_000
    yield "lie.png", files.png(folder / "a", 30_000, 30_000).read_bytes()
    yield "bomb.png", files.png(folder / "a", side, side, bytes((side + 1) * side)).read_bytes()
    yield "strip.tif", files.strip_tiff(folder / "a", 65_000).read_bytes()
    yield "bomb.tif", files.strip_tiff(folder / "a", 16_000, zlib.compress(bytes(1 << 28), 9)).read_bytes()
    yield "pages.tif", files.endless_tiff(folder / "a").read_bytes()
    yield "frames.tif", files.ome(folder / "a.ome.tif", 10**8, 10**8).read_bytes()
    yield "large.npy", files.npy(folder / "a", "<f8", f"({10**6}, {10**6})", bytes(100)).read_bytes()
    yield "wrapped.npy", files.npy(folder / "a", "<f8", f"({2**32}, {2**32})", bytes(100)).read_bytes()
    yield "pickled.npy", files.pickled_npy(folder / "a", folder / "trace").read_bytes()
    yield "void.npy", files.npy(folder / "a", "|V500000000", "(0,)").read_bytes()
    yield "nothing.jpg", b"\xff\xd8\xff"
    yield "page.png", b"<html><script>alert(1)</script>"


@pytest.fixture(scope="module")
def bombs_made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[str, bytes]]]:
    """The bombs, and where a pickle that ran would leave its trace."""
    folder = tmp_path_factory.mktemp("bombs")
    return folder / "trace", list(bombs(folder))


def test_files_that_lie_or_are_bombs_are_refused_with_their_name(
    site: Attacked, bombs_made: tuple[Path, list[tuple[str, bytes]]]
) -> None:
    trace, made = bombs_made
    with site.client() as eve:
        for name, content in made:
            answer = site.sent(eve, name, content)
            assert answer.status_code == 400, (name, answer.text)
            error = answer.json()["error"]
            assert name in error["message"] or "pixels" in error["message"], (name, error)
            if site.kind != "flask" and "pixels, over the limit" not in error["message"]:
                assert list(error["fields"]) == ["image"], (name, error)
            assert str(site.folder) not in answer.text
        for name in ("a.zarr", "a.zip", "a.svg", "a.png.exe", "zarr.json", ".zarray"):
            assert "no suffix of these" in site.sent(eve, name, COINS).text
    assert not trace.exists()
    assert site.logged(rf"refused with 400: POST /(uploads|submit) of {site.owner('eve')}: .*bomb\.png|over the limit")


@ONCE
def test_a_pickle_in_the_lanes_is_dropped_and_runs_nothing(site: Attacked, workers: LocalStack, tmp_path: Path) -> None:
    body = base64.b64encode(pickle.dumps(files.Touch(tmp_path / "trace"))).decode()
    properties = {"delivery_info": {"exchange": "", "routing_key": "lepton.interactive"}, "delivery_tag": "x"}
    message = {
        "body": body,
        "content-type": "application/x-python-serialize",
        "content-encoding": "binary",
        "headers": {"task": "lepton.process", "id": "x", "lang": "py"},
        "properties": {**properties, "body_encoding": "base64"},
    }
    with redis.Redis.from_url(workers.broker_url) as client:
        client.lpush("lepton.interactive", json.dumps(message))
        eventually(lambda: client.llen("lepton.interactive") == 0, "the message", 30)
    assert not (tmp_path / "trace").exists()


@ONCE
def test_workers_end_what_the_web_process_could_not_know_to_be_wrong(site: Attacked) -> None:
    """Pipelines that were planned, although they ask for much."""
    with site.client() as eve:
        upload, jobs = stored(eve), {}
        for name in PLANNED:
            *steps, last = LONG[name]
            pipeline = {"version": 1, "steps": [*steps, f"r={last}"], "outputs": {"r.npy": "r"}}
            answer = eve.post("/lepton/jobs", json={"upload": upload, "pipeline": pipeline})
            assert answer.status_code == 202, (name, answer.text)
            jobs[name] = answer.json()["job"]
        for name, job in jobs.items():
            eventually(lambda job=job: '"running"' not in eve.get(f"/lepton/jobs/{job}").text, name, 60)  # type: ignore[misc]


@EVERYWHERE
def test_lengths_that_lie_are_refused_and_what_came_is_kept(site: Attacked) -> None:
    with site.client() as eve:
        path = begun(eve, 10).headers["Location"]
        chunks = b"14\r\n" + b"y" * 20 + b"\r\n0\r\n\r\n"
        chunked = answered(site.raw("PATCH", path, "eve", f"{PIECE}\nTransfer-Encoding: chunked", chunks))
        assert (b" 411 " if site.kind == "django" else b" 409 ") in chunked, chunked
        assert eve.head(path, headers=TUS).headers["Upload-Offset"] in ("0", "10")
        both = answered(
            site.raw("PATCH", path, "eve", f"{PIECE}\nContent-Length: 3\nTransfer-Encoding: chunked", b"0\r\n\r\n")
        )
        assert both.startswith(b"HTTP 4"), both
        endless = b"".join(b"8000\r\n" + b" " * 0x8000 + b"\r\n" for _ in range(8)) + b"0\r\n\r\n"
        json_head = "Content-Type: application/json"
        refused = answered(site.raw("POST", "/lepton/jobs", "eve", f"{json_head}\nTransfer-Encoding: chunked", endless))
        assert (b" 411 " if site.kind == "django" else b"at most 65,536") in refused, refused
        about = {"Upload-Length": str(1 << 40), "Upload-Metadata": "filename YS5wbmc="}
        assert "at most 4,194,304" in eve.post("/lepton/uploads", headers={**TUS, **about}).text
        assert site.sent(eve, "a.png", bytes(FILE_BYTES + (1 << 20))).status_code == 413
        if site.kind == "asgi":
            return  # uvicorn waits for all of a body before Django is asked
        more = answered(site.raw("PATCH", path, "eve", f"{PIECE}\nContent-Length: 4000000000", b"x" * 100))
        assert b" 413 " in more or b" 409 " in more, more
        large = answered(site.raw("POST", "/lepton/jobs", "eve", f"{json_head}\nContent-Length: 10000000000", b"{}"))
        assert b" 413 " in large, large


def test_slow_clients_do_not_hold_the_threads_of_the_server(site: Attacked) -> None:
    sends = [b"", b"x"] * (THREADS // 2)
    with site.client() as eve, ExitStack() as slow:
        paths = [begun(eve, 1000).headers["Location"] for _ in sends]
        for path, content in zip(paths, sends, strict=True):
            slow.enter_context(site.raw("PATCH", path, "eve", f"{PIECE}\nContent-Length: 1000", content))
        began = time.monotonic()
        assert eve.get("/lepton/uploads").status_code == 200
        assert time.monotonic() - began < 20 * REQUEST_S

        def offsets() -> list[str]:
            return [eve.head(path, headers=TUS).headers["Upload-Offset"] for path in paths]

        wanted = [str(len(content)) for content in sends]
        eventually(lambda: offsets() == wanted, "the end of all threads, of which one is enough to answer")
        assert eve.patch(paths[1], headers={**TUS, "Upload-Offset": "1"}, content=b"y").status_code == 204


def test_slow_forms_end_and_nothing_is_kept_of_them(site: Attacked) -> None:
    with site.client() as eve:
        before = eve.get("/lepton/uploads").json()
        bodies = [b"", PART, PART + b"x", PART + COINS[:1000]]
        slow = [site.raw("POST", site.form_path, "eve", f"{FORM}\nContent-Length: 9000", body) for body in bodies]
        for connection in slow:
            said = answered(connection)
            assert b" 408 " in said and b"did not come within" in said, said
        assert eve.get("/lepton/uploads").json() == before
        nobody = site.raw("POST", site.form_path, "", f"{FORM}\nContent-Length: 9000", PART)
        assert b" 401 " in answered(nobody), "nothing is read of somebody who has not logged in"
    assert site.logged(rf"refused with 408: POST /(uploads|submit) of {site.owner('eve')}")


def test_forms_and_documents_that_are_too_much_are_told(site: Attacked) -> None:
    many = "".join(f'--b\r\nContent-Disposition: form-data; name="f{n}"\r\n\r\n\r\n' for n in range(1500)).encode()
    parts = (PART + b"x\r\n") * 1100
    with site.client() as eve:
        for body, status in (
            (many + b"--b--\r\n", (400, 413)),
            (parts + b"--b--\r\n", (400, 413)),
            (PART + COINS, (400,)),
            (b"--c\r\n\r\n", (400,)),
            (PART.replace(b"image", b"pipeline").replace(b'; filename="a.png"', b"") + b"x" * (3 << 20), (413,)),
        ):
            answer = eve.post(site.form_path, headers={"Content-Type": "multipart/form-data; boundary=b"}, content=body)
            assert answer.status_code in status and answer.json()["error"]["message"], (body[:80], answer.text)
        for body in (b"[" * 60_000, b'{"upload":' * 5000, b'{"upload": "\xff"}', b"9" * 60_000, b'{"a": 1}', b""):
            answer = eve.post("/lepton/jobs", headers={"Content-Type": "application/json"}, content=body)
            assert answer.status_code == 400 and "upload" in answer.json()["error"]["message"], answer.text
        form = eve.post("/lepton/jobs", headers={"Content-Type": "multipart/form-data; boundary=b"}, content=many)
        assert form.status_code in (400, 413) and form.json()["error"]["message"], form.text
    assert site.logged(rf"refused with 413: POST /(uploads|submit) of {site.owner('eve')}")


def test_other_users_files_and_jobs_do_not_exist(site: Attacked) -> None:
    offset = TUS | {"Upload-Offset": "0"}
    with site.client("ada") as ada, site.client() as eve, site.client("") as nobody:
        upload, job = stored(ada), site.sent(ada, "a.png", COINS).json()["job"]
        for path in (
            *("jobs/ID", "jobs/ID/results", "jobs/ID/results/result.tif", "jobs/ID/results/result.tif/link"),
            *("jobs/ID/pictures", "jobs/ID/pictures/input-1/tile", "jobs/ID/blocks", "jobs/ID/course", "uploads/ID"),
            *(f"jobs/ID/{action}" for action in ("cancel", "pause", "resume", "retry", "priority")),
        ):
            known = upload if path.startswith("uploads") else job
            unknown = "A" * len(known)
            for method in METHODS:
                theirs = eve.request(method, f"/lepton/{path.replace('ID', known)}", headers=offset)
                assert theirs.status_code in (404, 405), (method, path, theirs.text)
                if method in ("GET", "POST"):
                    none = eve.request(method, f"/lepton/{path.replace('ID', unknown)}", headers=offset)
                    assert theirs.status_code == none.status_code, (method, path)
                    assert theirs.text.replace(known, unknown) == none.text, (method, path)
            assert nobody.get(f"/lepton/{path.replace('ID', known)}").status_code == 401, path
        for query in ("?owner=ada", "?owner=", "?tenant=ada", f"?owner={site.owner('ada')}"):
            assert job not in eve.get(f"/lepton/jobs{query}").text
        assert eve.post("/lepton/jobs", json={"upload": upload, "pipeline": "bright"}).status_code == 404
        assert ada.head(f"/lepton/uploads/{upload}", headers=TUS).headers["Upload-Offset"] == str(len(COINS))
        eventually(lambda: is_done(ada, job), "the job, which nobody has cancelled or paused", 60)
    assert site.logged(rf"refused with 404: POST /jobs/{job}/cancel of {site.owner('eve')}")


@EVERYWHERE
def test_pages_of_other_sites_change_nothing(site: Attacked) -> None:
    """A browser that has logged in sends its cookies for them, too."""
    evil = {"Origin": "https://evil.example"}
    forged = [evil, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
    if site.kind != "flask":
        forged = [evil, {"Origin": "null"}, {"X-CSRFToken": ""}, {"X-CSRFToken": "y" * 32}]
    with site.client("ada") as ada:
        job, upload = site.sent(ada, "a.png", COINS).json()["job"], begun(ada, 10).headers["Location"]
        uploads, jobs = ada.get("/lepton/uploads").json(), ada.get("/lepton/jobs").json()["count"]
        about = {"Upload-Length": "3", "Upload-Metadata": "filename YS5wbmc="}
        for headers in forged:
            for method, path in (
                *(("POST", f"/lepton/jobs/{job}/{action}") for action in ("cancel", "pause", "retry", "priority")),
                *(("POST", path) for path in ("/lepton/jobs", "/lepton/uploads", f"/lepton/jobs/{job}/results/x/link")),
                *((method, upload) for method in ("PATCH", "DELETE")),
            ):
                answer = ada.request(
                    method, path, headers={**TUS, **about, "Upload-Offset": "0", **headers}, content=b"xyz"
                )
                assert answer.status_code == 403, (method, path, headers, answer.text)
            form = ada.post(site.form_path, files={"image": ("a.png", COINS)}, headers=headers)
            assert form.status_code == 403, (headers, form.text)
        eventually(lambda: is_done(ada, job), "the job", 60)
        assert ada.get("/lepton/uploads").json() == uploads
        assert ada.head(upload, headers=TUS).headers["Upload-Offset"] == "0"
        assert ada.get("/lepton/jobs").json()["count"] == jobs


@EVERYWHERE
def test_text_in_logs_begins_no_line(site: Attacked) -> None:
    with site.client() as eve:
        line = "%0a2026-01-01%20CRITICAL%20all%20is%20lost%1b[2J"
        for path in (f"jobs/x{line}", f"x{line}"):
            assert eve.get(f"/lepton/{path}").json()["error"]["status"] == 404, path
        for path in (f"scripts/x{line}", f"links/x{line}/y"):
            assert eve.get(f"/lepton/{path}").status_code == 404
        eve.get(f"/x{line}")
        site.sent(eve, "x.png\nCRITICAL all is lost", COINS)
        begun(eve, len(COINS), "x.svg\nCRITICAL all is lost\x1b[2J")
        eve.post("/lepton/jobs", json={"upload": "x\nCRITICAL all is lost\x1b[2J", "pipeline": "x\nCRITICAL"})
    assert not re.search(r"^(2026-01-01 )?CRITICAL", site.log.read_text(), re.MULTILINE)
    assert "\x1b" not in site.log.read_text()
