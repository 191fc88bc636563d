"""What the ledger keeps of a job: its plan, and where its inputs, outputs and workspace are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lepton_celery import stores
from lepton_celery.errors import InputError
from lepton_celery.operations.user import check_allowed
from lepton_celery.plan import Plan, functions_of
from lepton_celery.steps import Context
from lepton_celery.stores.base import Target
from lepton_celery.workspace import DiskWorkspace

MANIFEST_VERSION = 1


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
        )

    def context(self, roots: tuple[Path, ...] = (), functions: tuple[str, ...] | None = None) -> Context:
        """What the steps work with; paths outside `roots` are refused, and functions that `functions` does not allow.

        Raises:
            InputError: the workspace or an output lies outside the roots, or a function is not allowed.
        """
        for path in (self.workspace, *self.output_paths()):
            stores.check_allowed(stores.local_path(path), roots)
        if functions is not None:
            for path in functions_of(self.plan):
                check_allowed(path, functions)
        return Context(self.plan, DiskWorkspace(Path(self.workspace), self.job_id), self.targets, roots)

    def output_paths(self) -> list[str]:
        """The final names of all outputs."""
        return [*(target.path for found in self.targets.values() for target in found), *self.files]

    @property
    def title(self) -> str:
        """The outputs' names: what the job is called where nobody named it."""
        return ", ".join(Path(path).name for path in self.output_paths())

    def result(self, seams: Mapping[str, float]) -> dict[str, Any]:
        """What the ledger keeps of a finished job."""
        return {"outputs": self.output_paths(), "seams": dict(seams)}
