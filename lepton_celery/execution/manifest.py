"""What the ledger keeps of a job: its plan, and where its inputs, outputs and workspace are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from lepton_celery import stores
from lepton_celery.catalogue.shared.functions import check_allowed
from lepton_celery.errors import InputError
from lepton_celery.execution.steps import Context
from lepton_celery.planning.plan import PLAN_VERSION, Plan, functions_of, sources_of
from lepton_celery.stores.base import Target
from lepton_celery.stores.journal import Journal
from lepton_celery.stores.workspace import DiskWorkspace

MANIFEST_VERSION = 3

OnError = Literal["fail", "fill"]

_PACKAGES = ("lepton-celery", "numpy", "scikit-image", "scipy")
"""What decides the pixels."""


@dataclass(frozen=True)
class Manifest:
    """A job as plain data: any worker can take part with this alone."""

    job_id: str
    plan: Plan
    workspace: str
    """Directory of the job's intermediate files."""
    targets: dict[int, tuple[Target, ...]] = field(default_factory=dict)
    """Where image outputs go, by node."""
    files: dict[str, int] = field(default_factory=dict)
    """Path of each table or value output, and its node."""
    overwrite: bool = False
    names: dict[str, str] = field(default_factory=dict)
    """Each output's path as the user gave it, and the absolute path."""
    lane: str = "default"
    called: str = ""
    """What the user calls the job."""
    on_error: OnError = "fail"
    """What becomes of the job when one of its blocks cannot be done."""
    fill_value: float = 0.0
    """Pixels of blocks that were given up, with `on_error="fill"`."""
    inputs: dict[str, str] = field(default_factory=dict)
    """Identity of each input when the job was submitted, by URL."""
    versions: dict[str, str] = field(default_factory=dict)
    """Of the packages and the user's own functions that decide the pixels."""
    plan_digest: str = ""
    """Stands for the plan as it was made, before inputs were copied for workers."""
    scratch: str = ""
    """Directory for the images that pass between stages; empty: the workspace."""

    def to_json(self) -> dict[str, Any]:
        return {
            "version": MANIFEST_VERSION,
            "job_id": self.job_id,
            "plan": self.plan.to_json(),
            "workspace": self.workspace,
            "targets": {str(node): [target.to_json() for target in found] for node, found in self.targets.items()},
            "files": self.files,
            "overwrite": self.overwrite,
            "names": self.names,
            "lane": self.lane,
            "called": self.called,
            "on_error": self.on_error,
            "fill_value": self.fill_value,
            "inputs": self.inputs,
            "versions": self.versions,
            "plan_digest": self.plan_digest,
            "scratch": self.scratch,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Manifest:
        """The manifest that `to_json` wrote.

        Raises:
            InputError: it was written by another version.
        """
        if document.get("version") != MANIFEST_VERSION:
            raise InputError(
                f"the job's manifest has version {document.get('version')!r}, this process reads version "
                f"{MANIFEST_VERSION}; run the same release of lepton-celery on all machines"
            )
        return cls(
            job_id=document["job_id"],
            plan=Plan.from_json(document["plan"]),
            workspace=document["workspace"],
            targets={
                int(node): tuple(Target.from_json(target) for target in found)
                for node, found in document["targets"].items()
            },
            files=dict(document["files"]),
            overwrite=document["overwrite"],
            names=dict(document["names"]),
            lane=document["lane"],
            called=document["called"],
            on_error=document["on_error"],
            fill_value=document["fill_value"],
            inputs=dict(document["inputs"]),
            versions=dict(document["versions"]),
            plan_digest=document["plan_digest"],
            scratch=document["scratch"],
        )

    def context(
        self, roots: tuple[Path, ...] = (), functions: tuple[str, ...] | None = None, *, kernels: bool = False
    ) -> Context:
        """What the steps work with; paths outside `roots` are refused, and functions that `functions` does not allow.

        `kernels`: whether compiled kernels are used, where there are any.

        Raises:
            InputError: the workspace, the scratch or an output lies outside the roots, or a function is not allowed.
        """
        scratch = [self.scratch] if self.scratch else []
        for path in (self.workspace, *scratch, *self.output_paths()):
            stores.check_allowed(stores.local_path(path), roots)
        if functions is not None:
            for path in functions_of(self.plan):
                check_allowed(path, functions)
        workspace = DiskWorkspace(Path(self.workspace), self.job_id, Path(self.scratch) if self.scratch else None)
        return Context(self.plan, workspace, self.targets, roots, kernels=kernels)

    def output_paths(self) -> list[str]:
        """The final names of all outputs."""
        return [*(target.path for found in self.targets.values() for target in found), *self.files]

    @property
    def title(self) -> str:
        """What the job is called: by its outputs where nobody named it."""
        return self.called or ", ".join(Path(path).name for path in self.output_paths())

    @property
    def journal(self) -> Journal:
        """Where the job's receipts are written down beside its outputs."""
        return Journal(Path(self.workspace))

    def check_inputs(self) -> None:
        """Notice an input that is not what it was when the job was submitted.

        Raises:
            InputError: which, what it was and what it is.
        """
        for _, url in sources_of(self.plan):
            before = self.inputs.get(url)
            if before is not None and (now := stores.identity(url)) != before:
                raise InputError(
                    f"the input {url} has changed since the job was submitted ({before}, now {now}); parts of two images "
                    "would be mixed: submit the job again, and write new images under new names"
                )

    def differences(self, other: Manifest) -> list[str]:
        """What another job would do differently, in words; none: the same pixels into the same files."""
        found = [
            f"the input {url} ({self.inputs.get(url, 'none')}, now {other.inputs.get(url, 'none')})"
            for url in sorted(self.inputs.keys() | other.inputs.keys())
            if self.inputs.get(url) != other.inputs.get(url)
        ]
        found += [
            f"the version of {name} ({self.versions.get(name, 'none')}, now {other.versions.get(name, 'none')})"
            for name in sorted(self.versions.keys() | other.versions.keys())
            if self.versions.get(name) != other.versions.get(name)
        ]
        if self.plan_digest != other.plan_digest:
            found.append("the functions, their parameters or the blocks")
        if sorted(self.names.values()) != sorted(other.names.values()):
            found.append("the outputs")
        if (self.on_error, self.fill_value) != (other.on_error, other.fill_value):
            found.append("what becomes of blocks that cannot be done")
        return found

    def result(self, seams: Mapping[str, float]) -> dict[str, Any]:
        """What the ledger keeps of a finished job."""
        return {"outputs": self.output_paths(), "seams": dict(seams)}


def digest_of(plan: Plan, block_shape: tuple[int, ...] | None) -> str:
    """A short text that changes with what a plan computes, and with the blocks that were asked for.

    Blocks that the planner chose are left out: it may choose others another day, and a job that goes on keeps its own.
    """
    document = {
        "version": PLAN_VERSION,
        "nodes": plan.nodes_json(),
        "outputs": plan.outputs,
        "block_shape": block_shape,
    }
    return blake2b(json.dumps(document, sort_keys=True).encode(), digest_size=16).hexdigest()


@cache
def _package_versions() -> Mapping[str, str]:
    return {name: version(name) for name in _PACKAGES}


def versions_of(plan: Plan) -> dict[str, str]:
    """The versions of what decides the pixels: packages, and the files of the user's own functions."""
    found = dict(_package_versions())
    for function in functions_of(plan):
        module = function.partition(":")[0]
        try:
            spec = find_spec(module)
        except ModuleNotFoundError:  # only the workers have it
            continue
        if spec is not None and spec.origin is not None and Path(spec.origin).is_file():
            found[module] = blake2b(Path(spec.origin).read_bytes(), digest_size=8).hexdigest()
    return found
