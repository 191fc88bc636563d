"""Flower's pages for the benchmarks: in Debian's Chromium, and as a program that asks for what they ask for."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
_WINDOW = {"width": 1400, "height": 900}
_PAINTED = """
window.painted = null;
const put = CanvasRenderingContext2D.prototype.putImageData;
CanvasRenderingContext2D.prototype.putImageData = function (...given) {
  put.apply(this, given);
  if (this.canvas.id === "map-canvas" && window.painted === null) {
    window.painted = 0;
    requestAnimationFrame(() => setTimeout(() => { window.painted = performance.now(); }));
  }
};
"""
"""Notes when the map's first pixels are on the screen, in milliseconds since the navigation."""
_EVENTS = """
window.inputs = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.inputs.push(entry.duration);
}).observe({ type: "event", durationThreshold: 16, buffered: true });
"""
_SIZES = """
() => performance.getEntriesByType("resource").filter((one) => one.name.includes("/blocks?"))
  .map((one) => one.encodedBodySize)
"""
_POLLED = ("/jobs?sort=created&order=descending&start=0&count=50", "/fleet", "/fleet/course")


@dataclass(frozen=True)
class Paint:
    """A page that was loaded."""

    drawn_ms: float
    """Milliseconds from navigation until the map was painted."""
    states_bytes: int
    """Length of the answer with the states of all blocks."""


@dataclass(frozen=True)
class Latency:
    """What inputs took, as the browser measures it: until the frame after their effect, in steps of 8 ms."""

    inputs: int
    p95_ms: float
    longest_ms: float


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a GPU."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, root: str, job: str) -> Iterator[Sequence[Page]]:
    """The three pages, each in a window."""
    with ExitStack() as stack:
        pages = []
        for path in ("jobs", f"job/{job}", "fleet"):
            context = stack.enter_context(browser.new_context(viewport=_WINDOW))  # type: ignore[arg-type]
            pages.append(context.new_page())
            pages[-1].goto(f"{root}/{path}")
        yield pages


def first_paints(browser: Browser, url: str, loads: int) -> list[Paint]:
    """Load a job's page in windows without a cache."""
    found = []
    for _ in range(loads):
        context = browser.new_context(viewport=_WINDOW)  # type: ignore[arg-type]
        page = context.new_page()
        page.add_init_script(_PAINTED)
        page.goto(url, wait_until="commit")
        page.wait_for_function("() => window.painted > 0", timeout=60_000)
        found.append(Paint(page.evaluate("() => window.painted"), max(page.evaluate(_SIZES))))
        context.close()
    return found


def input_latency(browser: Browser, url: str) -> Latency:
    """Move, click and zoom over a job's map, and ask the browser what that took."""
    context = browser.new_context(viewport=_WINDOW)  # type: ignore[arg-type]
    page = context.new_page()
    page.add_init_script(_EVENTS)
    page.goto(url)
    page.wait_for_selector("#map-legend span")
    canvas = page.locator("#map-canvas")
    canvas.scroll_into_view_if_needed()
    box: Any = canvas.bounding_box()
    inputs = 0
    for number in range(60):
        x, y = box["x"] + 20 + 11 * (number % 50), box["y"] + 20 + 7 * (number % 60)
        page.mouse.move(x, y)
        page.mouse.click(x, y)
        page.keyboard.press("ArrowRight")
        page.mouse.wheel(0, -200 if number % 6 < 3 else 200)
        inputs += 4
        time.sleep(0.1)
    found = sorted(page.evaluate("() => window.inputs")) or [16.0]
    context.close()
    quick = [16.0] * max(0, inputs - len(found))  # those that took less are not reported
    durations = sorted([*quick, *found])
    return Latency(inputs, durations[int(0.95 * (len(durations) - 1))], found[-1])


class Readers:
    """Asks Flower for what the three pages ask for: when its events tell of a change, once a second at most."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._streams: list[HTTPConnection] = []
        self._threads: list[threading.Thread] = []

    def get(self, path: str) -> Any:
        """The JSON at a path."""
        request = urllib.request.Request(f"{self._root}{path}", headers={"Accept-Encoding": "gzip"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            body = answer.read()
        return None if answer.headers["Content-Encoding"] else json.loads(body)

    def start(self, job: str) -> None:
        """Open the pages."""
        of_job = [f"/jobs/{job}", f"/jobs/{job}/blocks?stage=1&layer=states", f"/jobs/{job}/timeline"]
        of_job.append(f"/jobs/{job}/course")
        for paths in (_POLLED[:1], of_job, _POLLED[1:]):
            self._threads.append(threading.Thread(target=self._page, args=(paths,), daemon=True))
            self._threads[-1].start()

    def stop(self) -> None:
        """Close them."""
        for stream in self._streams:
            stream.sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(30)

    def _page(self, paths: Sequence[str]) -> None:
        last = 0.0
        stream = HTTPConnection(urlsplit(self._root).netloc, timeout=60)
        self._streams.append(stream)
        stream.request("GET", "/lepton/changes")
        with suppress(OSError, HTTPException), stream.getresponse() as events:
            for line in events:
                if not line.startswith(b"data:") or time.monotonic() - last < 0.9:
                    continue
                last = time.monotonic()
                for path in paths:
                    self.get(f"/lepton/v1{path}")
