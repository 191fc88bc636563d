"""The example sites, started by their commands until Ctrl-C, after which no process of them may be left."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest

from lepton_celery.jobs.local_stack import read_running
from lepton_celery.local.server import free_port
from tests import waiting
from tests.waiting import eventually

EXAMPLES = Path(__file__).parents[2] / "examples"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Site:
    """A running example, as a client sees it."""

    name: str
    port: int
    state: Path
    process: subprocess.Popen[bytes]
    children: list[psutil.Process] = field(default_factory=list)
    """All processes that it started."""
    token: str = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def ask(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=180)
        connection.request(method, path, body or None, headers or {})
        response = connection.getresponse()
        answer = Answer(response.status, response.headers, response.read())
        connection.close()
        return answer

    def get(self, path: str) -> Answer:
        return self.ask("GET", path)

    def post(self, path: str, **fields: str | tuple[str, bytes]) -> Answer:
        """Post a form; a pair is a file of that name."""
        boundary = uuid4().hex
        body = b""
        for name, value in fields.items():
            filename, content = value if isinstance(value, tuple) else ("", value.encode())
            disposition = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename else "")
            body += f"--{boundary}\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + content + b"\r\n"
        body += f"--{boundary}--\r\n".encode()
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        return self.ask("POST", path, body, {**headers, **self.permission()})

    def permission(self) -> dict[str, str]:
        """Headers with Django's CSRF token; the Flask example checks the origin instead."""
        return {"X-CSRFToken": self.token, "Cookie": f"csrftoken={self.token}"} if self.token else {}

    def ended(self, job: Answer, timeout_s: float = 180) -> list[Any]:
        """All statuses of a job that was just posted, until it has ended."""
        assert job.status == 202, job.body
        seen = [self.get(job.json["status"]).json]
        deadline = time.monotonic() + timeout_s
        while seen[-1]["state"] == "running":
            assert time.monotonic() < deadline, seen[-1]
            time.sleep(0.02)
            seen.append(self.get(job.json["status"]).json)
        return seen

    def directories(self) -> list[Path]:
        """The folders of jobs on the server."""
        return sorted((self.state / "media" / "jobs").glob("*"))


@contextmanager
def running(name: str, state: Path, *arguments: str, broker_url: str | None = None) -> Iterator[Site]:
    """Run an example until Ctrl-C, after which no process of it may be left."""
    others = ("LEPTON_", "CELERY_", "DJANGO_", "FLASK_", "PYTHONDONTWRITEBYTECODE")
    environ = {key: value for key, value in os.environ.items() if not key.startswith(others)}
    environ["PYTHONDONTWRITEBYTECODE"] = "1"  # nothing is left in the checkout; what is installed has been compiled
    if broker_url:
        environ["LEPTON_BROKER_URL"] = broker_url
    port = free_port()
    command = [sys.executable, str(EXAMPLES / name / "run.py"), f"--port={port}", f"--state={state}", *arguments]
    log = state.with_name(f"{state.name}.log")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # children inherit an ignored SIGINT
    try:
        with log.open("wb") as file:
            process = subprocess.Popen(
                command, cwd=state.parent, env=environ, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
            )
    finally:
        signal.signal(signal.SIGINT, before)
    site = Site(name, port, state, process)
    try:
        eventually(lambda: answers(site) or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        assert site.url in log.read_text()
        site.children = psutil.Process(process.pid).children(recursive=True)
        page = site.get("/")
        assert page.status in (200, 302)  # to log in
        if cookie := page.headers.get("Set-Cookie"):
            site.token = cookie.partition("csrftoken=")[2].partition(";")[0]
        yield site
        os.killpg(process.pid, signal.SIGINT)  # to the whole foreground group, as a terminal sends it
        assert process.wait(180) == 0, log.read_text()
        eventually(lambda: all(map(waiting.is_gone, site.children)))
        assert read_running(state) is None
        with pytest.raises(ConnectionError):
            site.get("/")
    finally:
        process.kill()  # if it still runs; its watchman ends its children
        process.wait()


def answers(site: Site) -> bool:
    try:
        return bool(site.get("/").status)
    except ConnectionError:
        return False
