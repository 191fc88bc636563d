"""Conversion between what Redis stores of a job and the types of this package."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from lepton_celery.errors import InputError, JobError, JobNotFound
from lepton_celery.grid import Place, StageNumber
from lepton_celery.ledger.info import FilledBlock, JobInfo
from lepton_celery.text import quoted, shown

if TYPE_CHECKING:  # redis-py takes 0.1 s to import
    from lepton_celery.ledger.connection import Connection

VERSION = 4
"""Version of the format of a job's entry. Entries of other versions are refused."""

_RENAMED = {
    "done": "blocks_done",
    "total": "blocks_total",
    "created": "created_at",
    "updated": "updated_at",
    "finished": "finished_at",
}
"""Fields of an entry that have another name in `JobInfo`."""


def read_jobs(connection: Connection, job_ids: Iterable[str]) -> dict[str, JobInfo | JobError]:
    """Read jobs in one round trip: the state of each job that exists, or the error if its entry cannot be read."""
    job_ids = list(job_ids)
    with connection.client() as client:
        pipeline = client.pipeline(transaction=len(job_ids) == 1)
        for job_id in job_ids:
            pipeline.hgetall(connection.key(job_id, "job"))
            pipeline.hgetall(connection.key(job_id, "stats"))
        replies = pipeline.execute()
    entries = zip(job_ids, replies[::2], replies[1::2], strict=True)
    return {job_id: _read_job(job_id, fields, stats) for job_id, fields, stats in entries if fields}


def read_text(connection: Connection, job_id: str, name: str) -> str | None:
    """The value of one of a job's text keys; None if the key does not exist.

    Raises:
        JobNotFound: there is no such job.
    """
    with connection.client() as client:
        pipeline = client.pipeline(transaction=True)
        pipeline.exists(connection.key(job_id, "job"))
        pipeline.get(connection.key(job_id, name))
        exists, text = pipeline.execute()
    if not exists:
        raise not_found(job_id)
    return None if text is None else str(text)


def not_found(job_id: str) -> JobNotFound:
    """The error for a job that the ledger does not know."""
    return JobNotFound(f"the ledger knows no job {quoted(job_id)}; it was never created or is forgotten", job_id)


def _read_job(job_id: str, fields: Mapping[str, str], stats: Mapping[str, str]) -> JobInfo | JobError:
    """A job from the fields of its entry and of its statistics."""
    if fields.get("version") != str(VERSION):
        return JobError(
            f"the ledger's entry of job {quoted(job_id)} has version {quoted(fields.get('version', 'none'))}, this release "
            f"reads {VERSION}; run one release on all machines, or forget the job and submit it again",
            job_id,
        )
    sums: dict[int, dict[str, str]] = {}
    times: dict[int, dict[str, str]] = {}
    try:
        for key, value in sorted(stats.items()):
            number, _, name = key.partition(" ")
            by_stage = times if name.startswith("@") else sums
            by_stage.setdefault(int(number), {})[name.removeprefix("@")] = value
        document: dict[str, Any] = {_RENAMED.get(name, name): value for name, value in fields.items()}
        document |= {"job_id": job_id, "stage_stats": sums, "stage_times": dict(sorted(times.items()))}
        return msgspec.convert(document, JobInfo, strict=False)
    except ValueError as error:
        damaged = JobError(
            f"the ledger's entry of job {quoted(job_id)} is damaged ({shown(error)}); resume the job from its "
            "manifest, or forget it",
            job_id,
        )
        damaged.__cause__ = error
        return damaged


def read_filled(field: str, value: str) -> FilledBlock:
    """Parse a field of the hash of filled blocks."""
    number, _, place = field.partition(" ")
    attempts, _, reason = value.partition(" ")
    return FilledBlock(StageNumber(int(number)), Place(int(place)), int(attempts), reason)


def to_json(document: Mapping[str, Any]) -> str:
    """A manifest, result or cost model as JSON text."""
    return json.dumps(dict(document), separators=(",", ":"))


def from_json(name: str, text: str | None, job_id: str = "") -> dict[str, Any]:
    """Parse the document that `to_json` wrote; `name` is its name in error messages.

    Raises:
        JobError: the document is missing or damaged.
    """
    try:
        document = json.loads(text or "")
        if not isinstance(document, dict):
            raise ValueError(f"it is a {type(document).__name__}")
    except ValueError as error:
        advice = "; submit the job again" if job_id else ""
        raise JobError(f"the {name} in the ledger is damaged ({error}){advice}", job_id) from error
    return document


def join_places(places: Iterable[Place]) -> str:
    """Format places, without repetitions, as the one argument that scripts take.

    Raises:
        InputError: a place is negative.
    """
    # `claim` would count a lost attempt of a repeated place twice
    unique = dict.fromkeys(map(int, places))
    if unique and min(unique) < 0:
        raise InputError(f"place {min(unique)} is negative; places are counted from 0")
    return " ".join(map(str, unique))


def split_places(text: str) -> list[Place]:
    """Parse the places in a script's reply."""
    return [Place(int(place)) for place in text.split()]
