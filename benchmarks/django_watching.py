"""What it costs the ledger that browsers watch jobs of a Django site: one of them, and fifty, of one user and of fifty.

python -m benchmarks.django_watching          # gunicorn with threads, and uvicorn; 2 workers of 4 processes

Fifty users have a job each, whose blocks sleep. A browser does what the scripts of a page do: it asks for its job, listens
to the events, and, if the page has a block map, asks for the blocks when its job has changed. Counted is what the ledger
does for the web process; it needs a server that tells it for each connection, as Valkey 8.1.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import redis

from benchmarks.django_site import QUEUES, ROOT, users_of, web_server
from lepton_celery.local.server import RedisServer
from lepton_celery.local.stack import LocalStack, Project

USERS = 50
THREADS = 72
"""Threads of gunicorn: each page that listens holds one."""
MEASURED_S = 10.0
SETTLING_S = 3.0
MAP_S = 0.7
"""Seconds between two block maps that a page asks for."""
POLL_S = 1.5
"""Seconds between two requests of a page whose events are refused."""


@dataclass(slots=True)
class Browsers:
    """What all browsers together did."""

    listening: int = 0
    requests: int = 0
    events: int = 0
    jobs_seen: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Spent:
    """What the ledger's server did in a second for the web process."""

    commands: float
    sent_bytes: float


async def page(client: httpx.AsyncClient, job: str, *, has_map: bool, browsers: Browsers) -> None:
    """Show a job until this is cancelled."""
    is_due = asyncio.Event()

    async def ask(path: str) -> None:
        browsers.requests += 1
        for is_last in (False, True):
            try:
                (await client.get(f"/lepton/jobs/{job}{path}")).raise_for_status()
                return
            except httpx.TransportError:  # the server has closed a connection that was idle; browsers ask again
                if is_last:
                    raise

    async def draw_maps() -> None:
        while True:
            await is_due.wait()
            is_due.clear()
            await ask("/blocks?layer=states")
            await asyncio.sleep(MAP_S)

    async with asyncio.TaskGroup() as group:
        await ask("")
        if has_map:
            is_due.set()
            group.create_task(draw_maps())
        async with client.stream("GET", "/lepton/changes") as stream:
            if stream.status_code == httpx.codes.OK:
                browsers.listening += 1
                async for name, data in _events(stream):
                    if name == "hello":
                        await ask("")
                    jobs = json.loads(data).get("jobs") or {}
                    browsers.events += name != "hello"
                    browsers.jobs_seen.update(jobs)
                    if job in jobs:
                        is_due.set()
        while True:
            await asyncio.sleep(POLL_S)
            await ask("")
            is_due.set()


async def _events(stream: httpx.Response) -> AsyncIterator[tuple[str, str]]:
    name = ""
    async for line in stream.aiter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, line.removeprefix("data: ")
            name = ""


class Counted:
    """Counts what the server does for the connections of the web process; it does far more for the workers."""

    def __init__(self, server: redis.Redis, web: psutil.Process) -> None:
        self._server, self._web = server, web
        self._found: dict[str, tuple[int, int]] = {}

    def look(self) -> tuple[int, int]:
        """The commands and the bytes of answers until now, of connections that were closed too."""
        ports = {one.laddr.port for one in self._web.net_connections("tcp")}
        for client in self._server.client_list():
            if int(client["addr"].rpartition(":")[2]) in ports:
                self._found[client["id"]] = int(client["tot-cmds"]), int(client["tot-net-out"])
        return sum(one for one, _ in self._found.values()), sum(one for _, one in self._found.values())


async def measure(
    url: str, watchers: Sequence[tuple[httpx.Cookies, str]], counted: Counted, *, has_map: bool
) -> tuple[Spent, Browsers]:
    """What the server spends in a second while these watch, each with his login and the job that he looks at."""
    browsers = Browsers()
    async with AsyncExitStack() as stack:
        tasks = []
        for cookies, job in watchers:
            client = httpx.AsyncClient(base_url=url, cookies=cookies, timeout=60)
            await stack.enter_async_context(client)
            tasks.append(asyncio.create_task(page(client, job, has_map=has_map, browsers=browsers)))
        await asyncio.sleep(SETTLING_S + 0.1 * len(tasks))
        browsers.requests = browsers.events = 0
        began, before = time.monotonic(), counted.look()
        await asyncio.sleep(MEASURED_S)
        seconds, after = time.monotonic() - began, counted.look()
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    if broken := [one for one in ended if not isinstance(one, asyncio.CancelledError)]:
        print(f"  {len(broken)} pages broke, the first by {broken[0]!r}", file=sys.stderr)
    commands, sent_bytes = ((now - then) / seconds for then, now in zip(before, after, strict=True))
    return Spent(commands, sent_bytes), browsers


def submit_jobs(owners: Sequence[str], folder: Path) -> list[str]:
    """A job of each owner that runs for longer than the benchmark: 1,024 blocks that sleep for a quarter of a second."""
    import lepton_celery as lepton
    from lepton_celery.contrib.django.connecting import site

    np.save(folder / "input.npy", np.zeros((2048, 2048), np.uint8))
    node = lepton.map_blocks("tests.faults.blocks:slow", lepton.open(folder / "input.npy"), seconds=0.25)
    return [
        lepton.submit(
            {str(folder / f"output{owner}.npy"): node},
            app=site().app,
            owner=owner,
            tenant=owner,
            block_shape=(64, 64),
            priority="interactive",
        ).id
        for owner in owners
    ]


def compare(url: str, users: list[httpx.Cookies], jobs: list[str], counted: Counted) -> None:
    """Print what one browser and fifty cost."""
    everybody, one = list(zip(users, jobs, strict=True)), (users[0], jobs[0])
    for has_map in (False, True):
        print(f"  pages that show progress{' and the block map' if has_map else ''}:")
        for name, watchers in (
            ("1 browser", [one]),
            (f"{USERS} browsers of one user", [one] * USERS),
            (f"{USERS} browsers of {USERS} users", everybody),
        ):
            spent, browsers = asyncio.run(measure(url, watchers, counted, has_map=has_map))
            print(
                f"    {name}: {spent.commands:.0f} commands/s and {spent.sent_bytes / 1000:.1f} kB/s; "
                f"{browsers.listening} listen, to "
                f"{len(browsers.jobs_seen)} jobs, {browsers.events / MEASURED_S:.1f} events/s, "
                f"{browsers.requests / MEASURED_S:.1f} requests/s",
                flush=True,
            )


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary, RedisServer(Path(temporary) / "server") as server:
        folder = Path(temporary)
        os.environ |= {
            "LEPTON_BROKER_URL": server.url,
            "TEST_SITE": str(folder),
            "LEPTON_ALLOWED_FUNCTIONS": "tests.faults.blocks:*",
            "DJANGO_SETTINGS_MODULE": "tests.django_site.settings",
        }
        import django
        from django.contrib.auth import get_user_model
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        users = users_of(USERS)
        owners = [str(user.pk) for user in get_user_model().objects.order_by("pk")]
        project = Project(app="tests.django_site", settings="", cwd=ROOT, queues=QUEUES)
        ledger: Any = redis.Redis.from_url(server.url, decode_responses=True)
        with LocalStack(folder, workers=2, concurrency=4, flower=False, broker_url=server.url, project=project):
            jobs = submit_jobs(owners, folder)
            for asgi in (False, True):
                print("uvicorn" if asgi else f"gunicorn with {THREADS} threads")
                with web_server(folder, asgi=asgi, threads=THREADS) as (url, web):
                    compare(url, users, jobs, Counted(ledger, web))


if __name__ == "__main__":
    main()
