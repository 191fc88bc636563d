"""Going on with a job that stopped: from the ledger if that knows it, else from the manifest beside its outputs."""

from __future__ import annotations

from pathlib import Path

from celery import Celery

from lepton_celery import stores
from lepton_celery.config import Settings
from lepton_celery.engines.celery.sending import canvas
from lepton_celery.errors import InputError, JobError, JobNotFound, LeptonError
from lepton_celery.execution.manifest import Manifest, versions_of
from lepton_celery.ledger.base import JobState, Ledger
from lepton_celery.planning.batches import batches
from lepton_celery.stores.journal import MANIFEST, Journal
from lepton_celery.stores.workspace import workspace_root

_COMMIT_BLOCKS = 10_000
"""Receipts that are handed to the ledger at a time."""


def resume(job: str | Path, app: Celery, ledger: Ledger, settings: Settings) -> str:
    """Let a job go on; its id. See `lepton_celery.resume`."""
    known = str(job)
    try:
        ledger.info(known)
    except JobNotFound:
        return go_on(find(job), app, ledger, settings)
    return go_on(Manifest.from_json(ledger.manifest(known)), app, ledger, settings)


def find(job: str | Path) -> Manifest:
    """The manifest of a job by its id (in this folder), one of its outputs, or the folder of its workspace.

    Raises:
        JobNotFound: there is none.
    """
    path = Path(job)
    for folder in (path, workspace_root(Path.cwd(), str(job))):
        if (folder / MANIFEST).exists():
            return Manifest.from_json(Journal(folder).manifest())
    beside = [found for found in _manifests(path.parent) if str(stores.local_path(job)) in found.output_paths()]
    if beside:
        return beside[-1]
    raise JobNotFound(
        f"the ledger knows no job {str(job)!r}, and there is no manifest of it here; give the path of one of its outputs, "
        "or of the folder .lepton-<job> beside them",
        str(job),
    )


def same_work(wanted: Manifest) -> Manifest | None:
    """The unfinished job that was to write the same outputs; None when there is none.

    Raises:
        InputError: it would make other pixels than are wanted now.
    """
    outputs = sorted(wanted.output_paths())
    for found in reversed(_manifests(Path(wanted.workspace).parent)):
        if sorted(found.output_paths()) != outputs:
            continue
        if found.journal.stage(len(found.plan.stages)) is None:
            continue  # its submitter died before its inputs were in place: there is nothing to go on with
        if differences := found.differences(wanted):
            raise InputError(
                f"job {found.job_id} left parts of these outputs, and cannot be gone on with: {'; '.join(differences)} "
                f"differ; submit without resume, or `lepton forget {found.job_id}`"
            )
        return found
    return None


def _manifests(directory: Path) -> list[Manifest]:
    """Of the unfinished jobs that write into a folder, the newest last."""
    found = []
    for path in sorted(directory.glob(f".lepton-*/{MANIFEST}"), key=lambda path: path.stat().st_mtime_ns):
        try:
            found.append(Manifest.from_json(Journal(path.parent).manifest()))
        except LeptonError:
            continue  # of another release, or being removed just now
    return found


def go_on(manifest: Manifest, app: Celery, ledger: Ledger, settings: Settings) -> str:
    """Have a job's missing blocks done; the job's id.

    Raises:
        JobError: it was cancelled.
        InputError: inputs or versions have changed.
    """
    job_id = manifest.job_id
    try:
        state = ledger.info(job_id).state
    except JobNotFound:
        state = None
    if state is JobState.DONE:
        return job_id
    if state is JobState.CANCELLED:
        raise JobError(f"job {job_id} was cancelled, and what it had written is removed; submit it again", job_id)
    if now := versions_of(manifest.plan):
        changed = [
            f"{name} {manifest.versions.get(name)}, now {now[name]}"
            for name in now
            if now[name] != manifest.versions.get(name)
        ]
        if changed:
            raise InputError(
                f"job {job_id} was begun with other versions ({'; '.join(changed)}), which may give other pixels; "
                "install those again, or submit the job anew"
            )
    manifest.check_inputs()
    if manifest.journal.stage(len(manifest.plan.stages)) is None:
        raise JobError(
            f"job {job_id} was never submitted as a whole: its submitter stopped before its inputs were in place; "
            f"submit it again, and `lepton cancel {job_id}`, or remove {manifest.workspace}",
            job_id,
        )
    if state is None:
        rebuild(manifest, ledger)
    if state is not JobState.RUNNING:
        ledger.resume(job_id)
    send_missing(manifest, app, ledger, settings)
    return job_id


def rebuild(manifest: Manifest, ledger: Ledger) -> None:
    """Put a job back into a ledger, paused, as its journal has it."""
    plan, journal = manifest.plan, manifest.journal
    stage = journal.stage(len(plan.stages))
    assert stage is not None, "checked by go_on"
    ledger.create(
        manifest.job_id,
        manifest.to_json(),
        lane=manifest.lane,
        title=manifest.title,
        stages=len(plan.stages),
        blocks=len(plan.stages[plan.place(stage)[0]].grid),
        stage=stage,
        paused=True,
    )
    done = journal.receipts(stage)
    for first in range(0, len(done), _COMMIT_BLOCKS):
        ledger.commit(manifest.job_id, stage, done[first : first + _COMMIT_BLOCKS], owner="journal", stats={})


def send_missing(manifest: Manifest, app: Celery, ledger: Ledger, settings: Settings) -> None:
    """Hand a running job's blocks without receipt to the broker, whatever became of earlier messages."""
    info = ledger.info(manifest.job_id)
    if info.blocks_done == info.blocks_total:
        canvas.send_merge(app, info)
        return
    plan = manifest.plan
    stage = plan.stages[info.stage_index]
    # blocks before the last receipt count as sent, so that those with a receipt are not sent once more
    if info.dispatched < info.blocks_done:
        ledger.take(info.job_id, info.stage, count=info.blocks_done, window=info.blocks_total)
    lost = ledger.unreceipted(info.job_id, info.stage, limit=settings.window_batches * stage.batch_blocks)
    if lost:
        canvas.send_wave(app, info, batches(stage, plan.workers, lost))
    canvas.fill_window(app, ledger, settings, info, plan)
