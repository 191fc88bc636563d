"""`lepton.submit`: a job for Celery workers."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TypedDict, Unpack, get_args

from celery import Celery
from celery.canvas import Signature

from lepton_celery import stores
from lepton_celery.catalogue.shared.functions import check_allowed
from lepton_celery.config import Settings
from lepton_celery.engines.celery.app import settings_of
from lepton_celery.engines.celery.sending import turns
from lepton_celery.engines.celery.sending.on_done import on_done_of
from lepton_celery.errors import BrokerUnreachable, InputError, LeptonError
from lepton_celery.execution.manifest import JobOptions, Manifest, OnError
from lepton_celery.execution.outputs import create_outputs, discard, reserve_outputs
from lepton_celery.graph.nodes import Node
from lepton_celery.grid import StageNumber
from lepton_celery.jobs import resume as resuming
from lepton_celery.jobs.eager import is_eager, run_at_once
from lepton_celery.jobs.find import current_app
from lepton_celery.jobs.job import Job
from lepton_celery.jobs.prepare import Prepared, for_workers, prepare, record
from lepton_celery.jobs.quotas import admit
from lepton_celery.jobs.unserved import warn_if_unserved
from lepton_celery.ledger import Ledger, open_ledger
from lepton_celery.log_fields import about
from lepton_celery.planning.cost.keep import model_of_folder, model_of_workers
from lepton_celery.planning.cost.model import CostModel
from lepton_celery.planning.options import Limits, PlanOptions
from lepton_celery.priority import priority_of
from lepton_celery.tenants import check_owner, check_tenant
from lepton_celery.tracing.work import submission


class JobKeywords(TypedDict, total=False):
    """The keywords of `lepton.submit` that describe a job, and are documented there."""

    priority: str
    tenant: str
    owner: str
    title: str
    block_shape: tuple[int, ...] | None
    workers: int | None
    overwrite: bool
    limits: Limits | None
    on_error: OnError
    fill_value: float
    on_done: Signature | None


def submit(
    outputs: Mapping[str, Node], *, app: Celery | None = None, resume: bool = False, **options: Unpack[JobKeywords]
) -> Job:
    """Have Celery workers compute lazy nodes into files; return at once.

    An application with `task_always_eager` has the job done here, before this returns; see `docs/projects.md`.

    Args:
        outputs: path or file:// URL of each output, and its node. Images go to .zarr, .npy, .tif or .png, tables to .csv
            or .parquet, values there and to .npy, and few numbers to .json. Workers must see the same paths.
        app: the Celery application; None for the project's own if it was `configure`d, else one for the broker that
            LEPTON_BROKER_URL names or that `lepton up` started in this folder.
        resume: whether to continue an unfinished job that has the same outputs and inputs, instead of starting again.
        priority: the lane: `interactive` is served before `default`, and `default` before `batch`; or a lane and the rank of
            the job among its tenant's there, such as `batch:5`: from 0 to 9, where 9 goes first.
        tenant: whose share of the lane the job takes, such as a customer or a team; see the setting `tenants`.
        owner: who asks for the job, such as a user of your site, in up to 128 characters. Lists show it and are filtered by
            it, and the setting `max_open_jobs_of_owner` limits the jobs of each.
        title: the job's name; by default the names of its outputs.
        block_shape: shape of a block in pixels; None to let the planner choose.
        workers: worker processes to plan for; None for as many as this machine has processors.
        overwrite: whether outputs may replace existing files when the job is done.
        limits: limits of the plan; by default those of the settings, such as `max_pixels`.
        on_error: what happens when a block has failed or killed its worker `max_attempts` times: `fail` ends the job,
            `fill` fills the block and goes on; `Job.filled_blocks` lists such blocks.
        fill_value: pixels of filled blocks; 0 if the dtype cannot hold it.
        on_done: a Celery signature, which is sent once when the job has ended: with the job's id and its state (`done`,
            `failed` or `cancelled`) before its own arguments, unless it is immutable. If the broker is not the ledger's own
            database of Redis, it may be sent twice, with the same id, where a process is killed; see `docs/projects.md`.

    Raises:
        InputError, StoreError: the job is refused before anything ran, or the unfinished job would give other pixels. A file
            outside `allowed_roots` is refused too.
        QueueFull: the tenant has too many open jobs in the lane, or the owner; see `max_open_jobs` in `config.py`.
        BrokerUnreachable: no broker answers; nothing was submitted.

    Warns:
        WaitingWarning: no worker serves the job's lane, so the job will wait for one.
    """
    app = app or current_app()
    settings = settings_of(app)
    if is_eager(app):
        return run_at_once(app, prepare_for_workers(app, outputs, options))
    with submission(settings) as span:
        job = _submit(outputs, app, settings, resume=resume, options=options)
        span.note(**{"job.id": job.id})
        return job


def _submit(outputs: Mapping[str, Node], app: Celery, settings: Settings, *, resume: bool, options: JobKeywords) -> Job:
    ledger = open_ledger(settings.ledger)
    prepared = prepare_for_workers(app, outputs, options, may_exist=resume)
    if resume and (unfinished := resuming.unfinished_job(prepared.manifest, settings.secret_key)) is not None:
        return Job(resuming.go_on(unfinished, app, ledger, settings), ledger, settings.secret_key, settings.roots, app)
    for path in outputs if resume else ():
        stores.check_output(path, overwrite=prepared.manifest.options.overwrite, roots=prepared.roots)
    warn_if_unserved(ledger, prepared.manifest.options.lane)
    with about(job=prepared.manifest.job_id):
        send(prepared, app, ledger, settings)
    return Job(prepared.manifest.job_id, ledger, settings.secret_key, settings.roots, app)


def prepare_for_workers(
    app: Celery, outputs: Mapping[str, Node], options: JobKeywords, *, may_exist: bool = False
) -> Prepared:
    """Check and plan a job for workers, with what their ledger knows of their speed; nothing is written.

    Raises:
        BrokerUnreachable: the ledger does not answer; errors of the job are raised first.
    """
    settings = settings_of(app)
    if is_eager(app):
        return _prepare(app, outputs, options, model_of_folder())
    unreachable: BrokerUnreachable | None = None
    try:
        cost = model_of_workers(open_ledger(settings.ledger), settings.cost_profile)
    except BrokerUnreachable as error:
        cost, unreachable = CostModel(), error
    prepared = _prepare(app, outputs, options, cost, may_exist=may_exist)
    _check_names(prepared.manifest)
    if unreachable is not None:
        raise unreachable
    return prepared


def _check_names(manifest: Manifest) -> None:
    """Refuse names that are not UTF-8, which neither the ledger nor a message can hold."""
    for name in [manifest.title, *manifest.output_paths(), *(url for _, url in manifest.plan.sources)]:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise InputError(
                f"the name {name!r} is not UTF-8, so it cannot be sent to workers; rename the file, or run the job in this "
                "process (lepton.run, or --here on the command line)"
            ) from None


def _prepare(
    app: Celery, outputs: Mapping[str, Node], options: JobKeywords, cost: CostModel, *, may_exist: bool = False
) -> Prepared:
    """Check and plan the job."""
    settings = settings_of(app)
    job = _job_options(options, settings.scratch)
    if (signature := options.get("on_done")) is not None:
        job = replace(job, on_done=on_done_of(signature, app))
    plan_options = PlanOptions(
        block_shape=options.get("block_shape"),
        workers=options.get("workers") or os.cpu_count() or 1,
        limits=options.get("limits") or Limits.of(settings),
        cost=cost,
    )
    prepared = prepare(outputs, plan_options, job, settings, may_exist=may_exist)
    for function in prepared.manifest.plan.functions:
        check_allowed(function, settings.allowed_functions)
    return prepared


def _job_options(keywords: JobKeywords, scratch: str) -> JobOptions:
    """The `JobOptions` among the keywords; the other keywords are options of the plan.

    Raises:
        InputError: a keyword is unknown, or its value is not one of the choices.
    """
    unknown = sorted(keywords.keys() - JobKeywords.__annotations__.keys())
    if unknown:
        raise InputError(
            f"{', '.join(unknown)}: there is no such option; give {', '.join(JobKeywords.__annotations__)}"
        )
    on_error = keywords.get("on_error", "fail")
    lane, rank = priority_of(keywords.get("priority", "default"))
    if on_error not in get_args(OnError):
        raise InputError(f"on_error is {on_error!r}; give 'fail' or 'fill'")
    return JobOptions(
        lane=lane,
        rank=rank,
        tenant=check_tenant(keywords.get("tenant", "")),
        owner=check_owner(keywords.get("owner", "")),
        title=keywords.get("title", ""),
        overwrite=keywords.get("overwrite", False),
        on_error=on_error,
        fill_value=float(keywords.get("fill_value", 0.0)),
        scratch=scratch,
    )


def send(
    prepared: Prepared, app: Celery, ledger: Ledger, settings: Settings, *, on_record: Callable[[], None] = lambda: None
) -> None:
    """Record a job, create the files that workers need, and send the first waves.

    `on_record` is called when the ledger has the job, before anything is written; if it raises an error, nothing is left.
    """
    manifest, copies = for_workers(prepared)
    context = manifest.context(settings.roots)
    try:
        admit(manifest.job_id, manifest.options, ledger, settings)
        # recorded first, and paused: if this process dies, no worker begins the job, and a sweeper has its files removed
        record(manifest, ledger, StageNumber(0), settings)
        on_record()
        context.workspace.create()
        manifest.journal(settings.roots).begin(manifest.to_json(settings.secret_key))
        for reader, copy in copies:
            stores.ingest(reader, copy, roots=prepared.roots, timeout_s=settings.store_timeout_s)
        manifest.check_inputs(settings.roots)
        create_outputs(context)
        manifest.journal(settings.roots).log_stage(StageNumber(0))
        ledger.resume(manifest.job_id)
        turns.send_first_turns(app, ledger, settings, ledger.info(manifest.job_id), manifest.plan)
        # this takes a quarter of a second per gigabyte in tmpfs: workers need not wait for it
        reserve_outputs(context)
    except BaseException:
        with suppress(BrokerUnreachable):
            ledger.forget(manifest.job_id)
        with suppress(LeptonError):  # the first error is raised
            discard(context)
        raise
