"""What is measured: a workload, a size, a block, a file format, and the systems that take part."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Self

Format = Literal["npy", "zarr"]


@dataclass(frozen=True)
class Case:
    """One row of the plot, one table of the document."""

    name: str
    workload: str
    """Key of `workloads.WORKLOADS`."""
    shape: tuple[int, ...]
    """Of the input, without channels."""
    block: tuple[int, ...]
    systems: tuple[str, ...]
    """Those that take part; the first one's outputs are what those of the others are compared with."""
    format: Format = "npy"
    batch: int = 1
    """Blocks of one task, for the systems that batch."""
    note: str = ""
    """What is not as in the other cases, in words."""

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
        """The pixels that a block reads, clipped at the image's edges, and where its own are among them."""
        core = self.core(index)
        wide = tuple(
            slice(max(0, s.start - halo), min(n, s.stop + halo)) for s, n in zip(core, self.shape, strict=True)
        )
        within = tuple(slice(c.start - w.start, c.stop - w.start) for c, w in zip(core, wide, strict=True))
        return wide, within

    def tiny(self, along: int = 2) -> Case:
        """The same work on a few pixels, so that what is loaded when first used is loaded before the clock runs.

        There are `along` blocks along each of the first two axes.
        """
        block = tuple(min(b, 32) for b in self.block)
        shape = tuple(b * (along if axis < 2 else 1) for axis, b in enumerate(block))
        return replace(self, name=f"{self.name}-tiny", shape=shape, block=block, batch=min(self.batch, 4))


@dataclass(frozen=True)
class Task:
    """One run of one case by one system: where its input is, where its outputs go."""

    case: Case
    work: Path
    """Holds the inputs."""
    out: Path
    """A new, empty folder."""
    scratch: Path = field(init=False)
    """What passes between the stages of systems that do not keep it themselves."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "scratch", self.out / "scratch")

    @property
    def source(self) -> Path:
        """The input."""
        size, block = ("x".join(map(str, lengths)) for lengths in (self.case.shape, self.case.block))
        return self.work / f"{self.case.workload}-{size}-{block}.{self.case.format}"

    def output(self, name: str) -> Path:
        """An image output; tables are folders of columns."""
        return self.out / f"{name}.{self.case.format}"

    def to_json(self) -> str:
        return json.dumps({"case": asdict(self.case), "work": str(self.work), "out": str(self.out)})

    @classmethod
    def from_json(cls, text: str) -> Self:
        found = json.loads(text)
        return cls(case_from(found["case"]), Path(found["work"]), Path(found["out"]))


def case_from(values: dict[str, Any]) -> Case:
    """A case from JSON, which knows no tuples."""
    found: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return Case(**found)


@lru_cache(maxsize=64)
def task_from(text: str) -> Task:
    """A task as workers get it, block after block."""
    return Task.from_json(text)


_FAST = ("a", "f", "c", "er", "h", "lepton", "inline")
"""Systems that are quick enough for large pictures."""
_ZARR = ("a", "f", "c", "dz", "lepton", "inline")
_NAIVE = ("a", "f", "g", "lepton")
_SMALL = "a smaller picture for the systems that take long, beside the same references"

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
"""What `make bench` measures, in that order. Pictures are as small as lets every system be measured three times within
ten minutes on two cores, and of the workload's own size where a target is set against the hand-written pool."""

_QUICK = {"W2": 8, "V1": 4}


def quick(case: Case) -> Case:
    """The same on a fraction of the lengths: to see that everything runs, not to measure."""
    by = _QUICK.get(case.workload, 8 if max(case.shape) > 2048 else 4)
    # blocks of the same number, unless they would be smaller than halos
    block = tuple(max(16, b // by) for b in case.block)
    shape = tuple(max(2 * b, n // by) for b, n in zip(block, case.shape, strict=True))
    return replace(case, shape=shape, block=block, batch=min(case.batch, 20))


def cases(*, is_quick: bool, workloads: tuple[str, ...] = ()) -> Iterator[Case]:
    """The cases of the workloads asked for (all, when none are), by the first word of their names."""
    for case in FULL:
        if not workloads or case.name in workloads or case.name.partition(" ")[0] in workloads:
            yield quick(case) if is_quick else case
