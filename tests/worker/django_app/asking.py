"""What the tests of the app for Django send, and what they wait for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import skimage
from django.core.files.uploadedfile import SimpleUploadedFile

from tests.waiting import eventually

COINS = (Path(skimage.__file__).parent / "data" / "coins.png").read_bytes()
TUS = {"Tus-Resumable": "1.0.0"}
PIECE = "application/offset+octet-stream"


def posted(client: Any, path: str, body: Any = None, status: int = 200, **headers: str) -> Any:
    content = None if body is None else json.dumps(body)
    answer = client.post(f"/lepton/{path}", content, content_type="application/json", headers=headers)
    assert answer.status_code == status, answer.content
    return answer.json()


def got(client: Any, path: str, status: int = 200) -> Any:
    answer = client.get(f"/lepton/{path}")
    assert answer.status_code == status, (answer.status_code, answer.content)
    return answer.json()


def form(**fields: Any) -> dict[str, Any]:
    given = {"image": SimpleUploadedFile("coins.png", COINS), "pipeline_choice": "cells", **fields}
    return {name: value for name, value in given.items() if value is not None}


def ended(job: Any) -> Any:
    def has_ended() -> bool:
        job.refresh_from_db()
        return not job.is_open

    eventually(has_ended, "the end of the job", 60)
    return job


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []
