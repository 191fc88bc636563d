"""A site in FastAPI, as docs/fastapi.md has it, on a real uvicorn with a real worker."""

from __future__ import annotations

import importlib
import io
import json
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import skimage
import tifffile
import uvicorn
from skimage import data, filters, measure

from lepton_celery.config import set_configured
from lepton_celery.contrib.testing.stack import StackOptions, running_stack
from tests.waiting import eventually

pytestmark = pytest.mark.worker

PAGE = (Path(__file__).parents[2] / "docs" / "fastapi.md").read_text()
COINS = Path(skimage.__file__).parent / "data" / "coins.png"
TUS = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the page's modules, which this process and a worker can import, and in which both run."""
    folder = tmp_path_factory.mktemp("modules")
    blocks = re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    for name, text in blocks:
        (folder / name).write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.chdir(folder)
        yield folder
    for name, _ in blocks:
        sys.modules.pop(name.removesuffix(".py"), None)


@pytest.fixture(scope="module")
def address(modules: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the site."""
    with running_stack(tmp_path_factory.mktemp("stack"), "shop:celery", StackOptions(), modules):
        server = uvicorn.Server(uvicorn.Config("more:web", port=0, log_level="warning"))
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            eventually(lambda: server.started or not thread.is_alive())
            yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
    set_configured(None)


@contextmanager
def logged_in(address: str, name: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, timeout=60) as client:
        client.post("/login", params={"name": name}).raise_for_status()
        yield client


def test_an_upload_becomes_labels(address: str) -> None:
    smooth = filters.gaussian(data.coins(), sigma=2)
    found = importlib.import_module("client").count_cells(address, COINS)
    assert (tifffile.imread(io.BytesIO(found)) == measure.label(smooth > filters.threshold_otsu(smooth))).all()


def test_an_upload_that_was_interrupted_goes_on(address: str) -> None:
    content = COINS.read_bytes()
    with logged_in(address, "ada") as ada, logged_in(address, "eve") as eve:
        about = {"Upload-Length": str(len(content)), "Upload-Metadata": "filename Y29pbnMucG5n"}
        begun = ada.post("/lepton/uploads", headers={"Tus-Resumable": "1.0.0"} | about).raise_for_status()
        upload = begun.headers["Location"]
        headers = TUS | {
            "Upload-Offset": "0",
            "Content-Length": str(len(content)),
            "Cookie": "; ".join(f"{name}={value}" for name, value in ada.cookies.items()),
        }
        lines = [f"PATCH {upload} HTTP/1.1", "Host: site", *(f"{name}: {value}" for name, value in headers.items())]
        host, port = httpx.URL(address).host, httpx.URL(address).port
        with socket.create_connection((host, int(port or 0))) as connection:
            connection.sendall("\r\n".join([*lines, "", ""]).encode() + content[:30_000])
            eventually(lambda: received(ada, upload) >= 20_000, "a piece")
        eventually(lambda: received(ada, upload) == 30_000, "the end of the request", 60)
        assert eve.head(upload, headers=TUS).status_code == 404
        wrong = ada.patch(upload, content=content[9:], headers=TUS | {"Upload-Offset": "9"})
        assert wrong.status_code == 409
        rest = ada.patch(upload, content=content[30_000:], headers=TUS | {"Upload-Offset": "30000"})
        assert (rest.status_code, rest.headers["Upload-Offset"]) == (204, str(len(content)))
        job = ada.post(f"/uploads/{upload.rpartition('/')[2]}/edges").raise_for_status().json()["job"]
        path = f"/lepton/jobs/{job}"
        eventually(lambda: ada.get(path).json()["summary"]["state"] == "done")
        whole = ada.get(f"{path}/results/edges.npy")
        assert (np.load(io.BytesIO(whole.content)) == filters.sobel(data.coins())).all()
        part = ada.get(f"{path}/results/edges.npy", headers={"Range": "bytes=100-199"})
        assert (part.status_code, part.content) == (206, whole.content[100:200])
        head = ada.head(f"{path}/results/edges.npy")
        assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(whole.content)))
        assert eve.get(path).status_code == eve.post(f"{path}/cancel").status_code == 404
        assert ada.post(f"{path}/cancel").json()["error"]["message"].endswith("it is done already")


def received(client: httpx.Client, upload: str) -> int:
    """How much of an upload has been received."""
    return int(client.head(upload, headers=TUS).headers["Upload-Offset"])


def test_a_page_is_told_of_its_users_jobs_and_of_no_others(address: str) -> None:
    [serving] = [route.app for route in importlib.import_module("shop").web.routes if route.path == "/lepton"]
    with logged_in(address, "ada") as ada, logged_in(address, "eve") as eve:
        with ada.stream("GET", "/lepton/changes") as stream:
            assert stream.headers["Content-Type"].startswith("text/event-stream")
            lines = stream.iter_lines()
            assert next(lines) == "event: hello"
            eventually(lambda: serving._live.listeners == 1)
            time.sleep(1.5)  # the reader knows what there was
            jobs = []
            for client in (eve, ada):
                about = {"Upload-Length": str(COINS.stat().st_size), "Upload-Metadata": "filename Y29pbnMucG5n"}
                sent = client.post("/lepton/uploads", content=COINS.read_bytes(), headers=TUS | about)
                upload = sent.raise_for_status().headers["Location"].rpartition("/")[2]
                job = client.post("/lepton/jobs", json={"upload": upload, "pipeline": "cells"}).raise_for_status()
                jobs.append(job.json()["job"])
            told = next(line for line in lines if line.startswith("data: {") and line != "data: {}")
            rows = json.loads(told.removeprefix("data: "))["jobs"]
            assert jobs[1] in rows and jobs[0] not in rows
            assert {"state", "progress"} <= rows[jobs[1]].keys()
        eventually(lambda: serving._live.listeners == 0)


@pytest.mark.parametrize(
    ("method", "path", "given", "status", "message"),
    [
        ("GET", "/lepton/jobs?count=many", {}, 400, "count"),
        ("GET", "/lepton/jobs?text=%ff", {}, 400, "the query is not UTF-8"),
        ("GET", "/lepton/nothing", {}, 404, "/openapi.json lists the paths"),
        ("POST", "/lepton/jobs", {"json": {"upload": "x"}}, 400, "pipeline"),
        ("POST", "/lepton/jobs", {"content": b" " * (1 << 20)}, 400, "at most 65,536 are read"),
        ("POST", "/lepton/jobs", {"headers": {"Origin": "https://elsewhere.example"}}, 403, "page of another site"),
        ("POST", "/lepton/jobs", {"headers": {"Sec-Fetch-Site": "cross-site"}}, 403, "page of another site"),
    ],
)
def test_what_is_wrong_is_answered_with_the_reason(
    address: str, method: str, path: str, given: dict[str, Any], status: int, message: str
) -> None:
    with logged_in(address, "ada") as ada:
        found = ada.request(method, path, **given)
    assert found.status_code == status
    assert message in found.json()["error"]["message"]


def test_nobody_sees_anything_before_logging_in(address: str) -> None:
    for path in ("/lepton/jobs", "/lepton/openapi.json", "/lepton/uploads"):
        assert httpx.get(f"{address}{path}").status_code == 401
