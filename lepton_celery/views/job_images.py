"""The images that a job reads and writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lepton_celery.execution.manifest import Manifest
from lepton_celery.stores.base import Target
from lepton_celery.text import shown

Role = Literal["input", "output"]


@dataclass(frozen=True, slots=True)
class JobImage:
    """An image that a job reads or writes."""

    picture: str
    """Its name among the pictures of the job: `input-1`, `output-2`."""
    role: Role
    title: str
    """The name of its file."""
    path: str
    """Where it is, as text for people."""


@dataclass(frozen=True, slots=True)
class JobImages:
    """The images of a job, inputs first. Tables and values are none."""

    shown: tuple[JobImage, ...]
    arrays: int
    """Number of inputs that came with the job as arrays: their files are removed when it ends."""
    paths: Mapping[str, str]
    """Where each image is, by its name among the pictures."""
    targets: Mapping[str, Target]
    """The targets of the outputs."""


def images_of(manifest: Manifest) -> JobImages:
    """The images of a job."""
    # not the sources of the plan: workers read PNG and JPEG files from copies, which are gone when the job is done
    files = [path for path in manifest.inputs if Path(path).is_absolute()]
    targets = {
        f"output-{number}": target
        for number, target in enumerate((one for node in manifest.targets.values() for one in node), 1)
    }
    paths = {f"input-{number}": path for number, path in enumerate(files, 1)}
    paths |= {name: target.path for name, target in targets.items()}
    images = tuple(
        JobImage(name, "output" if name in targets else "input", shown(_title(path)), shown(path))
        for name, path in paths.items()
    )
    return JobImages(images, len(manifest.inputs) - len(files), paths, targets)


def _title(path: str) -> str:
    """The name of a file; of an array in a Zarr group, with the name of the group."""
    here = Path(path)
    group = next((folder for folder in here.parents if folder.suffix.lower() == ".zarr"), None)
    return here.name if group is None else str(here.relative_to(group.parent))
