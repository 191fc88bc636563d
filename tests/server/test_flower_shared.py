"""What Flower reads once for all browsers, and how it takes a Flower that is not as expected."""

from __future__ import annotations

import asyncio
import logging
import shutil
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import flower.urls
import pytest
from tornado.template import DictLoader

from lepton_celery.api.answers import Answer, Request
from lepton_celery.errors import BrokerUnreachable
from lepton_celery.flower import tab
from lepton_celery.flower.shared import Changes, SharedAnswers


def run(what: Callable[[ThreadPoolExecutor], Awaitable[None]]) -> None:
    async def main() -> None:
        with ThreadPoolExecutor(4) as executor:
            await what(executor)

    asyncio.run(main())


def test_equal_requests_are_answered_once() -> None:
    asked: list[Request] = []
    go = threading.Event()

    def answer(request: Request) -> Answer:
        asked.append(request)
        go.wait(10)
        return Answer(200, str(len(asked)).encode())

    async def many(executor: ThreadPoolExecutor) -> None:
        answers = SharedAnswers(answer, executor, fresh_s=60)
        request = Request("GET", "/jobs", {"state": ["done"]})
        waiting = [asyncio.ensure_future(answers.answer(request)) for _ in range(50)]
        other = asyncio.ensure_future(answers.answer(Request("GET", "/jobs", {"state": ["failed"]})))
        await asyncio.sleep(0.05)
        go.set()
        assert len({answer.body for answer in await asyncio.gather(*waiting)}) == 1
        await other
        assert len(asked) == 2
        await answers.answer(request)
        assert len(asked) == 2
        await answers.answer(Request("POST", "/jobs/j/pause", may_change=True))
        await answers.answer(request)
        assert len(asked) == 4  # what was changed is read anew

    run(many)


def test_all_pages_hear_of_changes_from_one_reader() -> None:
    jobs = {"a": 1.0, "b": 1.0}
    reads = 0
    forgotten = 0

    def read() -> dict[str, float]:
        nonlocal reads
        reads += 1
        return dict(jobs)

    def forget() -> None:
        nonlocal forgotten
        forgotten += 1

    async def many(executor: ThreadPoolExecutor) -> None:
        changes = Changes(read, executor, forget, every_s=0.02)
        streams = [changes.messages() for _ in range(50)]
        nexts = [asyncio.ensure_future(anext(stream)) for stream in streams]
        await asyncio.sleep(0.1)
        assert 1 <= reads <= 6
        jobs.update(a=2.0, c=1.0)
        del jobs["b"]
        assert await asyncio.gather(*nexts) == [{"jobs": ["a", "c", "b"]}] * 50
        assert forgotten == 1
        jobs.update({str(number): 1.0 for number in range(1000)})
        assert await anext(streams[0]) == {"jobs": None}
        for stream in streams:
            await stream.aclose()
        await asyncio.sleep(0.1)
        before = reads
        await asyncio.sleep(0.1)
        assert reads == before  # nobody listens

    run(many)


def test_trouble_is_told_once_and_its_end_too() -> None:
    down = False

    def read() -> dict[str, float]:
        if down:
            raise BrokerUnreachable("the ledger does not answer")
        return {}

    async def one(executor: ThreadPoolExecutor) -> None:
        nonlocal down
        changes = Changes(read, executor, lambda: None, every_s=0.01)
        stream = changes.messages(silence_s=0.2)
        assert await anext(stream) is None
        down = True
        assert await anext(stream) == {"trouble": "the ledger does not answer"}
        assert await anext(stream) is None
        down = False
        assert await anext(stream) == {"jobs": None}
        await stream.aclose()

    run(one)


@pytest.fixture
def urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Flower's handlers and settings, which a test may change."""
    templates = tmp_path / "templates"
    shutil.copytree(flower.urls.settings["template_path"], templates)
    urls = SimpleNamespace(
        handlers=[one for one in flower.urls.handlers if "lepton" not in str(one)],
        settings={"template_path": str(templates)},
    )
    monkeypatch.setattr(flower, "urls", urls)
    return urls


def test_the_pages_are_added_before_the_handler_of_all_paths(urls: Any, caplog: pytest.LogCaptureFixture) -> None:
    before = len(urls.handlers)
    tab.install()
    tab.install()
    assert len(urls.handlers) == before + 7
    assert urls.handlers[-1][0] == ".*"
    loader = urls.settings["template_loader"]
    assert isinstance(loader, DictLoader)
    assert "reverse_url('jobs')" in loader.dict["navbar.html"]
    for name in loader.dict:
        loader.load(name)
    assert caplog.records == []


@pytest.mark.parametrize("what", ["handlers", "template", "navbar", "block"])
def test_another_flower_is_left_as_it_is(urls: Any, caplog: pytest.LogCaptureFixture, what: str) -> None:
    folder = Path(urls.settings["template_path"])
    if what == "handlers":
        urls.handlers.pop()
    elif what == "template":
        (folder / "navbar.html").unlink()
    elif what == "navbar":
        (folder / "navbar.html").write_text("<nav><ul></ul></nav>")
    else:
        (folder / "base.html").write_text("<html>{% block title %}{% end %}</html>")
    before = list(urls.handlers)
    with caplog.at_level(logging.WARNING):
        tab.install()
    assert urls.handlers == before and "template_loader" not in urls.settings
    assert "it has no Jobs tab" in caplog.text
