"""The example sites, started by their commands until Ctrl-C, after which no process of them may be left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from playwright.sync_api import Page, expect

import lepton_celery as lepton
from lepton_celery.config import load_settings
from lepton_celery.jobs.local_stack import read_running
from lepton_celery.local.server import free_port
from tests import waiting
from tests.waiting import eventually

EVIL = "<img src=x onerror=alert(1)>"
LONG_STEPS = "smooth=median:footprint=disk(5)"
"""They take long enough on a large image for somebody to cancel them."""
"""Text that opens a dialog where it is taken for a part of a page."""
FAILING = "tests.faults.blocks:raises_text"
EXAMPLES = Path(__file__).parents[2] / "examples"


@dataclass
class Site:
    """A running example, as a client sees it."""

    name: str
    port: int
    state: Path
    process: subprocess.Popen[bytes]
    children: list[psutil.Process] = field(default_factory=list)
    """All processes that it started."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"


@contextmanager
def running(name: str, state: Path, *arguments: str, broker_url: str | None = None) -> Iterator[Site]:
    """Run an example until Ctrl-C, after which no process of it may be left."""
    others = ("LEPTON_", "CELERY_", "DJANGO_", "FLASK_", "PYTHONDONTWRITEBYTECODE")
    environ = {key: value for key, value in os.environ.items() if not key.startswith(others)}
    environ["PYTHONDONTWRITEBYTECODE"] = "1"  # nothing is left in the checkout; what is installed has been compiled
    environ["LEPTON_ALLOWED_FUNCTIONS"] = FAILING  # for `failed_with`
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
        assert httpx.get(site.url).status_code in (200, 302)  # to log in
        yield site
        os.killpg(process.pid, signal.SIGINT)  # to the whole foreground group, as a terminal sends it
        assert process.wait(180) == 0, log.read_text()
        eventually(lambda: all(map(waiting.is_gone, site.children)))
        assert read_running(state) is None
        with pytest.raises(httpx.ConnectError):
            httpx.get(site.url)
    finally:
        process.kill()  # if it still runs; its watchman ends its children
        process.wait()


def answers(site: Site) -> bool:
    try:
        return bool(httpx.get(site.url).status_code)
    except httpx.TransportError:
        return False


def failed_with(site: Site, message: str, owner: str, folder: Path) -> str:
    """The id of a job of a user, with a hostile title, of which a block failed with this message."""
    stack = read_running(site.state)
    assert stack is not None
    app = lepton.create_app(load_settings({"LEPTON_SETTINGS": "test", "LEPTON_BROKER_URL": stack.broker_url}))
    np.save(folder / "bright.npy", np.full((64, 64), 255, np.uint8))
    failing = lepton.map_blocks(FAILING, lepton.open(folder / "bright.npy"), text=message)
    job = lepton.submit({str(folder / f"{EVIL}.npy"): failing}, app=app, owner=owner, title=f"title {EVIL}")
    eventually(lambda: job.info().state == "failed", "the failure")
    return job.id


def is_shown_as_text(page: Page, *texts: str) -> None:
    """Fail unless a page shows texts as they are, and has no element made of one."""
    for text in texts:
        expect(page.get_by_text(text).first).to_be_visible()
    expect(page.locator("[onerror]")).to_have_count(0)
