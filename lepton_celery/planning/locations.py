"""The kinds of stores that a plan's images are in, on which the time to read and write them depends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath

from lepton_celery.grid import StageIndex
from lepton_celery.planning.lowering import ARRAY_URL
from lepton_celery.planning.plan import Plan, PlanNode
from lepton_celery.stores.formats import ARRAY_SUFFIXES

MEMORY = "memory"
"""The kind of arrays of this process."""
NPY = "npy"
"""The kind of memory-mapped .npy files."""
PACKED = "packed"
"""The kind of compressed intermediate images."""
PICTURE = "picture"
"""The kind of PNG and JPEG files."""
DECODED = frozenset({"zarr", "tiff", PACKED})
"""Kinds of stores that decode whole chunks, even for one pixel."""
CACHED = frozenset({"zarr", PACKED})
"""Kinds of stores that cache decoded chunks for the next block."""


@dataclass(frozen=True)
class Locations:
    """The kind of store of each image."""

    chunks: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    """Chunk shapes of the inputs, by node."""
    in_memory: bool = False
    """Whether outputs and intermediate images are arrays of this process."""

    def read_from(self, node: PlanNode) -> str:
        """The kind of store that an input or an intermediate image is read from."""
        if not node.entry.is_source:
            return self.intermediate(node)
        url = str(node.arguments["url"])
        if url == ARRAY_URL:
            return MEMORY if self.in_memory else NPY
        # a picture cannot be read by region, so it is copied to a .npy file before the job begins
        return NPY if is_picture(url) else kind_of(url)

    def intermediate(self, node: PlanNode) -> str:
        """The kind of store of an image that passes between stages."""
        if self.in_memory:
            return MEMORY
        return PACKED if node.entry.labels_blocks else NPY

    def output(self, name: str) -> str:
        """The kind of store that the output `name` is written to."""
        return MEMORY if self.in_memory else kind_of(name)

    def written_to(self, plan: Plan, index: int, stage_index: StageIndex) -> list[str]:
        """The kinds of store that a stage writes an image to."""
        entry = plan.nodes[index].entry
        if entry.is_iterated:
            return [self.intermediate(plan.nodes[index])]
        kinds = [self.output(name) for name, node in plan.outputs.items() if node == index and not entry.labels_blocks]
        if plan.intermediates.get(index) == stage_index:
            kinds.append(self.intermediate(plan.nodes[index]))
        return kinds

    def chunks_of(self, plan: Plan, index: int) -> tuple[int, ...] | None:
        """The chunks that an image is decoded in; None if it is read pixel by pixel."""
        node = plan.nodes[index]
        if self.read_from(node) not in DECODED:
            return None
        return self.chunks.get(index) if node.entry.is_source else plan.block_of(index)


def kind_of(path: str) -> str:
    """The kind of store that a path names."""
    path = path.rstrip("/")
    found = ARRAY_SUFFIXES.get(PurePath(path).suffix.lower(), "zarr" if ".zarr/" in path.lower() else NPY)
    return PICTURE if found in ("png", "jpeg") else found


def is_picture(path: str) -> bool:
    """Whether a path names a format that can only be read whole."""
    return kind_of(path) == PICTURE
