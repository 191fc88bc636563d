"""Debian's Chromium for the tests of pages, and what they must be free of."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
OPTIONS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
THEMES = ("light", "dark")
WAIT_MS = 60_000
"""How long a test waits for what a page shows, on the busiest machine."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser; the test is skipped where there is none, but on the project's own runners it fails."""
    if not CHROMIUM.exists():
        message = f"{CHROMIUM} is missing; apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        expect.set_options(timeout=WAIT_MS)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield browser
        browser.close()


def in_theme(page: Page, theme: str) -> None:
    """Show a page of Flower in one of `THEMES`."""
    page.evaluate("theme => localStorage.setItem('flower-theme', theme)", theme)
    page.reload()


def shot(page: Page, name: str, *, full: bool = False) -> None:
    """Save a screenshot if TEST_SHOTS names a folder."""
    if folder := os.environ.get("TEST_SHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=full)


def problems_of(page: Page) -> list[str]:
    """What goes wrong in a page from now on: errors, and what its Content-Security-Policy refuses."""
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))

    def logged(message: ConsoleMessage) -> None:
        if message.type == "error" and not _is_of_a_removed_picture(message):
            problems.append(message.text)

    page.on("console", logged)
    page.on("dialog", lambda dialog: problems.append(f"dialog {dialog.message}"))
    return problems


def _is_of_a_removed_picture(message: ConsoleMessage) -> bool:
    """Whether a picture was asked for that a cancelled job had just removed. The page itself says so, and Chromium, too."""
    is_missing = "status of 404" in message.text and "/pictures/" in message.location["url"]
    return is_missing or message.text.startswith("Tile %s failed to load")


def barriers(page: Page) -> list[str]:
    """What in a page keeps people from using it with a keyboard or a screen reader, as axe finds it."""
    page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8"))
    found: Any = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{violation['id']}: {node['target']} {node['failureSummary']}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]
