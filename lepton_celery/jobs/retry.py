"""`lepton.retry`: tries again what was given up: filled blocks, a job that failed, or the whole of one that has ended."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from celery import Celery

from lepton_celery import stores
from lepton_celery.catalogue.shared.functions import check_allowed
from lepton_celery.config import Settings
from lepton_celery.engines.celery.app import settings_of
from lepton_celery.engines.celery.sending import canvas, turns
from lepton_celery.errors import InputError, JobError, JobNotFound
from lepton_celery.execution.manifest import Manifest
from lepton_celery.jobs.eager import is_eager
from lepton_celery.jobs.find import current_app
from lepton_celery.jobs.job import Job
from lepton_celery.jobs.prepare import Prepared
from lepton_celery.jobs.resume import check_versions, go_on
from lepton_celery.jobs.submit import send
from lepton_celery.jobs.unserved import warn_if_unserved
from lepton_celery.ledger import JobInfo, JobState, Ledger, open_ledger
from lepton_celery.ledger.second_tries import Refusal
from lepton_celery.log_fields import about
from lepton_celery.planning.plan import Plan
from lepton_celery.priority import priority_of
from lepton_celery.stores.roots import roots_of
from lepton_celery.stores.workspace import workspace_root

_SENT_AT_ONCE = 256
"""Largest number of blocks that are sent here. Workers find the others, as they find lost work."""

_LOOKS = 3
"""How often the state of a job is looked at that changes meanwhile."""


class Again(StrEnum):
    """What is tried again."""

    BLOCKS = "blocks"
    """The blocks of the open stage that were given up and filled."""
    RESUMED = "resumed"
    """The missing blocks of a job that had failed."""
    WHOLE_JOB = "whole job"
    """All of it, as a new job."""


@dataclass(frozen=True)
class Retried:
    """What `retry` did."""

    job: Job
    """The job that does it: the same one, or the new one."""
    what: Again
    blocks: int
    """Number of blocks of the current stage that are to be done."""


def retry(job: str, *, app: Celery | None = None) -> Retried:
    """Try again what was given up of a job.

    - If the job has not ended, the blocks of its current stage that were given up and filled (`on_error="fill"`) are done
      after all, as if they had never been tried.
    - If it failed, it is resumed.
    - If it is done with filled blocks, or was cancelled, a new job does all of it, with the same plan, parameters and
      outputs. Outputs of a job that is done are replaced when the new one is. One job at a time does a job again.

    Args:
        job: the job's id.
        app: as for `submit`.

    Raises:
        JobNotFound: the ledger does not know the job.
        JobError: nothing of the job was given up, later work has used the blocks, or the outputs are being published.
        InputError: an input has changed or came with the job, or the versions of packages have changed.
        StoreError: an input is gone, or an output cannot be written.
        BrokerUnreachable: no broker answers.
    """
    app = app or current_app()
    settings = settings_of(app)
    if is_eager(app):
        raise JobError(
            f"job {job} cannot be tried again, since task_always_eager runs jobs at once; submit it again", job
        )
    ledger = open_ledger(settings.ledger)
    manifest = Manifest.from_json(ledger.manifest(job), settings.secret_key, job)
    for _ in range(_LOOKS):
        info = ledger.info(job)
        if info.state.is_open:
            if (retried := _retry_blocks(info, manifest.plan, app, ledger, settings)) is not None:
                return retried
            continue  # it has ended meanwhile
        if info.state is JobState.FAILED:
            go_on(manifest, app, ledger, settings)
            info = ledger.info(job)
            return Retried(_job(job, ledger, settings), Again.RESUMED, info.blocks_total - info.blocks_done)
        return _do_again(manifest, info, app, ledger, settings)
    raise JobError(f"job {job} changes its state at the moment; try again", job)


def _job(job_id: str, ledger: Ledger, settings: Settings) -> Job:
    return Job(job_id, ledger, settings.secret_key, settings.roots)


def _retry_blocks(info: JobInfo, plan: Plan, app: Celery, ledger: Ledger, settings: Settings) -> Retried | None:
    """Have the filled blocks of the open stage done; None if the job has ended meanwhile."""
    job_id = info.job_id
    places, refusal = ledger.retry_filled(job_id)
    if refusal == "ended":
        return None
    if refusal:
        raise JobError(_why_not(info, refusal), job_id)
    info = ledger.info(job_id)
    if info.state is JobState.RUNNING:  # else they are sent when the job is resumed
        turns.enter(ledger, info)
        if places:
            canvas.send_alone(app, info, places[:_SENT_AT_ONCE])  # one may have killed its worker
        else:
            canvas.send_unreceipted(app, ledger, info, plan)
    return Retried(_job(job_id, ledger, settings), Again.BLOCKS, len(places))


def _why_not(info: JobInfo, refusal: Refusal) -> str:
    what = f"job {info.job_id} is {info.state}, and nothing of it can be tried again now"
    if refusal == "publishing":
        return f"{what}: its outputs are being published; try again when it is done"
    if refusal == "merging" or info.filled:
        return (
            f"{what}: what follows has used the {info.filled} blocks that were given up; when the job is done, or after "
            f"`lepton cancel {info.job_id}`, all of it can be done again"
        )
    return f"{what}: no block of it was given up" + (
        f"; `lepton resume {info.job_id}` continues it" if info.state is JobState.PAUSED else ""
    )


class _DoneAgainAlready(Exception):
    """Another job does the ended one again; its argument is the id."""


def _do_again(old: Manifest, info: JobInfo, app: Celery, ledger: Ledger, settings: Settings) -> Retried:
    """Submit a job that has ended as a new one."""
    if info.state is JobState.DONE and not info.filled:
        raise JobError(
            f"job {info.job_id} is done, and no block of it was given up: there is nothing to try again", old.job_id
        )
    if (known := _successor(info, ledger)) is not None:
        return Retried(_job(known.job_id, ledger, settings), Again.WHOLE_JOB, known.blocks_total - known.blocks_done)
    check_versions(old)
    prepared = _prepare(old, info, settings)
    new_id, options = prepared.manifest.job_id, prepared.manifest.options
    warn_if_unserved(ledger, options.lane)

    def announce() -> None:
        if (noted := ledger.note_successor(old.job_id, new_id, instead_of=info.retried_as)) not in (new_id, ""):
            raise _DoneAgainAlready(noted)

    try:
        with about(job=new_id):
            send(prepared, app, ledger, settings, on_record=announce)
    except _DoneAgainAlready as other:
        new_id = str(other)
    return Retried(_job(new_id, ledger, settings), Again.WHOLE_JOB, len(old.plan.stages[0].grid))


def _successor(info: JobInfo, ledger: Ledger) -> JobInfo | None:
    """The job that does this one again already; None if there is none, or it was cancelled."""
    if not info.retried_as:
        return None
    try:
        found = ledger.info(info.retried_as)
    except JobNotFound:  # it was forgotten
        return None
    return None if found.state is JobState.CANCELLED else found


def _prepare(old: Manifest, info: JobInfo, settings: Settings) -> Prepared:
    """A new job with the same plan, parameters and outputs.

    Raises:
        InputError: an input has changed, or came with the job; or a path or a function is not allowed.
        StoreError: an input is gone, or an output cannot be written.
    """
    job_id, overwrite = secrets.token_hex(6), old.options.overwrite or info.state is JobState.DONE
    lane, rank = priority_of(info.priority)  # it may have been changed
    options = replace(old.options, lane=lane, rank=rank, overwrite=overwrite, retry_of=old.job_id)
    manifest = replace(
        old,
        job_id=job_id,
        plan=_with_inputs(old),
        workspace=str(workspace_root(Path(old.workspace).parent, job_id)),
        options=options,
        targets={
            node: tuple(replace(target, job_id=job_id, overwrite=overwrite) for target in targets)
            for node, targets in old.targets.items()
        },
        copied={},
    )
    files = [*manifest.output_paths(), *(url for _, url in manifest.plan.sources), manifest.workspace]
    stores.check_answers(map(stores.local_path, files), settings.store_timeout_s)
    for function in manifest.plan.functions:
        check_allowed(function, settings.allowed_functions)
    prepared = Prepared(manifest, {}, roots_of(settings.roots, options.tenant))
    prepared.context()  # refuses files outside the roots
    for path in manifest.output_paths():
        stores.check_output(path, overwrite=overwrite, roots=prepared.roots)
    manifest.check_inputs(settings.roots)
    return prepared


def _with_inputs(old: Manifest) -> Plan:
    """The plan with its inputs where they were before they were copied into the workspace, which is gone."""
    nodes = list(old.plan.nodes)
    for index, url in old.plan.sources:
        if index in old.copied:
            nodes[index] = replace(nodes[index], arguments={"url": old.copied[index]})
        elif Path(url).parent == Path(old.workspace):
            raise InputError(
                f"job {old.job_id} cannot be done again: an input was an array of the program that submitted it, and came "
                "with the job; submit it again there"
            )
    return replace(old.plan, nodes=tuple(nodes))
