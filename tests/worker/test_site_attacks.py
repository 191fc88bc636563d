"""A Flask site on gunicorn and real workers, attacked: clear answers, lines in the log, and the site goes on."""

from __future__ import annotations

import base64
import http.client
import json
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import redis
import skimage

from lepton_celery.local.server import free_port
from lepton_celery.local.stack import LocalStack
from tests.hostile import files
from tests.waiting import eventually

pytestmark = pytest.mark.worker

COINS = (Path(skimage.__file__).parent / "data" / "coins.png").read_bytes()
REQUEST_S = 1.5
THREADS = 4
TUS = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}
APP = """
from flask import Flask, request
from lepton_celery.contrib.flask import Lepton
app = Flask(__name__, instance_path={folder!r})
app.config["LEPTON"] = {{"pipelines": {{"edges": ["sobel"]}}, "request_s": {seconds}}}
app.config.update(LEPTON_PIXELS=1 << 24, LEPTON_FILE_BYTES=1 << 22)
lepton = Lepton(app)
lepton.owner_loader(lambda: request.headers.get("X-User"))
"""


@dataclass(frozen=True)
class Attacked:
    """A site, as an attacker sees it, and what its operator sees."""

    port: int
    folder: Path
    log: Path

    def client(self, user: str = "eve") -> httpx.Client:
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers={"X-User": user}, timeout=30)

    def logged(self, words: str) -> bool:
        return re.search(words, self.log.read_text()) is not None


@pytest.fixture(scope="module")
def site(workers: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    folder, port = tmp_path_factory.mktemp("attacked"), free_port()
    (folder / "shop.py").write_text(APP.format(folder=str(folder), seconds=REQUEST_S))
    log = folder / "log"
    command = [sys.executable, "-m", "gunicorn", "--worker-class=gthread", f"--threads={THREADS}", "--workers=1"]
    environ = {**os.environ, "LEPTON_BROKER_URL": workers.broker_url}
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*command, f"--bind=127.0.0.1:{port}", "shop:app"], cwd=folder, env=environ, stdout=file, stderr=file
        )
    try:
        found = Attacked(port, folder, log)
        eventually(lambda: process.poll() is not None or is_open(port))
        assert process.poll() is None, log.read_text()
        yield found
    finally:
        process.send_signal(signal.SIGKILL if process.poll() is not None else signal.SIGTERM)
        process.wait(60)


def is_open(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(autouse=True)
def the_site_goes_on(site: Attacked) -> Iterator[None]:
    """After each attack the site and its workers do an honest job."""
    yield
    with site.client("ada") as ada:
        answer = ada.post("/lepton/uploads", files={"image": ("coins.png", COINS)}, data={"pipeline": "edges"})
        assert answer.status_code == 202, answer.text
        job = answer.json()["job"]
        eventually(lambda: state_of(ada, job) == "done", "an honest job", 60)


def state_of(client: httpx.Client, job: str) -> str:
    return str(client.get(f"/lepton/jobs/{job}").json()["summary"]["state"])


def sent(client: httpx.Client, name: str, content: bytes, **fields: str) -> httpx.Response:
    return client.post("/lepton/uploads", files={"image": (name, content)}, data=fields)


def begun(client: httpx.Client, length: int, name: str = "a.png") -> str:
    about = {"Upload-Length": str(length), "Upload-Metadata": f"filename {base64.b64encode(name.encode()).decode()}"}
    answer = client.post("/lepton/uploads", headers={"Tus-Resumable": "1.0.0", **about})
    assert answer.status_code == 201, answer.text
    return answer.headers["Location"]


def test_names_and_ids_lead_to_no_other_folder(site: Attacked) -> None:
    with site.client() as eve:
        before = set(site.folder.rglob("*"))
        for name in ("../../../x.png", "..\\..\\x.png", "/etc/x.png", "%2e%2e%2fx.png", "a\0.png", "\u202egnp.png"):
            answer = sent(eve, name, COINS)
            assert answer.status_code in (201, 400), answer.text
        new = set(site.folder.rglob("*")) - before
        assert {path.name for path in new if path.is_file()} <= {"about.json", "image.png", ".lock"}
        assert all(path.is_relative_to(site.folder / "lepton") for path in new)
        job = sent(eve, "a.png", COINS, pipeline="edges").json()["job"]
        for path in (
            "/lepton/uploads/..%2f..%2fetc%2fpasswd",
            "/lepton/uploads/%2e%2e",
            f"/lepton/jobs/{job}/results/..%2f..%2fabout.json",
            f"/lepton/jobs/{job}/results/%2e%2e%2f%2e%2e%2fshop.py",
            f"/lepton/jobs/{job}/results/%252e%252e%252fshop.py",
            "/lepton/jobs/..%2f..%2fx/results/a.tif",
            "/lepton/static/..%2f..%2fsite.py",
            "/lepton/static/%2e%2e/site.py",
            "/lepton/signed/..%2f..%2fshop.py",
            f"/lepton/jobs/{job}/pictures/..%2finput-1/tile",
        ):
            answer = eve.get(path)
            assert answer.status_code in (400, 404, 405, 409), (path, answer.status_code)
            assert "root:" not in answer.text and "Flask" not in answer.text.replace("lepton", "")


@pytest.mark.parametrize("scheme", ["http://127.0.0.1:{port}/x.png", "http://[::1]:{port}/", "ftp://127.0.0.1:{port}/"])
def test_nothing_is_fetched_and_no_file_of_the_server_is_read(site: Attacked, scheme: str) -> None:
    with site.client() as eve, socket.create_server(("127.0.0.1", 0)) as inside:
        inside.settimeout(0.2)
        upload = sent(eve, "a.png", COINS).json()["id"]
        url = scheme.format(port=inside.getsockname()[1])
        for source in (url, "file:///etc/passwd", "/etc/passwd", "/dev/zero", "s3://bucket/x.zarr", "input:other"):
            nodes = [{"operation": "lepton.source", "arguments": {"url": source}}]
            document = {"version": 1, "nodes": nodes, "outputs": {"a.tif": 0}}
            steps = {"version": 1, "steps": [f"a=numpy.add:x2=@{source}"], "outputs": {"a.tif": "a"}}
            for pipeline in (document, steps):
                answer = eve.post("/lepton/jobs", json={"upload": upload, "pipeline": pipeline})
                assert answer.status_code == 400, (source, answer.text)
                assert "root:" not in answer.text
        with pytest.raises(TimeoutError):
            inside.accept()
    assert site.logged(r"refused with 400: POST /jobs of eve: .*(source|path|@)")


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


def test_files_that_lie_or_are_bombs_are_refused_with_their_name(site: Attacked, tmp_path: Path) -> None:
    with site.client() as eve:
        for name, content in bombs(tmp_path):
            answer = sent(eve, name, content, pipeline="edges")
            assert answer.status_code == 400, (name, answer.text)
            said = answer.json()["error"]["message"]
            assert name in said or "pixels" in said, (name, said)
            assert str(site.folder) not in said
        for name in ("a.zarr", "a.zip", "a.svg", "a.png.exe", "zarr.json", ".zarray"):
            assert "no suffix of these" in sent(eve, name, COINS).text
        assert eve.get("/lepton/uploads").json()["uploads"] == [] or not (tmp_path / "trace").exists()
    assert not (tmp_path / "trace").exists()
    assert site.logged(r"refused with 400: POST /uploads of eve: .*bomb\.png|over the limit")


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


def raw(site: Attacked, head: str, body: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", site.port), timeout=30)
    connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
    return connection


def answered(connection: socket.socket) -> bytes:
    """The status line and the body of the answer."""
    with connection, http.client.HTTPResponse(connection) as answer:
        answer.begin()
        return f"HTTP {answer.status} ".encode() + answer.read()


def test_lengths_that_lie_are_refused_and_what_came_is_kept(site: Attacked) -> None:
    with site.client() as eve:
        path = begun(eve, 10)
        head = f"PATCH {path} HTTP/1.1\nHost: x\nX-User: eve\nTus-Resumable: 1.0.0\nUpload-Offset: 0\n"
        head += "Content-Type: application/offset+octet-stream\n"
        more = answered(raw(site, f"{head}Content-Length: 4000000000", b"x" * 100))
        assert b" 413 " in more or b" 409 " in more, more
        chunked = answered(raw(site, f"{head}Transfer-Encoding: chunked", b"14\r\n" + b"y" * 20 + b"\r\n0\r\n\r\n"))
        assert b" 409 " in chunked, chunked
        assert eve.head(path, headers=TUS).headers["Upload-Offset"] in ("0", "10")
        both = answered(raw(site, f"{head}Content-Length: 3\nTransfer-Encoding: chunked", b"0\r\n\r\n"))
        assert both.startswith(b"HTTP 4"), both
        large = "POST /lepton/jobs HTTP/1.1\nHost: x\nX-User: eve\nContent-Type: application/json\n"
        assert b" 413 " in answered(raw(site, f"{large}Content-Length: 10000000000", b"{}"))
        endless = b"".join(b"8000\r\n" + b" " * 0x8000 + b"\r\n" for _ in range(8))
        refused = answered(raw(site, f"{large}Transfer-Encoding: chunked", endless))
        assert b"at most 65,536" in refused, refused
        assert (
            "at most 4,194,304"
            in eve.post(
                "/lepton/uploads",
                headers={**TUS, "Upload-Length": str(1 << 40), "Upload-Metadata": "filename YS5wbmc="},
            ).text
        )
        assert sent(eve, "a.png", bytes(5 << 20)).status_code == 413


@pytest.mark.parametrize("sends", [b"", b"x"])
def test_slow_clients_do_not_hold_the_threads_of_the_server(site: Attacked, sends: bytes) -> None:
    with site.client() as eve, ExitStack() as slow:
        paths = [begun(eve, 1000) for _ in range(THREADS)]
        for path in paths:
            head = f"PATCH {path} HTTP/1.1\nHost: x\nX-User: eve\nTus-Resumable: 1.0.0\nUpload-Offset: 0\n"
            head += "Content-Type: application/offset+octet-stream\nContent-Length: 1000"
            slow.enter_context(raw(site, head, sends))
        began = time.monotonic()
        assert eve.get("/lepton/uploads").status_code == 200
        assert time.monotonic() - began < 20 * REQUEST_S

        def offsets() -> set[str]:
            return {eve.head(path, headers=TUS).headers["Upload-Offset"] for path in paths}

        eventually(lambda: offsets() == {str(len(sends))}, "the end of all threads, of which one is enough to answer")
        assert eve.patch(paths[0], headers={**TUS, "Upload-Offset": str(len(sends))}, content=b"y").status_code == 204


def test_other_users_files_and_jobs_do_not_exist(site: Attacked) -> None:
    with site.client("ada") as ada, site.client() as eve, site.client("") as nobody:
        upload, job = sent(ada, "a.png", COINS).json()["id"], sent(ada, "a.png", COINS, pipeline="edges").json()["job"]
        for method, path in (
            ("GET", f"/jobs/{job}"),
            ("GET", f"/jobs/{job}/results/result.tif"),
            ("GET", f"/jobs/{job}/pictures"),
            ("GET", f"/jobs/{job}/pictures/input-1/tile"),
            ("GET", f"/jobs/{job}/course"),
            *(("POST", f"/jobs/{job}/{action}") for action in ("cancel", "pause", "resume", "retry", "priority")),
            *((method, f"/uploads/{upload}") for method in ("HEAD", "PATCH", "DELETE")),
        ):
            assert eve.request(method, f"/lepton{path}", headers={**TUS, "Upload-Offset": "0"}).status_code == 404, path
            assert nobody.request(method, f"/lepton{path}").status_code == 401, path
        for query in ("?owner=ada", "?owner=", "?tenant=ada"):
            assert eve.get(f"/lepton/jobs{query}").json()["count"] == 0
    assert site.logged(rf"refused with 404: POST /jobs/{job}/cancel of eve")


def test_text_in_logs_begins_no_line(site: Attacked) -> None:
    with site.client() as eve:
        eve.get("/lepton/jobs/x%0a2026-01-01%20CRITICAL%20all%20is%20lost%1b[2J")
        sent(eve, "x.png\nCRITICAL all is lost", COINS)
    assert not re.search(r"^(2026-01-01 )?CRITICAL", site.log.read_text(), re.MULTILINE)
    assert "\x1b" not in site.log.read_text()
