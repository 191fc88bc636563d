"""Many users of a Django site submit jobs at once: none is lost, none is seen by others, quotas hold, and memory stays flat.

python -m benchmarks.django_site              # 20 users, 200 jobs; gunicorn with threads, 2 workers
python -m benchmarks.django_site --rounds 4   # 200 jobs, and 600 more by the same users
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import skimage

from lepton_celery.local.server import RedisServer, free_port
from lepton_celery.local.stack import LocalStack, Project

ROOT = Path(__file__).parents[1]
COINS = (Path(skimage.__file__).parent / "data" / "coins.png").read_bytes()
TOKEN = "x" * 32
LIMIT_S = 600.0
QUEUES = ("lepton.interactive", "lepton.default", "lepton.batch", "celery")


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured."""

    jobs: int
    median_ms: float
    p95_ms: float
    done: int
    lost: int
    seen_by_others: int
    before_mb: float
    """Memory of the web process once it has answered some requests."""
    after_mb: float
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.jobs} jobs in {self.seconds:.0f} s, {self.done} done, {self.lost} lost, {self.seen_by_others} seen by "
            f"others; submit answers in {self.median_ms:.0f} ms at the median and in {self.p95_ms:.0f} ms at the 95th "
            f"percentile; the web process has {self.before_mb:.0f} MB before and {self.after_mb:.0f} MB after"
        )


@contextmanager
def web_server(folder: Path, *, asgi: bool = False, threads: int = 16) -> Iterator[tuple[str, psutil.Process]]:
    """One process of gunicorn, or of uvicorn, with the site `tests.django_site`, whose folder the environment names."""
    port = free_port()
    gunicorn = ["gunicorn", "tests.django_site.wsgi", "--threads", str(threads), "--bind", f"127.0.0.1:{port}"]
    uvicorn = ["uvicorn", "tests.django_site.asgi:application", "--port", str(port)]
    command = [sys.executable, "-m", *(uvicorn if asgi else gunicorn)]
    with (folder / "web.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        try:
            url = f"http://127.0.0.1:{port}"
            ends = time.monotonic() + 60
            while time.monotonic() < ends:
                try:
                    httpx.get(f"{url}/lepton/jobs")
                    break
                except httpx.TransportError:
                    time.sleep(0.1)
            server = psutil.Process(process.pid)
            yield url, server if asgi else server.children()[0]
        finally:
            process.terminate()
            process.wait(30)


def users_of(count: int) -> list[httpx.Cookies]:
    """The cookies of new users who are logged in."""
    from django.contrib.auth import get_user_model
    from django.test import Client

    model: Any = get_user_model()
    found = []
    for index in range(count):
        user = model.objects.create_user(f"user{index}-{time.time_ns()}")
        client = Client()
        client.force_login(user)
        found.append(httpx.Cookies({"sessionid": client.cookies["sessionid"].value, "csrftoken": TOKEN}))
    return found


def load(url: str, web: psutil.Process, users: list[httpx.Cookies], each: int, *, every_s: float = 0.0) -> Figures:
    """Have each user submit `each` jobs, one in `every_s` seconds or else as fast as he can, and wait for them."""
    with ExitStack() as stack:
        clients = [stack.enter_context(httpx.Client(base_url=url, cookies=one, timeout=120)) for one in users]
        return _measured(web, clients, each, every_s)


def _measured(web: psutil.Process, clients: list[httpx.Client], each: int, every_s: float) -> Figures:
    for client in clients[:3]:
        _submit(client)  # the first one loads scikit-image
    _wait(clients)
    before_mb, known = web.memory_info().rss / 1e6, [set(_jobs(client)) for client in clients]
    begun = time.monotonic()
    with ThreadPoolExecutor(len(clients)) as pool:
        firsts = [begun + every_s * index / len(clients) for index in range(len(clients))]
        answers = list(pool.map(lambda client, first: _submit_all(client, each, first, every_s), clients, firsts))
    submitted = [{job for _, status, job in found if status == 202} for found in answers]
    _wait(clients)
    seconds = time.monotonic() - begun
    time.sleep(1.2)
    lists = [_jobs(client) for client in clients]
    took = sorted(1000 * seconds for found in answers for seconds, status, _ in found if status == 202)
    own = [set(listed) - old for listed, old in zip(lists, known, strict=True)]
    return Figures(
        jobs=sum(map(len, submitted)),
        median_ms=statistics.median(took),
        p95_ms=took[int(0.95 * (len(took) - 1))],
        done=sum(listed[job]["state"] == "done" for listed, mine in zip(lists, submitted, strict=True) for job in mine),
        lost=sum(len(mine - listed) for mine, listed in zip(submitted, own, strict=True)),
        seen_by_others=sum(len(listed - mine) for mine, listed in zip(submitted, own, strict=True)),
        before_mb=before_mb,
        after_mb=web.memory_info().rss / 1e6,
        seconds=seconds,
    )


def submitted_within_quota(url: str, user: httpx.Cookies, count: int) -> int:
    """Have a user submit `count` jobs at once while no worker runs; return how many the site accepts."""
    with httpx.Client(base_url=url, cookies=user, timeout=120) as client, ThreadPoolExecutor(8) as pool:
        return sum(status == 202 for _, status, _ in pool.map(lambda _: _submit(client), range(count)))


def _submit_all(client: httpx.Client, count: int, first: float, every_s: float) -> list[tuple[float, int, str]]:
    """Submit jobs, the first at a time of `time.monotonic`."""
    answers = []
    for index in range(count):
        time.sleep(max(0.0, first + index * every_s - time.monotonic()))
        answers.append(_submit(client))
    return answers


def _submit(client: httpx.Client) -> tuple[float, int, str]:
    begun = time.perf_counter()
    answer = client.post(
        "/lepton/submit",
        data={"pipeline_choice": "bright"},
        files={"image": ("coins.png", COINS)},
        headers={"X-CSRFToken": TOKEN},
    )
    seconds = time.perf_counter() - begun
    assert answer.status_code in (202, 429), answer.text
    return seconds, answer.status_code, answer.json().get("job", "")


def _jobs(client: httpx.Client) -> dict[str, Any]:
    rows = client.get("/lepton/jobs", params={"count": 500}).json()["jobs"]
    return {row["job"]: row for row in rows}


def _wait(clients: list[httpx.Client]) -> None:
    ends = time.monotonic() + LIMIT_S
    time.sleep(1.2)  # lists are found once a second for all who ask
    for client in clients:
        while time.monotonic() < ends and any(row["state"] == "running" for row in _jobs(client).values()):
            time.sleep(0.3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1, help="how often the 20 users submit 200 jobs")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as temporary, RedisServer(Path(temporary) / "server") as server:
        folder = Path(temporary)
        os.environ |= {"LEPTON_BROKER_URL": server.url, "TEST_SITE": str(folder)}
        os.environ["DJANGO_SETTINGS_MODULE"] = "tests.django_site.settings"
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        project = Project(app="tests.django_site", settings="", cwd=ROOT, queues=QUEUES)
        with web_server(folder) as (url, web):
            print(f"{submitted_within_quota(url, users_of(1)[0], 70)} of 70 jobs taken of a user who may have 50")
            with LocalStack(folder, workers=2, flower=False, broker_url=server.url, project=project):
                print("one user:", load(url, web, users_of(1), 50))
                users = users_of(20)
                print("20 users, each every 4 s:", load(url, web, users, 10, every_s=4), flush=True)
                for _ in range(rounds):
                    print("20 users:", load(url, web, users, 10), flush=True)


if __name__ == "__main__":
    main()
