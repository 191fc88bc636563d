"""Conversion between what Redis stores of a job and the types of this package."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from lepton_celery.errors import InputError, JobError, JobNotFound
from lepton_celery.grid import Place, StageNumber
from lepton_celery.ledger.damage import damaged
from lepton_celery.ledger.info import FilledBlock, JobInfo
from lepton_celery.limits import JOB_ID, MAX_DOCUMENT_BYTES, MAX_STAGES
from lepton_celery.stores.documents import parse_document
from lepton_celery.text import quoted

if TYPE_CHECKING:  # redis-py takes 0.1 s to import
    from lepton_celery.ledger.connection import Connection

VERSION = 4
"""Version of the format of a job's entry. Entries of other versions are refused."""

_MAX_FIELDS = 20 * MAX_STAGES
"""Largest number of statistics of a job: a few for each stage."""

_RENAMED = {
    "done": "blocks_done",
    "total": "blocks_total",
    "created": "created_at",
    "updated": "updated_at",
    "finished": "finished_at",
    "lost": "lost_attempts",
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
        replies = pipeline.execute(raise_on_error=False)
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
        pipeline.getrange(connection.key(job_id, name), 0, MAX_DOCUMENT_BYTES)  # empty if there is no such key
        exists, text = pipeline.execute()
    if not exists:
        raise not_found(job_id)
    return str(text) or None


def not_found(job_id: str) -> JobNotFound:
    """The error for a job that the ledger does not know."""
    return JobNotFound(f"the ledger knows no job {quoted(job_id)}; it was never created or is forgotten", job_id)


def _read_job(job_id: str, fields: Any, stats: Any) -> JobInfo | JobError:
    """A job from the fields of its entry and of its statistics, or from the server's errors."""
    if not JOB_ID.fullmatch(job_id):
        return damaged(job_id, "this is no id of a job")
    for reply in (fields, stats):
        if isinstance(reply, Exception):
            return damaged(job_id, str(reply))
    if fields.get("version") != str(VERSION):
        return JobError(
            f"the ledger's entry of job {quoted(job_id)} has version {quoted(fields.get('version', 'none'))}, this release "
            f"reads {VERSION}; run one release on all machines, or forget the job and submit it again",
            job_id,
        )
    sums: dict[int, dict[str, str]] = {}
    times: dict[int, dict[str, str]] = {}
    if len(fields) > _MAX_FIELDS or len(stats) > _MAX_FIELDS:
        return damaged(job_id, f"it has {max(len(fields), len(stats)):,} fields")
    try:
        for key, value in sorted(stats.items()):
            number, _, name = key.partition(" ")
            by_stage = times if name.startswith("@") else sums
            by_stage.setdefault(int(number), {})[name.removeprefix("@")] = value
        document: dict[str, Any] = {_RENAMED.get(name, name): value for name, value in fields.items()}
        document["predicted_s"] = fields.get("predicted", "").split()
        document |= {"job_id": job_id, "stage_stats": sums, "stage_times": dict(sorted(times.items()))}
        info = msgspec.convert(document, JobInfo, strict=False)
    except ValueError as error:
        return damaged(job_id, str(error))
    if info.stage < 0 or max(info.blocks_done, info.dispatched) > info.blocks_total:
        progress = f"{info.blocks_done} and {info.dispatched} of {info.blocks_total} blocks"
        return damaged(job_id, f"it is in stage {info.stage} with {progress} done and sent")
    return info


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
        return parse_document(text or "", f"the {name} in the ledger")
    except InputError as error:
        raise JobError(str(error), job_id) from error


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
