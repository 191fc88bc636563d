"""`lepton.resume`: continues a job that stopped, from the ledger or from the manifest beside the job's outputs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from celery import Celery

from lepton_celery import stores
from lepton_celery.config import Settings
from lepton_celery.engines.celery.app import settings_of
from lepton_celery.engines.celery.sending import canvas, turns
from lepton_celery.engines.celery.sending.notices import send_notice
from lepton_celery.errors import InputError, JobError, JobNotFound, LeptonError
from lepton_celery.execution.manifest import Manifest, versions_of
from lepton_celery.jobs.eager import is_eager
from lepton_celery.jobs.find import current_app
from lepton_celery.jobs.job import Job
from lepton_celery.jobs.prepare import record
from lepton_celery.ledger import JobState, Ledger, open_ledger
from lepton_celery.ledger.quotas import holders_of
from lepton_celery.stores.journal import MANIFEST, Journal
from lepton_celery.stores.workspace import workspace_root

_COMMIT_BLOCKS = 10_000
"""Largest number of receipts that are committed with one call."""


def resume(job: str | Path, *, app: Celery | None = None) -> Job:
    """Continue a job that failed, was paused, or whose ledger was lost. Only missing blocks are done.

    Args:
        job: its id; or, for a job that the ledger does not know, the path of one of its outputs or of the folder
            `.lepton-<job>` beside them, where its manifest is.
        app: as for `submit`.

    Raises:
        JobNotFound: neither the ledger nor a manifest here knows the job.
        JobError: the job was cancelled, or the application has `task_always_eager`.
        InputError: the job's inputs, or the versions of its packages and functions, have changed; nothing was touched.
        BrokerUnreachable: no broker answers.
    """
    app = app or current_app()
    settings = settings_of(app)
    if is_eager(app):
        raise JobError(
            f"job {job} cannot be resumed, since task_always_eager runs jobs at once; submit it again", str(job)
        )
    ledger = open_ledger(settings.ledger)
    try:
        manifest = Manifest.from_json(ledger.manifest(str(job)), settings.secret_key, str(job))
    except JobNotFound:
        manifest = find_manifest(job, settings.secret_key)
    return Job(go_on(manifest, app, ledger, settings), ledger, settings.secret_key, settings.roots, app)


def find_manifest(job: str | Path, keys: Sequence[str] = ()) -> Manifest:
    """The manifest of a job, which is given by its id (in this folder), an output, or the folder of its workspace.

    Raises:
        JobNotFound: there is no such manifest.
    """
    path = Path(job)
    for folder in (path, workspace_root(Path.cwd(), str(job))):
        if (folder / MANIFEST).exists():
            return Manifest.from_json(Journal(folder).read_manifest(), keys)
    output = str(stores.local_path(job))
    beside = [manifest for manifest in _manifests(path.parent, keys) if output in manifest.output_paths()]
    if beside:
        return beside[-1]
    raise JobNotFound(
        f"the ledger knows no job {str(job)!r}, and there is no manifest of it here; give the path of one of its outputs, "
        "or of the folder .lepton-<job> beside them",
        str(job),
    )


def unfinished_job(wanted: Manifest, keys: Sequence[str] = ()) -> Manifest | None:
    """The manifest of an unfinished job with the same outputs; None if there is none.

    Raises:
        InputError: that job would give other pixels.
    """
    outputs = sorted(wanted.output_paths())
    for manifest in reversed(_manifests(Path(wanted.workspace).parent, keys)):
        if sorted(manifest.output_paths()) != outputs:
            continue
        if manifest.journal().stage(len(manifest.plan.stages)) is None:
            continue  # its submitter died before its inputs were in place, so it cannot be continued
        if differences := manifest.differences(wanted):
            raise InputError(
                f"job {manifest.job_id} left parts of these outputs, but cannot be continued: "
                f"{'; '.join(differences)} differ; submit without resume, or `lepton forget {manifest.job_id}`"
            )
        return manifest
    return None


def _manifests(directory: Path, keys: Sequence[str]) -> list[Manifest]:
    """Manifests of the unfinished jobs that write into a folder, the newest last."""
    manifests = []
    for path in sorted(directory.glob(f".lepton-*/{MANIFEST}"), key=lambda path: path.stat().st_mtime_ns):
        with suppress(LeptonError):  # of another release, or being removed just now
            manifests.append(Manifest.from_json(Journal(path.parent).read_manifest(), keys))
    return manifests


def go_on(manifest: Manifest, app: Celery, ledger: Ledger, settings: Settings) -> str:
    """Send a job's missing blocks, and return its id.

    Raises:
        JobError: the job was cancelled.
        InputError: the job's inputs or versions have changed.
    """
    job_id = manifest.job_id
    try:
        state = ledger.info(job_id).state
    except JobNotFound:
        state = None
    if state is JobState.DONE:
        return job_id
    if state is JobState.CANCELLED:
        raise JobError(f"job {job_id} was cancelled, and its files are removed; submit it again", job_id)
    check_versions(manifest)
    files = [*manifest.output_paths(), *(url for _, url in manifest.plan.sources), manifest.workspace]
    stores.check_answers(map(stores.local_path, files), settings.store_timeout_s)
    manifest.context(settings.roots)  # refuses files outside the roots
    manifest.check_inputs(settings.roots)
    if not Path(manifest.workspace).is_dir():
        raise JobError(
            f"job {job_id} cannot go on: its folder {manifest.workspace} is gone; the folder of its outputs was moved or "
            "removed, or its files were discarded: put the folder back, or submit the job again",
            job_id,
        )
    journal = manifest.journal(settings.roots)
    opened = journal.stage(len(manifest.plan.stages))
    if opened is None:
        raise JobError(
            f"job {job_id} was never submitted as a whole: its submitter stopped before its inputs were in place; "
            f"submit it again, and `lepton cancel {job_id}`, or remove {manifest.workspace}",
            job_id,
        )
    if state is None:
        record(manifest, ledger, opened, settings)
        ledger.quotas.admit(job_id, holders_of(ledger.info(job_id)))
        done = journal.receipts(opened)
        for first in range(0, len(done), _COMMIT_BLOCKS):
            ledger.commit(job_id, opened, done[first : first + _COMMIT_BLOCKS], owner="journal", stats={})
    if state is JobState.FAILED:  # the notice of the end that the job comes back from
        send_notice(app, ledger, settings, job_id)
    if state is not JobState.RUNNING:
        ledger.resume(job_id)
    _send_missing(manifest, app, ledger, settings)
    return job_id


def check_versions(manifest: Manifest) -> None:
    """Refuse a job that was begun with other versions of the packages and functions that decide the pixels.

    Raises:
        InputError: it was.
    """
    before = manifest.versions
    changed = [
        f"{name} {before.get(name)}, now {now}"
        for name, now in versions_of(manifest.plan).items()
        if now != before.get(name)
    ]
    if changed:
        raise InputError(
            f"job {manifest.job_id} was begun with other versions ({'; '.join(changed)}), which may give other pixels; "
            "install those again, or submit the job anew"
        )


def _send_missing(manifest: Manifest, app: Celery, ledger: Ledger, settings: Settings) -> None:
    """Send a running job's blocks without a receipt, whatever happened to earlier messages."""
    info = ledger.info(manifest.job_id)
    if info.blocks_done == info.blocks_total:
        canvas.send_merge(app, info)
        return
    # move the cursor by the number of receipts: below the cursor, only blocks without a receipt are sent
    if info.dispatched < info.blocks_done:
        ledger.dispatch(info.job_id, info.stage, count=info.blocks_done)
        info = ledger.info(manifest.job_id)
    canvas.send_unreceipted(app, ledger, info, manifest.plan)
    turns.send_first_turns(app, ledger, settings, info, manifest.plan)
