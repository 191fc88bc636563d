"""Sites on real web servers that tests attack: one of Flask, and one of Django under gunicorn and under uvicorn."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import httpx
import skimage

from lepton_celery.local.server import free_port
from tests.waiting import eventually

Kind = Literal["flask", "django", "asgi"]
"""Flask and Django under gunicorn, with threads, and Django under uvicorn."""

ROOT = Path(__file__).parents[2]
COINS = (Path(skimage.__file__).parent / "data" / "coins.png").read_bytes()
REQUEST_S = 1.5
THREADS = 4
FILE_BYTES = 1 << 22
TOKEN = "x" * 32
"""Of Django's protection against forged requests."""
TUS = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}
USERS = ("ada", "eve")

_FLASK = """
from flask import Flask, request
from lepton_celery.contrib.flask import Lepton
app = Flask(__name__)
app.config["LEPTON"] = {"pipelines": {"bright": ["threshold:100"]}}
lepton = Lepton(app)
lepton.owner_loader(lambda: request.headers.get("X-User"))
"""
_ACCOUNTS = f"""
import json, django
django.setup()
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import Client
call_command("migrate", verbosity=0)
found = {{}}
for name in {USERS!r}:
    user, client = get_user_model().objects.create_user(name), Client()
    client.force_login(user)
    found[name] = [str(user.pk), client.cookies["sessionid"].value]
print(json.dumps(found))
"""
_COMMANDS: Mapping[Kind, list[str]] = {
    "flask": ["gunicorn", "--worker-class=gthread", f"--threads={THREADS}", "--bind=127.0.0.1:{port}", "shop:app"],
    "django": [
        *("gunicorn", "--worker-class=gthread", f"--threads={THREADS}", "--bind=127.0.0.1:{port}"),
        "tests.django_site.wsgi",
    ],
    "asgi": ["uvicorn", "--port={port}", "tests.django_site.asgi:application"],
}


@dataclass(frozen=True)
class Attacked:
    """A site, as an attacker sees it, and what its operator sees."""

    kind: Kind
    port: int
    folder: Path
    log: Path
    accounts: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """The primary key and the session of each user of Django."""

    def headers(self, user: str) -> dict[str, str]:
        """What a browser sends in which a user has logged in; with an empty name, in which nobody has."""
        if self.kind == "flask":
            return {"X-User": user}
        session = f"sessionid={self.accounts[user][1]}; " if user else ""
        return {"Cookie": f"{session}csrftoken={TOKEN}", "X-CSRFToken": TOKEN}

    def client(self, user: str = "eve") -> httpx.Client:
        """A client that makes a new connection for each request: servers end those of which they have not read all."""
        limits = httpx.Limits(max_keepalive_connections=0)
        return httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", headers=self.headers(user), timeout=30, limits=limits
        )

    def owner(self, user: str) -> str:
        """What the site calls a user, in the log."""
        return user if self.kind == "flask" else self.accounts[user][0]

    def logged(self, words: str) -> bool:
        return re.search(words, self.log.read_text()) is not None

    @property
    def form_path(self) -> str:
        """Where forms with files go."""
        return "/lepton/uploads" if self.kind == "flask" else "/lepton/submit"

    def sent(self, client: httpx.Client, name: str, content: bytes, **fields: str) -> httpx.Response:
        """Send a form that submits a job."""
        pipeline = {"pipeline" if self.kind == "flask" else "pipeline_choice": "bright"}
        return client.post(self.form_path, files={"image": (name, content)}, data=pipeline | fields)

    def raw(self, method: str, path: str, user: str, head: str, body: bytes = b"") -> socket.socket:
        """Send a request that no client would send; its headers are lines."""
        lines = [
            f"{method} {path} HTTP/1.1",
            "Host: x",
            *(f"{name}: {text}" for name, text in self.headers(user).items()),
        ]
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        connection.sendall("\r\n".join([*lines, *head.splitlines(), "", ""]).encode() + body)
        return connection


def answered(connection: socket.socket) -> bytes:
    """The status line and the body of the answer."""
    with connection, http.client.HTTPResponse(connection) as answer:
        answer.begin()
        return f"HTTP {answer.status} ".encode() + answer.read()


def begun(client: httpx.Client, length: int, name: str = "a.png", content: bytes | None = None) -> httpx.Response:
    """Begin an upload, or send all of it at once."""
    about = {"Upload-Length": str(length), "Upload-Metadata": f"filename {base64.b64encode(name.encode()).decode()}"}
    headers = {"Tus-Resumable": "1.0.0"} if content is None else TUS
    return client.post("/lepton/uploads", headers={**headers, **about}, content=content)


def stored(client: httpx.Client, content: bytes = COINS, name: str = "a.png") -> str:
    """The id of a file that is sent at once."""
    answer = begun(client, len(content), name, content)
    assert answer.status_code == 201, answer.text
    return answer.headers["Location"].rpartition("/")[2]


def make_accounts(folder: Path) -> None:
    """Make a database for Django in a folder, with users who have logged in."""
    command = [sys.executable, "-c", _ACCOUNTS]
    made = subprocess.run(command, cwd=ROOT, env=_environ(folder), capture_output=True, check=False)
    assert made.returncode == 0, made.stderr.decode()
    (folder / "users.json").write_bytes(made.stdout)


def _environ(database: Path) -> dict[str, str]:
    mine = {"DJANGO_SETTINGS_MODULE": "tests.django_site.settings", "TEST_SITE": str(database), "TEST_DEBUG": "0"}
    return {**os.environ, **mine, "PYTHONPATH": str(ROOT)}


@contextmanager
def attacked(kind: Kind, broker_url: str, folder: Path, database: Path) -> Iterator[Attacked]:
    """Run a site until the end of the `with` block; `make_accounts` has made the database of one of Django."""
    port, log = free_port(), folder / "log"
    (folder / "shop.py").write_text(_FLASK)
    options = {"FOLDER": folder / "lepton", "REQUEST_S": REQUEST_S, "PIXELS": 1 << 24, "FILE_BYTES": FILE_BYTES}
    environ = _environ(database) | {f"LEPTON_SITE_{name}": str(value) for name, value in options.items()}
    environ["LEPTON_BROKER_URL"] = broker_url
    users = {} if kind == "flask" else json.loads((database / "users.json").read_text())
    command = [sys.executable, "-m", *(part.format(port=port) for part in _COMMANDS[kind])]
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=folder, env=environ, stdout=file, stderr=file)
    try:
        eventually(lambda: process.poll() is not None or _is_open(port))
        assert process.poll() is None, log.read_text()
        yield Attacked(kind, port, folder, log, users)
    finally:
        process.send_signal(signal.SIGKILL if process.poll() is not None else signal.SIGTERM)
        process.wait(60)


def _is_open(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0
