"""What every face calls: submit work, follow it, wait for it, cancel it."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from celery import Celery

from lepton_celery import stores
from lepton_celery.catalogue.arrays import Array
from lepton_celery.catalogue.shared.functions import check_allowed
from lepton_celery.config import LANES, Settings
from lepton_celery.engines import inline
from lepton_celery.engines.celery.app import create_app, settings_of
from lepton_celery.engines.celery.sending import canvas
from lepton_celery.errors import BrokerUnreachable, InputError, JobCancelled, JobError, JobFailed, WaitTimeout
from lepton_celery.execution.manifest import Manifest, OnError, digest_of, versions_of
from lepton_celery.execution.steps import create_outputs, discard, reserve_outputs
from lepton_celery.graph.nodes import Node
from lepton_celery.grid import Place, Region
from lepton_celery.jobs import resume as resumption
from lepton_celery.jobs.compute import arrays_of, first_blocks, use_kernels
from lepton_celery.jobs.find import need_settings
from lepton_celery.jobs.report import compare, progress_of, summarize
from lepton_celery.ledger import open_ledger
from lepton_celery.ledger.base import Hole, JobInfo, JobState, Ledger
from lepton_celery.ledger.memory import MemoryLedger
from lepton_celery.planning.cost import keep as costs
from lepton_celery.planning.cost.model import CostModel
from lepton_celery.planning.plan import Plan, functions_of, sources_of
from lepton_celery.planning.planner import Limits, Options, make_plan
from lepton_celery.stores.base import ArrayReader, Target
from lepton_celery.stores.workspace import workspace_root

Lane = Literal["interactive", "default", "batch"]

_POLL_S = (0.01, 0.05)
"""Shortest and longest pause between two looks at a job that is waited for."""


class Job:
    """A job in the ledger: its state, its progress and its end."""

    def __init__(self, job_id: str, ledger: Ledger) -> None:
        self.id = job_id
        """Names the job to every process that has the same ledger."""
        self._ledger = ledger

    def __repr__(self) -> str:
        return f"<Job {self.id}>"

    def info(self) -> JobInfo:
        """The job as it stands.

        Raises:
            JobNotFound: the ledger does not know it (any more).
            BrokerUnreachable: the ledger does not answer.
        """
        return self._ledger.info(self.id)

    def progress(self) -> float:
        """The share of the job that is done, 0 to 1, by the predicted time of its stages."""
        return progress_of(self.info(), self.manifest().plan)

    def manifest(self) -> Manifest:
        """What is being done: the plan and where its files are."""
        return Manifest.from_json(self._ledger.manifest(self.id))

    def wait(
        self,
        timeout_s: float | None = None,
        *,
        progress: bool = False,
        on_change: Callable[[JobInfo], None] | None = None,
    ) -> JobInfo:
        """Wait until the job is done.

        Args:
            timeout_s: seconds to wait; None: as long as it takes.
            progress: draw a progress bar on standard error.
            on_change: called with each new state.

        Raises:
            JobFailed: it failed; the message is the reason.
            JobCancelled: it was cancelled.
            WaitTimeout: it is not done in time; it goes on.
        """
        if progress:
            from lepton_celery.jobs.progress import show_progress

            with show_progress(self.manifest().plan) as draw:
                return self.wait(timeout_s, on_change=draw)
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        for info in self._watch(deadline):
            if on_change is not None:
                on_change(info)
            if info.state not in (JobState.RUNNING, JobState.PAUSED):
                return self._ended(info)
        raise WaitTimeout(
            f"job {self.id} is not done after {timeout_s} s; it goes on, wait again or cancel it", self.id
        )

    def _watch(self, deadline: float | None) -> Iterator[JobInfo]:
        """The job's state, again and again, more seldom as it takes longer, and when it ends; up to the deadline."""
        pause, longest = _POLL_S
        with self._ledger.ending(self.id) as wait:
            while True:
                yield self.info()
                left = longest if deadline is None else deadline - time.monotonic()
                if left <= 0:
                    return
                wait(min(pause, left))
                pause = min(longest, pause * 1.2)

    def _ended(self, info: JobInfo) -> JobInfo:
        if info.state is JobState.FAILED:
            raise JobFailed(info.error, self.id, info.error_stage, info.error_block)
        if info.state is JobState.CANCELLED:
            raise JobCancelled(f"job {self.id} was cancelled", self.id)
        return info

    def seams(self) -> dict[str, float]:
        """How visible block borders are in the outputs of functions that are not exact, by path: about 1 is not at all.

        Empty for outputs that are identical to the whole-image result, and while the job runs.
        """
        return dict((self._ledger.result(self.id) or {}).get("seams", {}))

    def result(self, timeout_s: float | None = None) -> dict[str, Any]:
        """The outputs, once the job is done, by the paths they were submitted under: lazy images, and tables as columns.

        Raises:
            JobFailed, JobCancelled, WaitTimeout: as `wait`.
        """
        from lepton_celery.graph.nodes import open

        self.wait(timeout_s)
        manifest = self.manifest()
        results: dict[str, Any] = {}
        for name, path in manifest.names.items():
            results[name] = stores.read_table(path) if path in manifest.files else open(path)
        return results

    def holes(self) -> list[Hole]:
        """The blocks that could not be done and were filled, with the reason of each; see `on_error` of `submit`."""
        return self._ledger.holes(self.id)

    def region(self, stage: int, block: int) -> Region:
        """The pixels of a block, such as one of `holes`, on the grid of its stage."""
        plan = self.manifest().plan
        found = plan.stages[plan.place(stage)[0]]
        return found.grid.region(found.order.block(Place(block)))

    def report(self) -> str:
        """What the job took beside what was predicted, stage by stage, as text; complete when it is done."""
        info, plan = self.info(), self.manifest().plan
        return f"{summarize(info, plan)}\n{compare(info, plan)}"

    def cancel(self) -> bool:
        """Stop the job and remove what it has written; False if it had ended already, or is being published.

        Workers notice within one batch; they remove what they wrote in the meantime.
        """
        cancelled = self._ledger.cancel(self.id)
        if cancelled:
            discard(self.manifest().context())
        return cancelled

    def pause(self) -> bool:
        """Start none of the job's blocks until `lepton_celery.resume(job.id)`; False if it has ended, or is being published.

        Blocks that are at work are finished first.
        """
        return self._ledger.pause(self.id)

    def forget(self) -> None:
        """Remove an ended job from the ledger, and the files of one that failed: it cannot be resumed any more.

        Raises:
            JobError: the job has not ended; cancel it first.
        """
        info = self.info()
        if info.state in (JobState.RUNNING, JobState.PAUSED):
            raise JobError(f"job {self.id} is {info.state}; cancel it first", self.id)
        discard(self.manifest().context())
        self._ledger.forget(self.id)


# ------------------------------------------------------------------------------------------------ submitting


@dataclass(frozen=True)
class Prepared:
    """A job that was checked and planned, and has not begun."""

    manifest: Manifest
    arrays: dict[int, Array]
    """Sources that are arrays of this process."""

    @property
    def plan(self) -> Plan:
        return self.manifest.plan


def prepare(
    outputs: Mapping[str, Node],
    *,
    block_shape: tuple[int, ...] | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    limits: Limits | None = None,
    lane: Lane = "default",
    title: str = "",
    on_error: OnError = "fail",
    fill_value: float = 0.0,
    cost: CostModel | None = None,
    scratch: str = "",
) -> Prepared:
    """Check and plan a job: every refusal there is comes here, before anything is written.

    `cost` is what the plan is made by; None: the model of this folder.

    Raises:
        InputError, StoreError: what is wrong with an output, an input or the plan.
    """
    if on_error not in ("fail", "fill"):
        raise InputError(f"on_error {on_error!r} is not a way to go on; give 'fail' or 'fill'")
    for path, node in outputs.items():
        stores.check_output(path, overwrite=overwrite)
        if isinstance(node, Node):
            _check_format(path, node)
    options = Options(
        block_shape=block_shape,
        limits=limits or Limits(),
        workers=workers or os.cpu_count() or 1,
        cost=cost or costs.of_folder(),
    )
    plan = make_plan(outputs, options)
    job_id = secrets.token_hex(6)
    targets: dict[int, tuple[Target, ...]] = {}
    files: dict[str, int] = {}
    for path, index in plan.outputs.items():
        planned = plan.nodes[index]
        absolute = str(stores.local_path(path))
        if planned.gives == "image":
            target = Target(absolute, planned.shape, planned.dtype, plan.block_of(index), job_id, overwrite)
            stores.array_output(target)  # refuses blocks that the format cannot hold
            targets[index] = (*targets.get(index, ()), target)
        else:
            files[absolute] = index
    first = stores.local_path(next(iter(outputs)))
    workspace = str(workspace_root(first.parent, job_id))
    names = {str(path): str(stores.local_path(path)) for path in outputs}
    arrays = arrays_of(plan, tuple(outputs.values()))
    inputs = {
        url if url != "memory:" else f"array {node}": stores.identity(url)
        if url != "memory:"
        else stores.content_identity(arrays[node])
        for node, url in sources_of(plan)
    }
    manifest = Manifest(
        job_id,
        plan,
        workspace,
        targets,
        files,
        overwrite,
        names,
        lane=lane,
        called=title,
        on_error=on_error,
        fill_value=float(fill_value),
        inputs=inputs,
        versions=versions_of(plan),
        plan_digest=digest_of(plan, block_shape),
        scratch=str(stores.local_path(scratch)) if scratch else "",
    )
    return Prepared(manifest, arrays)


def _check_format(path: str, node: Node) -> None:
    is_table = Path(path).suffix.lower() in stores.TABLE_SUFFIXES
    if node.gives == "image" and is_table:
        raise InputError(f"{path} is a table format and {node!r} is an image; write it to .zarr, .npy, .tif or .png")
    if node.gives != "image" and not is_table:
        raise InputError(f"{path} is an image format and {node!r} is a {node.gives}; write it to .csv or .parquet")
    if node.gives == "image":
        stores.check_dtype(path, node.shape, node.dtype)
    if node.gives == "table" and node.dtype == object:
        raise InputError(
            f"{path} takes numbers, and {node!r} has columns of arrays or slices (coords, image, slice …); "
            "leave those properties out, or take the table with lepton.compute"
        )


def submit(
    outputs: Mapping[str, Node],
    *,
    priority: Lane = "default",
    app: Celery | None = None,
    title: str = "",
    block_shape: tuple[int, ...] | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    limits: Limits | None = None,
    on_error: OnError = "fail",
    fill_value: float = 0.0,
    resume: bool = False,
) -> Job:
    """Have Celery workers compute lazy nodes into files; returns at once.

    Args:
        outputs: path or file:// URL of each output, and its node. Images go to .zarr, .npy, .tif or .png, tables and
            values to .csv or .parquet. Workers must see the same paths.
        priority: the lane: `interactive` before `default` before `batch`.
        app: None: the project's own application if it was `configure`d, else one for the broker that LEPTON_BROKER_URL
            names or `lepton up` started in this folder.
        title: what to call the job; None: the outputs' names.
        block_shape: pixels per axis; None: chosen.
        workers: worker processes to plan for; None: as many as this machine has processors.
        overwrite: replace what stands under an output's name, when the job is done.
        limits: what the plan may ask for.
        on_error: what becomes of a job one of whose blocks fails, or takes its worker down, as often as the setting
            `max_attempts` says: `fail`, or `fill` the block and go on; `Job.holes` lists such blocks.
        fill_value: pixels of filled blocks; 0 where the dtype cannot hold it.
        resume: go on with a job that was to write the same outputs from the same inputs and did not get done, instead
            of starting anew.

    Raises:
        InputError, StoreError: refused before anything ran; also when such a job would have made other pixels.
        BrokerUnreachable: no broker answers; nothing was submitted.
    """
    app = app or current_app()
    settings = settings_of(app)
    if priority not in LANES:
        raise InputError(f"priority {priority!r} is not a lane; give one of {', '.join(LANES)}")
    ledger = open_ledger(settings.ledger)
    unreachable: BrokerUnreachable | None = None
    try:
        cost = costs.of_workers(ledger, settings.cost_profile)
    except BrokerUnreachable as error:  # what is wrong with the job itself is said first
        cost, unreachable = CostModel(), error
    prepared = prepare(
        outputs,
        block_shape=block_shape,
        workers=workers,
        overwrite=overwrite,
        limits=limits or Limits(worker_memory_bytes=settings.worker_memory_bytes),
        cost=cost,
        lane=priority,
        title=title,
        on_error=on_error,
        fill_value=fill_value,
        scratch=settings.scratch,
    )
    if unreachable is not None:
        raise unreachable
    for path in functions_of(prepared.manifest.plan):
        check_allowed(path, settings.allowed_functions)
    if resume and (begun := resumption.same_work(prepared.manifest)) is not None:
        return Job(resumption.go_on(begun, app, ledger, settings), ledger)
    manifest, copies = _for_workers(prepared)
    try:
        # first of all, and paused: should this process die before all is in place, no worker begins, and what it has left
        # is found
        record(ledger, manifest, paused=True)
        manifest.context().workspace.create()
        manifest.journal.begin(manifest.to_json())
        for reader, copy in copies:
            stores.ingest(reader, copy)
        manifest.check_inputs()
        create_outputs(manifest.context())
        manifest.journal.opened(0)
        ledger.resume(manifest.job_id)
        canvas.fill_window(app, ledger, settings, ledger.info(manifest.job_id), manifest.plan)
        # on file systems in memory this takes a tenth of a second per gigabyte: workers need not wait for it
        reserve_outputs(manifest.context())
    except BaseException:
        with suppress(BrokerUnreachable):
            ledger.forget(manifest.job_id)
        discard(manifest.context())
        raise
    return Job(manifest.job_id, ledger)


def record(ledger: Ledger, manifest: Manifest, *, paused: bool = False) -> None:
    """Put a job in the ledger, its first stage open."""
    plan = manifest.plan
    ledger.create(
        manifest.job_id,
        manifest.to_json(),
        lane=manifest.lane,
        title=manifest.title,
        stages=len(plan.stages),
        blocks=first_blocks(plan),
        paused=paused,
    )


def _for_workers(prepared: Prepared) -> tuple[Manifest, list[tuple[ArrayReader, Path]]]:
    """The manifest as workers get it, and what has to be copied into the workspace first: inputs that they cannot read by
    region (arrays in memory, PNG, JPEG)."""
    manifest = prepared.manifest
    nodes = list(manifest.plan.nodes)
    copies: list[tuple[ArrayReader, Path]] = []
    for index, url in sources_of(manifest.plan):
        reader: Any = stores.MemoryReader(prepared.arrays[index]) if url == "memory:" else stores.open_array(url)
        if url == "memory:" or stores.needs_ingest(reader):
            copy = Path(manifest.workspace) / f"input{index}.npy"
            copies.append((reader, copy))
            nodes[index] = replace(nodes[index], arguments={"url": str(copy)})
    return replace(manifest, plan=replace(manifest.plan, nodes=tuple(nodes))), copies


def resume(job: str | Path, *, app: Celery | None = None) -> Job:
    """Let a job go on that failed, was paused, or whose ledger was lost: only blocks that are missing are done.

    Args:
        job: its id; or, for a job that the ledger does not know, the path of one of its outputs or of the folder
            `.lepton-<job>` beside them, where its manifest is.
        app: as of `submit`.

    Raises:
        JobNotFound: neither the ledger nor a manifest here knows it.
        JobError: it was cancelled.
        InputError: its inputs, or the versions of what computes it, have changed since; nothing was touched.
        BrokerUnreachable: no broker answers.
    """
    app = app or current_app()
    settings = settings_of(app)
    ledger = open_ledger(settings.ledger)
    ledger.ping()
    return Job(resumption.resume(job, app, ledger, settings), ledger)


def run(
    outputs: Mapping[str, Node],
    *,
    threads: int | None = None,
    block_shape: tuple[int, ...] | None = None,
    overwrite: bool = False,
    limits: Limits | None = None,
    on_change: Callable[[JobInfo], None] | None = None,
) -> Job:
    """Compute lazy nodes into files in this process, on threads, without a broker; returns when it is done.

    Memory depends on the block, not on the image: what passes between stages is kept on disk beside the outputs.

    Raises:
        LeptonError: what went wrong; nothing is left under an output's name.
    """
    threads = threads or os.cpu_count() or 1
    prepared = prepare(outputs, block_shape=block_shape, workers=threads, overwrite=overwrite, limits=limits)
    return run_prepared(prepared, threads=threads, on_change=on_change)


def run_prepared(prepared: Prepared, *, threads: int, on_change: Callable[[JobInfo], None] | None = None) -> Job:
    """Run in this process what `prepare` checked and planned; see `run`."""
    manifest = prepared.manifest
    context = replace(manifest.context(kernels=use_kernels(manifest.plan)), arrays=prepared.arrays)
    context.workspace.create()
    ledger = MemoryLedger()

    def changed() -> None:
        if on_change is not None:
            on_change(ledger.info(manifest.job_id))

    try:
        create_outputs(context)
        reserve_outputs(context)
        record(ledger, manifest)
    except BaseException:
        discard(context)
        raise
    inline.run(
        context,
        ledger,
        manifest.job_id,
        threads=threads,
        files=manifest.files,
        overwrite=manifest.overwrite,
        on_progress=changed,
    )
    changed()
    context.workspace.discard()
    return Job(manifest.job_id, ledger)


# ------------------------------------------------------------------------------------------------ finding jobs again


def current_app() -> Celery:
    """The project's own Celery application if it was configured for jobs, else one for the broker that was named.

    Raises:
        BrokerUnreachable: no broker was named and no local stack runs in this folder.
    """
    from celery.app import app_or_default

    current = app_or_default()  # itself and not `celery.current_app`, a stand-in that cannot be referred to weakly
    if current.conf.get("lepton") is not None:
        return current
    return create_app(need_settings())


def get_job(job_id: str, *, settings: Settings | None = None) -> Job:
    """A job by its id.

    Raises:
        JobNotFound: the ledger does not know it.
        BrokerUnreachable: the ledger does not answer.
    """
    ledger = open_ledger((settings or settings_of(current_app())).ledger)
    ledger.info(job_id)
    return Job(job_id, ledger)


def list_jobs(*, limit: int = 100, settings: Settings | None = None) -> list[JobInfo]:
    """The newest jobs, newest first."""
    return open_ledger((settings or settings_of(current_app())).ledger).jobs(limit=limit)
