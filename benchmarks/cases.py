"""The measured cases: a workload, a size, a block, a file format, and the systems that take part."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Self
from uuid import uuid4

Format = Literal["npy", "zarr"]


@dataclass(frozen=True)
class Case:
    """One table of the document."""

    name: str
    workload: str
    """Key of `workloads.WORKLOADS`."""
    shape: tuple[int, ...]
    """Shape of the input without channels."""
    block: tuple[int, ...]
    systems: tuple[str, ...]
    """Systems that take part. The outputs of the first one are the reference for the others."""
    format: Format = "npy"
    batch: int = 1
    """Blocks per task of the batched systems."""
    note: str = ""
    """A remark for the document."""

    @property
    def counts(self) -> tuple[int, ...]:
        """Blocks along each axis."""
        return tuple(-(-n // b) for n, b in zip(self.shape, self.block, strict=True))

    @property
    def blocks(self) -> int:
        return math.prod(self.counts)

    def core(self, index: int) -> tuple[slice, ...]:
        """The pixels that a block owns."""
        position = []
        for count in reversed(self.counts):
            index, at = divmod(index, count)
            position.append(at)
        return tuple(
            slice(at * b, min((at + 1) * b, n))
            for at, b, n in zip(reversed(position), self.block, self.shape, strict=True)
        )

    def read(self, index: int, halo: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
        """The region that a block reads, clipped at the image's edges, and the block's own pixels within that region."""
        core = self.core(index)
        wide = tuple(
            slice(max(0, s.start - halo), min(n, s.stop + halo)) for s, n in zip(core, self.shape, strict=True)
        )
        within = tuple(slice(c.start - w.start, c.stop - w.start) for c, w in zip(core, wide, strict=True))
        return wide, within

    def tiny(self, along: int = 2) -> Case:
        """The same work on few pixels, to warm up: `along` blocks along each of the first two axes."""
        block = tuple(min(b, 32) for b in self.block)
        shape = tuple(b * (along if axis < 2 else 1) for axis, b in enumerate(block))
        return replace(self, name=f"{self.name}-tiny", shape=shape, block=block, batch=min(self.batch, 4))


@dataclass(frozen=True)
class Task:
    """One run of one case by one system, with the paths of its input and outputs."""

    case: Case
    work: Path
    """Folder of the inputs."""
    out: Path
    """A new, empty folder for the outputs."""
    scratch: Path = field(init=False)
    """Folder for the files that the hand-written stages pass on."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "scratch", self.out / "scratch")

    @classmethod
    def new(cls, case: Case, work: Path) -> Self:
        """A task with a new folder in `work` for its outputs."""
        out = work / f"out-{uuid4().hex[:8]}"
        out.mkdir()
        return cls(case, work, out)

    @property
    def source(self) -> Path:
        """Path of the input."""
        size, block = ("x".join(map(str, lengths)) for lengths in (self.case.shape, self.case.block))
        return self.work / f"{self.case.workload}-{size}-{block}.{self.case.format}"

    def output(self, name: str) -> Path:
        """Path of an image output."""
        return self.out / f"{name}.{self.case.format}"

    def to_json(self) -> str:
        return json.dumps({"case": asdict(self.case), "work": str(self.work), "out": str(self.out)})

    @classmethod
    def from_json(cls, text: str) -> Self:
        found = json.loads(text)
        return cls(case_from(found["case"]), Path(found["work"]), Path(found["out"]))


def case_from(values: dict[str, Any]) -> Case:
    """Restore a case from JSON, which turns tuples into lists."""
    found: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return Case(**found)


@lru_cache(maxsize=64)
def task_from(text: str) -> Task:
    """Restore a task from JSON. Workers get the same text with each block, hence the cache."""
    return Task.from_json(text)


_FAST = ("a", "f", "c", "er", "h", "lepton", "inline")
"""Systems that are quick enough for large images."""
_ZARR = ("a", "f", "c", "dz", "lepton", "inline")
_NAIVE = ("a", "f", "g", "lepton")
_SMALL = "a smaller image for slow systems, with the same references"

FULL = (
    Case("W1", "W1", (6144, 4096), (1024, 1024), _FAST),
    Case("W1 small", "W1", (2048, 2048), (512, 512), ("a", "f", "dz", "g", "lepton"), note=_SMALL),
    Case("W1 Zarr", "W1", (4096, 4096), (1024, 1024), _ZARR, "zarr"),
    Case("W1 Zarr small", "W1", (2048, 2048), (512, 512), _NAIVE, "zarr", note=_SMALL),
    Case("W2", "W2", (384, 384), (96, 96), ("a", "f", "h", "lepton")),
    Case("W2 small", "W2", (192, 192), (48, 48), ("a", "f", "c", "dz", "er", "g", "lepton", "inline"), note=_SMALL),
    Case("W2 Zarr", "W2", (192, 192), (48, 48), ("a", "f", "c", "dz", "g", "lepton", "inline"), "zarr"),
    Case("W3", "W3", (6144, 6144), (1024, 1024), ("a", "f", "er", "h", "lepton", "inline")),
    Case("W3 small", "W3", (1024, 1024), (512, 512), ("a", "f", "c", "dz", "g", "lepton"), note=_SMALL),
    Case("W3 Zarr", "W3", (4096, 4096), (1024, 1024), ("a", "f", "er", "lepton", "inline"), "zarr"),
    Case("W3 Zarr small", "W3", (1024, 1024), (512, 512), ("a", "f", "c", "dz", "g", "lepton"), "zarr", note=_SMALL),
    Case("W3t", "W3t", (2048, 2048), (512, 512), ("a", "f", "er", "h", "lepton", "inline")),
    Case("W3t small", "W3t", (1024, 1024), (256, 256), ("a", "f", "g", "lepton"), note=_SMALL),
    Case("W3t Zarr", "W3t", (1024, 1024), (256, 256), ("a", "f", "er", "g", "lepton", "inline"), "zarr"),
    Case("W4", "W4", (6144, 4096), (1024, 1024), _FAST),
    Case("W4 small", "W4", (2048, 2048), (512, 512), ("a", "f", "dz", "g", "lepton"), note=_SMALL),
    Case("W4 Zarr", "W4", (4096, 4096), (1024, 1024), _ZARR, "zarr"),
    Case("W4 Zarr small", "W4", (2048, 2048), (512, 512), _NAIVE, "zarr", note=_SMALL),
    Case("W5", "W5", (6400, 6400), (64, 64), ("a", "f", "fb", "eb", "hb", "lepton", "inline"), batch=100),
    Case("W5 tasks", "W5", (3072, 3072), (64, 64), ("a", "h", "lepton"), note="h with a task for each block"),
    Case("W5 small", "W5", (1024, 1024), (64, 64), ("a", "f", "c", "dz", "er", "g", "h", "lepton"), note=_SMALL),
    Case("W5 Zarr", "W5", (1024, 1024), (64, 64), ("a", "f", "fb", "c", "g", "lepton"), "zarr", batch=32),
    Case("V1", "V1", (256, 512, 512), (128, 128, 128), _FAST),
    Case("V1 small", "V1", (128, 256, 256), (64, 128, 128), ("a", "f", "dz", "g", "lepton"), note=_SMALL),
    Case("V1 Zarr", "V1", (128, 256, 256), (64, 128, 128), (*_ZARR, "g"), "zarr"),
)
"""The cases of `make bench`, in this order. Every system runs three times within ten minutes on two cores; images have
the full size of their workload where a target refers to the hand-written pool."""

_QUICK = {"W2": 8, "V1": 4}


def quick(case: Case) -> Case:
    """The same case on a small image, to see that everything runs."""
    by = _QUICK.get(case.workload, 8 if max(case.shape) > 2048 else 4)
    # the number of blocks stays, unless blocks would be smaller than halos
    block = tuple(max(16, b // by) for b in case.block)
    shape = tuple(max(2 * b, n // by) for b, n in zip(block, case.shape, strict=True))
    return replace(case, shape=shape, block=block, batch=min(case.batch, 20))


def cases(*, is_quick: bool, workloads: tuple[str, ...] = ()) -> Iterator[Case]:
    """The cases whose name, or its first word, is in `workloads`; all cases if that is empty."""
    for case in FULL:
        if not workloads or case.name in workloads or case.name.partition(" ")[0] in workloads:
            yield quick(case) if is_quick else case
