"""The manifest, which the ledger keeps of a job: its plan, its options, its inputs, outputs and workspace."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import blake2b
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from lepton_celery import stores
from lepton_celery.catalogue.shared.functions import check_allowed
from lepton_celery.errors import InputError
from lepton_celery.execution.context import Context
from lepton_celery.execution.on_done import OnDone
from lepton_celery.ledger.info import Description
from lepton_celery.limits import JOB_ID, MAX_ID_CHARS, Count, Owner, Text
from lepton_celery.planning.plan import PLAN_VERSION, SAME_RELEASE, Plan
from lepton_celery.priority import Lane, Rank
from lepton_celery.signing import check_signed, signed
from lepton_celery.stores.base import Target
from lepton_celery.stores.documents import check_version, from_document, to_document
from lepton_celery.stores.journal import Journal
from lepton_celery.stores.roots import roots_of
from lepton_celery.stores.workspace import DiskWorkspace, workspace_root

MANIFEST_VERSION = 5

OnError = Literal["fail", "fill"]

_PACKAGES = ("lepton-celery", "numpy", "scikit-image", "scipy")
"""Packages on whose versions the pixels depend."""


@dataclass(frozen=True)
class JobOptions:
    """Options of a job that do not concern its plan."""

    lane: Lane = "default"
    rank: Rank = 0
    """The job's rank among the jobs of its tenant in the lane."""
    tenant: Text = ""
    """The tenant whose share of the lane the job takes; empty for none."""
    owner: Owner = ""
    """Who asked for the job; empty if nobody said so."""
    title: Text = ""
    """The user's name for the job; empty to use the names of its outputs."""
    overwrite: bool = False
    """Whether outputs may replace files of the same names."""
    on_error: OnError = "fail"
    """Whether the job fails when a block cannot be done, or the block is filled."""
    fill_value: float = 0.0
    """Value of the pixels of filled blocks, with `on_error="fill"`."""
    retry_of: Text = ""
    """The job that this one does again; empty for none."""
    scratch: str = ""
    """Directory for the images that pass between stages; empty for the workspace."""
    on_done: OnDone | None = None
    """The tasks that are sent when the job has ended; None for none."""


@dataclass(frozen=True)
class Manifest:
    """A job as plain data: all that a worker needs to take part in it."""

    job_id: str
    plan: Plan
    workspace: str
    """Directory of the job's intermediate files."""
    options: JobOptions = field(default_factory=JobOptions)
    targets: dict[Count, tuple[Target, ...]] = field(default_factory=dict)
    """Targets of image outputs, by node."""
    files: dict[Text, Count] = field(default_factory=dict)
    """The node of each table or value output, by path."""
    names: dict[Text, Text] = field(default_factory=dict)
    """The absolute path of each output, by the path that the user gave."""
    copied: dict[Count, Text] = field(default_factory=dict)
    """The URL of each input that is a file and was copied into the workspace, by node."""
    inputs: dict[str, str] = field(default_factory=dict)
    """Identity of each input when the job was submitted, by URL."""
    versions: dict[str, str] = field(default_factory=dict)
    """Versions of the packages and of the user's own functions on which the pixels depend."""
    plan_digest: str = ""
    """Digest of the plan as it was made, before inputs were copied for workers."""

    def to_json(self, keys: Sequence[str] = ()) -> dict[str, Any]:
        """The manifest as plain JSON values, signed with the first of the secret keys if there are any."""
        without_plan = to_document(replace(self, plan=_NO_PLAN))
        document = {"version": MANIFEST_VERSION, **without_plan, "plan": self.plan.to_json()}
        return signed(document, _PURPOSE, keys)

    @classmethod
    def from_json(cls, document: Mapping[str, Any], keys: Sequence[str] = (), job_id: str = "") -> Manifest:
        """The manifest that `to_json` wrote. Everything in it is checked, because anybody may have written it.

        Args:
            keys: secret keys, one of which must have signed it; empty to accept all.
            job_id: the job under whose id it was found; empty if that is not known.

        Raises:
            InputError: no key has signed it, another version wrote it, or it is damaged.
        """
        check_signed(document, _PURPOSE, keys, _WHAT)
        check_version(document, MANIFEST_VERSION, _WHAT, SAME_RELEASE)
        without_plan = {**document, "plan": to_document(_NO_PLAN)}
        manifest = from_document(without_plan, cls, _WHAT)
        manifest = replace(
            manifest, plan=Plan.from_json(from_document(document.get("plan"), dict[str, Any], "the plan"))
        )
        for problem in _problems(manifest, job_id or manifest.job_id):
            raise InputError(f"{_WHAT} is damaged: {problem}; it was changed by hand or by another release")
        return manifest

    def context(
        self, roots: tuple[Path, ...] = (), functions: tuple[str, ...] | None = None, *, kernels: bool = False
    ) -> Context:
        """The job in this process.

        Args:
            roots: directories that the job's files must lie in, where `{tenant}` is the job's; empty for all.
            functions: patterns of the user's own functions that are allowed; None for all.
            kernels: whether compiled kernels are used where they exist.

        Raises:
            InputError: the workspace, the scratch or an output lies outside the roots, or a function is not allowed.
        """
        roots, scratch = roots_of(roots, self.options.tenant), self.options.scratch
        for path in filter(None, (self.workspace, scratch, *self.output_paths())):
            stores.check_allowed(stores.local_path(path), roots)
        for function in self.plan.functions if functions is not None else ():
            check_allowed(function, functions or ())
        workspace = DiskWorkspace(Path(self.workspace), self.job_id, Path(scratch) if scratch else None, roots)
        return Context(self.plan, workspace, self.targets, roots, files=self.files, job_id=self.job_id, kernels=kernels)

    def output_paths(self) -> list[str]:
        """The final names of all outputs."""
        return [*(target.path for targets in self.targets.values() for target in targets), *self.files]

    @property
    def title(self) -> str:
        """The user's name for the job, or the names of its outputs."""
        return self.options.title or ", ".join(Path(path).name for path in self.output_paths())

    @property
    def description(self) -> Description:
        """What only people read of the job."""
        return Description(self.title, self.options.owner, self.options.retry_of)

    def journal(self, roots: tuple[Path, ...] = ()) -> Journal:
        """The journal of the job's receipts, in its workspace, which must lie in `roots`; empty for any folder."""
        return Journal(Path(self.workspace), roots_of(roots, self.options.tenant))

    def check_inputs(self, roots: tuple[Path, ...] = ()) -> None:
        """Refuse an input that has changed since the job was submitted.

        Raises:
            InputError: an input lies outside the roots.
            InputError: an input has changed; the message says which, what it was and what it is.
        """
        roots = roots_of(roots, self.options.tenant)
        for _, url in self.plan.sources:
            before = self.inputs.get(url)
            if before is not None and (now := stores.identity(url, roots=roots)) != before:
                raise InputError(
                    f"the input {url} has changed since the job was submitted ({before}, now {now}); parts of two images "
                    "would be mixed: submit the job again, and write new images under new names"
                )

    def differences(self, other: Manifest) -> list[str]:
        """The differences from another job as texts; empty if both write the same pixels to the same files."""
        differences = _changes("the input {}", self.inputs, other.inputs)
        differences += _changes("the version of {}", self.versions, other.versions)
        if self.plan_digest != other.plan_digest:
            differences.append("the functions, their parameters or the blocks")
        if sorted(self.names.values()) != sorted(other.names.values()):
            differences.append("the outputs")
        ours, theirs = self.options, other.options
        if (ours.on_error, ours.fill_value) != (theirs.on_error, theirs.fill_value):
            differences.append("the treatment of blocks that cannot be done")
        return differences


_NO_PLAN = Plan((), (), {})
_WHAT = "the job's manifest"
"""The manifest in error messages."""
_PURPOSE = "manifest"
"""What a manifest's signature is for."""


def _problems(manifest: Manifest, job_id: str) -> Iterator[str]:
    """What does not belong into the manifest of this job."""
    if not JOB_ID.fullmatch(manifest.job_id) or manifest.job_id != job_id:
        yield f"its job id is {manifest.job_id[:MAX_ID_CHARS]!r}"
    folder = Path(manifest.workspace)
    if folder != workspace_root(folder.parent, manifest.job_id) or not folder.is_absolute() or ".." in folder.parts:
        yield f"its workspace {manifest.workspace!r} is no folder of this job"
    if manifest.options.scratch and not Path(manifest.options.scratch).is_absolute():
        yield f"its scratch {manifest.options.scratch!r} is no absolute path"
    nodes = manifest.plan.nodes
    for number, targets in manifest.targets.items():
        for target in targets:
            if number >= len(nodes) or target.shape != nodes[number].shape or target.job_id != manifest.job_id:
                yield f"node {number} is not the image of {target.path!r}"
    if any(number >= len(nodes) for number in manifest.files.values()):
        yield f"its files name nodes up to {max(manifest.files.values())}, of {len(nodes)}"


def _changes(template: str, ours: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    """The entries in which two mappings differ, as texts."""
    return [
        f"{template.format(name)} ({ours.get(name, 'none')}, now {theirs.get(name, 'none')})"
        for name in sorted(ours.keys() | theirs.keys())
        if ours.get(name) != theirs.get(name)
    ]


def digest_of(plan: Plan, block_shape: tuple[int, ...] | None) -> str:
    """A digest of the nodes and outputs of a plan, and of the block shape that the user gave.

    A block shape that the planner chose is left out: the planner may choose another one later, and a resumed job keeps its
    own.
    """
    content = {"version": PLAN_VERSION, "nodes": plan.nodes_json(), "outputs": plan.outputs, "block_shape": block_shape}
    return blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()


_installed = cache(version)


def versions_of(plan: Plan) -> dict[str, str]:
    """The versions of the packages, and digests of the modules of the user's own functions."""
    versions = {name: _installed(name) for name in _PACKAGES}
    for function in plan.functions:
        module = function.partition(":")[0]
        try:
            spec = find_spec(module)
        except ModuleNotFoundError:  # installed on workers only
            continue
        if spec is not None and spec.origin is not None and Path(spec.origin).is_file():
            versions[module] = blake2b(Path(spec.origin).read_bytes(), digest_size=8).hexdigest()
    return versions
