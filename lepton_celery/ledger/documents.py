"""Manifests and results as the JSON text that a ledger keeps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lepton_celery.errors import InputError, JobError


def to_json(job_id: str, name: str, document: Mapping[str, Any]) -> str:
    """The text to keep. Raises `InputError` for what JSON cannot say."""
    try:
        return json.dumps(dict(document), separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"the {name} of job {job_id!r} is not JSON: {error}; use dicts, lists, text and numbers"
        ) from error


def from_json(job_id: str, name: str, text: str | None) -> dict[str, Any]:
    """The document that was kept. Raises `JobError` when it is gone or damaged."""
    try:
        document = json.loads(text or "")
    except ValueError as error:
        raise _damaged(job_id, name, str(error)) from error
    if not isinstance(document, dict):
        raise _damaged(job_id, name, f"it is a {type(document).__name__}")
    return document


def _damaged(job_id: str, name: str, reason: str) -> JobError:
    return JobError(f"the {name} of job {job_id!r} in the ledger is damaged ({reason}); submit the job again", job_id)
