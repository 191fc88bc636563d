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

FAST = ("a", "f", "c", "h", "er", "lepton", "inline")
"""Systems that take part everywhere they can."""


@dataclass(frozen=True)
class Case:
    """One row of the plot, one table of the document."""

    name: str
    workload: str
    """Key of `workloads.WORKLOADS`."""
    shape: tuple[int, ...]
    """Of the input, without channels."""
    block: tuple[int, ...]
    systems: tuple[str, ...] = FAST
    format: Format = "npy"
    repeat: int = 99
    """Most runs of a system, for cases that take long."""
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

    def tiny(self) -> Case:
        """The same work on a few pixels, so that what is loaded when first used is loaded before the clock runs."""
        block = tuple(min(b, 32) for b in self.block)
        shape = tuple(b * (4 if axis < 2 else 1) for axis, b in enumerate(block))
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
        size = "x".join(map(str, self.case.shape))
        return self.work / f"{self.case.workload}-{size}.{self.case.format}"

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


_ZARR = ("a", "f", "c", "dz", "h", "lepton", "inline")
_LONG = "takes long: once only"
_SLOW = "a smaller picture for systems that take minutes on the large one, each beside the same references"

FULL = (
    Case("W1", "W1", (8192, 8192), (1024, 1024)),
    Case("W4", "W4", (8192, 8192), (1024, 1024)),
    Case("V1", "V1", (256, 512, 512), (128, 128, 128)),
    Case("W5", "W5", (6400, 6400), (64, 64), ("a", "f", "fb", "eb", "hb", "lepton", "inline"), batch=100),
    Case("W2", "W2", (768, 768), (192, 192), ("a", "f", "c", "h", "lepton", "inline"), repeat=1, note=_LONG),
    Case("W1 Zarr", "W1", (8192, 8192), (1024, 1024), _ZARR, "zarr", repeat=2),
    Case("W4 Zarr", "W4", (8192, 8192), (1024, 1024), _ZARR, "zarr", repeat=2),
    Case("W3", "W3", (8192, 8192), (1024, 1024), ("a", "f", "h", "er", "lepton", "inline")),
    Case("W3t", "W3t", (8192, 8192), (1024, 1024), ("a", "f", "h", "lepton", "inline"), repeat=1, note=_LONG),
    Case("W1 small", "W1", (4096, 4096), (1024, 1024), ("a", "f", "g", "lepton"), repeat=1, note=_SLOW),
    Case("W4 small", "W4", (4096, 4096), (1024, 1024), ("a", "f", "g", "lepton"), repeat=1, note=_SLOW),
    Case("W5 small", "W5", (2048, 2048), (64, 64), ("a", "f", "c", "g", "h", "er", "lepton"), repeat=1, note=_SLOW),
    Case("W3 small", "W3", (2048, 2048), (512, 512), ("a", "f", "c", "dz", "lepton"), repeat=1, note=_SLOW),
)
"""What `make bench` measures, in the order of the run: what leaves most memory behind comes last."""

_QUICK = {"W2": 12, "V1": 4}


def quick(case: Case) -> Case:
    """The same on a sixteenth of the lengths or so: to see that everything runs, not to measure."""
    by = _QUICK.get(case.workload, 8)
    shape = tuple(max(64, n // by) for n in case.shape)
    block = tuple(max(16, b // by) for b in case.block)
    return replace(case, shape=shape, block=block, batch=min(case.batch, 20))


def cases(*, is_quick: bool, workloads: tuple[str, ...] = ()) -> Iterator[Case]:
    """The cases of the workloads asked for (all, when none are), by the first word of their names."""
    for case in FULL:
        if not workloads or case.name in workloads or case.name.partition(" ")[0] in workloads:
            yield quick(case) if is_quick else case
