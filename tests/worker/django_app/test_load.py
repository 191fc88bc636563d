"""A Django site under gunicorn and under uvicorn: as benchmarks/django_site.py, with fewer users."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import httpx
import pytest

from benchmarks.django_site import COINS, TOKEN, load, users_of, web_server
from tests.waiting import eventually

pytestmark = pytest.mark.worker


def test_jobs_of_several_users_at_once_are_done_and_seen_by_them_alone(folder: Path) -> None:
    with web_server(folder) as (url, web):
        figures = load(url, web, users_of(4), 3)
    assert (figures.jobs, figures.done, figures.lost, figures.seen_by_others) == (12, 12, 0, 0), str(figures)
    assert figures.after_mb < figures.before_mb + 40, str(figures)


def test_uvicorn_streams_changes_uploads_and_results(folder: Path) -> None:
    [cookies] = users_of(1)
    with web_server(folder, asgi=True) as (url, _), httpx.Client(base_url=url, cookies=cookies, timeout=60) as client:
        told: list[dict[str, object]] = []

        def watch() -> None:
            with client.stream("GET", "/lepton/changes") as events:
                for line in events.iter_lines():
                    if line.startswith("data: {") and (changed := json.loads(line[6:]).get("jobs")):
                        told.append(changed)
                        return

        watching = threading.Thread(target=watch)
        watching.start()
        time.sleep(2)  # it tells of changes from its first reading on
        answer = client.post(
            "/lepton/submit",
            data={"pipeline_choice": "bright"},
            files={"image": ("coins.png", COINS)},
            headers={"X-CSRFToken": TOKEN},
        )
        assert answer.status_code == 202, answer.text
        job = answer.json()["job"]
        watching.join(60)
        assert list(told[0]) == [job]
        eventually(lambda: client.get(f"/lepton/jobs/{job}").json()["summary"]["state"] == "done", "the end", 60)
        whole = client.get(f"/lepton/jobs/{job}/results/result.tif")
        part = client.get(f"/lepton/jobs/{job}/results/result.tif", headers={"Range": "bytes=3-9"})
        assert (part.status_code, part.content) == (206, whole.content[3:10])
        begun = client.post(
            "/lepton/uploads",
            content=COINS,
            headers={
                "Tus-Resumable": "1.0.0",
                "Upload-Length": str(len(COINS)),
                "Upload-Metadata": "filename Y29pbnMucG5n",
                "Content-Type": "application/offset+octet-stream",
                "X-CSRFToken": TOKEN,
            },
        )
        assert (begun.status_code, begun.headers["Upload-Offset"]) == (201, str(len(COINS))), begun.text
