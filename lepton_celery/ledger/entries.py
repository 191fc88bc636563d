"""What the server keeps of a job, as this package's own types."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from lepton_celery.errors import InputError, JobError, JobNotFound
from lepton_celery.grid import Place, StageNumber
from lepton_celery.ledger.info import NO_PLACE, NO_STAGE, FilledBlock, JobInfo, JobState, StageTimes

if TYPE_CHECKING:  # redis-py takes 0.1 s to import
    from lepton_celery.ledger.connection import Connection

VERSION = 4
"""Version of a job's entry; the entry of another release is refused, not guessed at."""


class Entries:
    """The entries of jobs on a server."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def jobs(self, job_ids: Iterable[str]) -> dict[str, JobInfo | JobError]:
        """The jobs that exist, each as of one moment, in one round trip; the error of an entry that cannot be read."""
        job_ids = list(job_ids)
        with self._connection.client() as client:
            pipeline = client.pipeline(transaction=len(job_ids) == 1)
            for job_id in job_ids:
                pipeline.hgetall(self._connection.key(job_id, "job"))
                pipeline.hgetall(self._connection.key(job_id, "stats"))
            replies = pipeline.execute()
        entries = zip(job_ids, replies[::2], replies[1::2], strict=True)
        return {job_id: _read_job(job_id, fields, stats) for job_id, fields, stats in entries if fields}

    def job(self, job_id: str) -> JobInfo:
        """One job.

        Raises:
            JobNotFound: there is no such job.
            JobError: another release wrote its entry, or it is damaged.
        """
        info = self.jobs([job_id]).get(job_id, _not_found(job_id))
        if isinstance(info, JobError):
            raise info
        return info

    def document(self, job_id: str, name: str) -> str | None:
        """One of the job's texts; None if it has none of that name.

        Raises:
            JobNotFound: there is no such job.
        """
        with self._connection.client() as client:
            pipeline = client.pipeline(transaction=True)
            pipeline.exists(self._connection.key(job_id, "job"))
            pipeline.get(self._connection.key(job_id, name))
            exists, text = pipeline.execute()
        if not exists:
            raise _not_found(job_id)
        return None if text is None else str(text)


def _not_found(job_id: str) -> JobNotFound:
    return JobNotFound(f"the ledger knows no job {job_id!r}; it was never created or is forgotten", job_id)


def _read_job(job_id: str, fields: Mapping[str, str], stats: Mapping[str, str]) -> JobInfo | JobError:
    """A job from the fields of its entry and of its statistics."""
    if fields.get("version") != str(VERSION):
        return JobError(
            f"the ledger's entry of job {job_id!r} has version {fields.get('version', 'none')}, this release reads "
            f"{VERSION}; run one release on all machines, or forget the job and submit it again",
            job_id,
        )
    try:
        return _read_fields(job_id, fields, stats)
    except (KeyError, ValueError) as error:
        damaged = JobError(
            f"the ledger's entry of job {job_id!r} is damaged ({error!r}); resume the job from its manifest, or forget it",
            job_id,
        )
        damaged.__cause__ = error
        return damaged


def _read_fields(job_id: str, fields: Mapping[str, str], stats: Mapping[str, str]) -> JobInfo:
    sums: dict[StageNumber, dict[str, float]] = {}
    times: dict[StageNumber, dict[str, float]] = {}
    for key, value in stats.items():
        number, _, name = key.partition(" ")
        by_stage = times if name.startswith("@") else sums
        by_stage.setdefault(StageNumber(int(number)), {})[name.removeprefix("@")] = float(value)
    done, total = int(fields["done"]), int(fields["total"])
    state = JobState(fields["state"])
    return JobInfo(
        job_id=job_id,
        state=state,
        lane=fields["lane"],
        title=fields["title"],
        stage=StageNumber(int(fields["stage"])),
        stages=int(fields["stages"]),
        blocks_done=done,
        blocks_total=total,
        dispatched=int(fields["dispatched"]),
        merging=state is JobState.RUNNING and done == total,
        created_at=float(fields["created"]),
        updated_at=float(fields["updated"]),
        finished_at=float(fields["finished"]) if "finished" in fields else None,
        error=fields.get("error", ""),
        error_stage=StageNumber(int(fields.get("error_stage", NO_STAGE))),
        error_place=Place(int(fields.get("error_place", NO_PLACE))),
        merge_attempts=int(fields.get("merge_attempts", 0)),
        filled=int(fields["filled"]),
        stats={},
        stage_stats={},
        stage_times={number: StageTimes(**marks) for number, marks in sorted(times.items())},
    ).with_stats(dict(sorted(sums.items())))


def read_filled(field: str, value: str) -> FilledBlock:
    """A filled block from a field of the hash of filled blocks."""
    number, _, place = field.partition(" ")
    attempts, _, reason = value.partition(" ")
    return FilledBlock(StageNumber(int(number)), Place(int(place)), int(attempts), reason)


def to_json(job_id: str, name: str, document: Mapping[str, Any]) -> str:
    """A manifest, result or cost model as JSON text. Raises `InputError` for values that JSON does not have."""
    try:
        return json.dumps(dict(document), separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"the {name} of job {job_id!r} is not JSON: {error}; use dicts, lists, text and numbers"
        ) from error


def from_json(job_id: str, name: str, text: str | None) -> dict[str, Any]:
    """The document that `to_json` wrote. Raises `JobError` if it is gone or damaged."""
    try:
        document = json.loads(text or "")
    except ValueError as error:
        raise _damaged(job_id, name, str(error)) from error
    if not isinstance(document, dict):
        raise _damaged(job_id, name, f"it is a {type(document).__name__}")
    return document


def _damaged(job_id: str, name: str, reason: str) -> JobError:
    return JobError(f"the {name} of job {job_id!r} in the ledger is damaged ({reason}); submit the job again", job_id)


def format_list(places: Iterable[Place]) -> str:
    """Places as scripts take them: one text, since a thousand arguments would cost more than the whole script."""
    return " ".join(map(str, places))


def parse_list(text: str) -> list[Place]:
    """The places of a script's answer."""
    return [Place(int(place)) for place in text.split()]
