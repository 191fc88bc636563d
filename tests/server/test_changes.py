"""What is read of the ledger once for all who ask and listen."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from lepton_celery.api.answers import Answer, Request
from lepton_celery.api.changes import Change, Changes
from lepton_celery.api.events import event
from lepton_celery.api.shared import SharedAnswers
from lepton_celery.errors import BrokerUnreachable
from lepton_celery.grid import StageNumber
from lepton_celery.ledger import JobInfo, JobState
from lepton_celery.views.listing import JobRow, row_of
from lepton_celery.views.scope import Scope


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


def rows(**changed_at: float) -> dict[str, JobRow]:
    """Jobs by their ids, each changed at a time; the owner of a job is the first letter of its id."""
    shown = row_of(
        JobInfo("j", JobState.RUNNING, "default", "", StageNumber(0), 1, 0, 1, 0, created_at=0.0, updated_at=0.0)
    )
    return {job: replace(shown, took_s=0.0, job=job, updated_at=at, owner=job[0]) for job, at in changed_at.items()}


def test_all_hear_of_changes_from_one_reader() -> None:
    jobs = {"a": 1.0, "b": 1.0}
    reads = 0
    forgotten = 0

    def read() -> dict[str, JobRow]:
        nonlocal reads
        reads += 1
        return rows(**jobs)

    def forget() -> None:
        nonlocal forgotten
        forgotten += 1

    async def many(executor: ThreadPoolExecutor) -> None:
        changes = Changes(read, executor, forget, every_s=0.02)
        streams = [changes.messages() for _ in range(50)]
        nexts = [asyncio.ensure_future(anext(stream)) for stream in streams]
        await asyncio.sleep(0.1)
        assert 1 <= reads <= 6
        assert changes.listeners == 50
        jobs.update(a=2.0, c=1.0)
        del jobs["b"]
        told = await asyncio.gather(*nexts)
        assert told == [Change({**rows(a=2.0, c=1.0), "b": None})] * 50
        assert event(told[0]) == b'data: {"jobs":["a","c","b"]}\n\n'
        with_rows = json.loads(event(told[0], with_rows=True).removeprefix(b"data: "))["jobs"]
        assert (with_rows["a"]["updated_at"], with_rows["b"]) == (2.0, None)
        assert forgotten == 1
        jobs.update({str(number): 1.0 for number in range(1000)})
        assert await anext(streams[0]) == Change(None)
        assert event(Change(None)) == b'data: {"jobs":null}\n\n'
        for stream in streams:
            await stream.aclose()
        await asyncio.sleep(0.1)
        before = reads
        await asyncio.sleep(0.1)
        assert reads == before  # nobody listens

    run(many)


def test_nobody_hears_of_what_he_may_not_see() -> None:
    jobs = {"ada1": 1.0, "bob1": 1.0}

    async def two(executor: ThreadPoolExecutor) -> None:
        changes = Changes(lambda: rows(**jobs), executor, lambda: None, every_s=0.01)
        ada, bob = (changes.messages(Scope(owner=owner), silence_s=0.3) for owner in "ab")
        hers, his = asyncio.ensure_future(anext(ada)), asyncio.ensure_future(anext(bob))
        await asyncio.sleep(0.05)
        jobs.update(ada1=2.0, ada2=1.0)
        assert await hers == Change(rows(ada1=2.0, ada2=1.0))
        assert await his is None
        hers, his = asyncio.ensure_future(anext(ada)), asyncio.ensure_future(anext(bob))
        await asyncio.sleep(0.05)
        del jobs["bob1"]
        assert (await hers, await his) == (None, Change({"bob1": None}))
        for stream in (ada, bob):
            await stream.aclose()

    run(two)


def test_trouble_is_told_once_and_its_end_too() -> None:
    down = False

    def read() -> dict[str, JobRow]:
        if down:
            raise BrokerUnreachable("the ledger does not answer")
        return {}

    async def one(executor: ThreadPoolExecutor) -> None:
        nonlocal down
        changes = Changes(read, executor, lambda: None, every_s=0.01)
        stream = changes.messages(silence_s=0.2)
        assert await anext(stream) is None
        down = True
        told = await anext(stream)
        assert told == Change(trouble="the ledger does not answer")
        assert event(told) == b'data: {"trouble":"the ledger does not answer"}\n\n'
        assert await anext(stream) is None
        down = False
        assert await anext(stream) == Change(None)
        await stream.aclose()

    run(one)
