"""Checks and plans a job, before anything is written; every refusal of a job is raised here."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lepton_celery import stores
from lepton_celery.catalogue.arrays import Array
from lepton_celery.catalogue.shared.listed import MAX_LISTED_PX
from lepton_celery.config import Settings
from lepton_celery.errors import InputError
from lepton_celery.execution.context import Context
from lepton_celery.execution.manifest import JobOptions, Manifest, digest_of, versions_of
from lepton_celery.graph.nodes import Node, make
from lepton_celery.grid import StageNumber
from lepton_celery.ledger import Ledger
from lepton_celery.ledger.info import Attributes
from lepton_celery.planning.axes import axes_of
from lepton_celery.planning.lowering import ARRAY_URL
from lepton_celery.planning.options import PlanOptions
from lepton_celery.planning.planner import Planned, make_plan
from lepton_celery.stores.base import ArrayReader, Target
from lepton_celery.stores.roots import Roots, roots_of
from lepton_celery.stores.workspace import workspace_root
from lepton_celery.tracing.job_trace import current_trace


@dataclass(frozen=True)
class Prepared:
    """A job that was checked and planned, but not begun."""

    manifest: Manifest
    arrays: dict[int, Array]
    """Inputs that are arrays of this process, by node."""
    roots: Roots = ()
    """Folders that the job's files must lie in; empty for all."""

    def context(self, *, kernels: bool = False) -> Context:
        """The job in this process, with its arrays."""
        return replace(self.manifest.context(tuple(self.roots), kernels=kernels), arrays=self.arrays)


def prepare(
    outputs: Mapping[str, Node],
    plan_options: PlanOptions,
    options: JobOptions,
    settings: Settings,
    *,
    may_exist: bool = False,
) -> Prepared:
    """Check and plan a job, whose files must lie in the settings' allowed folders.

    Outputs `may_exist` if it may continue a job that failed after it had published them.

    Raises:
        InputError: an output, an input or the plan is refused; the message says which and why.
        StoreError: an input cannot be read, or an output cannot be written.
        StoreTimeout: the file system of an input or an output does not answer.
    """
    roots = roots_of(settings.roots, options.tenant)
    given: Mapping[str, Any] = outputs
    # the planner refuses what is not lazy
    fitting = {path: _fitting(path, node) if isinstance(node, Node) else node for path, node in given.items()}
    planned = make_plan(fitting, plan_options)
    plan, job_id, arrays = planned.plan, secrets.token_hex(6), planned.lowered.arrays
    inputs = [url for node, url in plan.sources if node not in arrays]
    scratch = str(stores.local_path(options.scratch)) if options.scratch else ""
    paths = [stores.local_path(path) for path in (*outputs, *inputs)]
    stores.check_answers([*paths, *roots, *filter(None, [scratch])], settings.store_timeout_s)
    for path in outputs:
        stores.check_output(path, overwrite=options.overwrite or may_exist, roots=roots)
    targets, files = _destinations(planned, job_id, options)
    first = stores.local_path(next(iter(outputs)))
    identities = {f"array {node}": stores.content_identity(array) for node, array in arrays.items()}
    identities |= {url: stores.identity(url, roots=roots) for url in inputs}
    manifest = Manifest(
        job_id,
        plan,
        str(workspace_root(first.parent, job_id)),
        replace(options, scratch=scratch),
        targets,
        files,
        names={str(path): str(stores.local_path(path)) for path in outputs},
        inputs=identities,
        versions=versions_of(plan),
        plan_digest=digest_of(plan, plan_options.block_shape),
    )
    prepared = Prepared(manifest, arrays, roots)
    prepared.context()  # refuses scratch outside the roots
    return prepared


def _fitting(path: str, node: Node) -> Node:
    """The node that gives an output in the form that its file holds: the pixels of an image of one axis may be a list.

    Raises:
        InputError: the file cannot hold the output.
    """
    suffix = stores.local_path(path).suffix.lower()
    is_table = suffix in stores.TABLE_SUFFIXES
    if node.gives == "image" and (is_table or suffix == stores.VALUE_SUFFIX):
        if node.ndim > 1 or node.shape[0] > MAX_LISTED_PX:
            kind = "a table format" if is_table else "a format of values"
            raise InputError(f"{path} is {kind} and {node!r} is an image; write it to .zarr, .npy, .tif or .png")
        node = make("lepton.listed", image=node)
    _check_format(path, node, is_table=is_table)
    return node


def _check_format(path: str, node: Node, *, is_table: bool) -> None:
    if node.gives == "image":
        stores.check_dtype(path, node.shape, node.dtype)
    if node.gives == "value":
        stores.check_value(path, node.shape, node.dtype)
    if node.gives == "table" and not is_table:
        raise InputError(f"{path} is no table format and {node!r} is a table; write it to .csv or .parquet")
    if node.gives == "table" and node.dtype == object:
        raise InputError(
            f"{path} takes numbers, and {node!r} has columns of arrays or slices (coords, image, slice …); "
            "leave those properties out, or take the table with lepton.compute"
        )


def _destinations(
    planned: Planned, job_id: str, options: JobOptions
) -> tuple[dict[int, tuple[Target, ...]], dict[str, int]]:
    """The targets of image outputs, by node, and the node of each table or value output, by path."""
    plan, axes = planned.plan, axes_of(planned.plan.nodes, planned.lowered.axes)
    targets: dict[int, tuple[Target, ...]] = {}
    files: dict[str, int] = {}
    for path, index in plan.outputs.items():
        node, absolute = plan.nodes[index], str(stores.local_path(path))
        if node.gives == "image":
            block, known = plan.block_of(index), axes.get(index, ())
            target = Target(absolute, node.shape, node.dtype, block, job_id, options.overwrite, known)
            stores.array_output(target)  # refuses blocks that the format cannot hold
            targets[index] = (*targets.get(index, ()), target)
        else:
            files[absolute] = index
    return targets, files


def record(manifest: Manifest, ledger: Ledger, number: StageNumber, settings: Settings) -> None:
    """Record a job in the ledger, paused, with the stage `number` open; its manifest is signed with the first key.

    The current span of OpenTelemetry is what the job's trace continues.
    """
    plan, options = manifest.plan, manifest.options
    notifies, trace = options.on_done is not None, current_trace(settings)
    attributes = Attributes(options.rank, options.tenant, notifies, trace, is_paused=True)
    ledger.create(
        manifest.job_id,
        manifest.to_json(settings.secret_key),
        lane=options.lane,
        description=manifest.description,
        attributes=attributes,
        stages=[stage.predicted.wall_s for stage in plan.stages],
        blocks=len(plan.stage_of(number).grid),
        number=number,
    )


def for_workers(prepared: Prepared) -> tuple[Manifest, list[tuple[ArrayReader, Path]]]:
    """The manifest for workers, and the inputs that must be copied into the workspace first, each with its copy's path.

    These are arrays, which exist in this process only, and PNG and JPEG files, which cannot be read by region.
    """
    manifest = prepared.manifest
    nodes = list(manifest.plan.nodes)
    copies: list[tuple[ArrayReader, Path]] = []
    copied: dict[int, str] = {}
    for index, url in manifest.plan.sources:
        is_array = url == ARRAY_URL
        reader: ArrayReader = (
            stores.MemoryReader(prepared.arrays[index]) if is_array else stores.open_array(url, roots=prepared.roots)
        )
        if is_array or stores.needs_ingest(reader):
            copy = Path(manifest.workspace) / f"input{index}.npy"
            copies.append((reader, copy))
            copied |= {} if is_array else {index: url}
            nodes[index] = replace(nodes[index], arguments={"url": str(copy)})
    return replace(manifest, plan=replace(manifest.plan, nodes=tuple(nodes)), copied=copied), copies
