"""A plan: the graph lowered to stages, ready to run on either engine.

A stage is all the work between two barriers. A barrier is a whole-image value (an extent, a histogram, the joined labels):
what needs it can only begin when every block has been seen. Within a stage the functions are fused: each block reads its
inputs once, with the halo that all its functions need together, and stores only results.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from lepton_celery.catalogue import get_entry
from lepton_celery.catalogue.entries import Entry, Iterated, Labelling, Local, Reduction, ValueFunction
from lepton_celery.catalogue.source import SOURCE
from lepton_celery.errors import InputError
from lepton_celery.graph.nodes import Node, decode, encode, topological
from lepton_celery.grid import BlockGrid, BlockIndex, Place, Region
from lepton_celery.planning.tiles import TileOrder

PLAN_VERSION = 4


class Ref(NamedTuple):
    """An argument that is another node of the plan."""

    node: int


@dataclass(frozen=True)
class PlanNode:
    """A node of the lowered graph: a source, or an entry that runs as it is."""

    operation: str
    arguments: dict[str, Any]
    """Literals, and `Ref` for nodes."""
    shape: tuple[int, ...]
    dtype: str
    gives: str
    """`image`, `value` or `table`."""

    @property
    def itemsize(self) -> int:
        return np.dtype(self.dtype).itemsize

    def refs(self) -> Iterator[int]:
        return (value.node for value in self.arguments.values() if isinstance(value, Ref))


class Part(NamedTuple):
    """A line of a prediction: one function, or one image read or written, over all blocks of a stage."""

    kind: str
    """As of the cost model's figures."""
    key: str
    """The figure's."""
    node: int
    calls: float
    units: float
    """Pixels or bytes."""
    taps: float
    seconds: float
    """Of one worker process."""


@dataclass(frozen=True)
class Prediction:
    """What a stage is expected to take; bytes and seconds over all its blocks, one worker process."""

    compute_s: float
    communication_s: float
    read_bytes: int
    write_bytes: int
    memory_bytes: int
    """Peak of the arrays that one worker holds."""
    halo: tuple[int, ...]
    """The widest halo read, in pixels of the stage's grid."""
    merge_s: float = 0.0
    """What one process does alone when the blocks are done."""
    wall_s: float = 0.0
    """From the stage's first message to its end, on the plan's workers."""
    halo_times: float = 1.0
    """Bytes read, over those of the images that are read."""
    chunk_times: float = 1.0
    """Bytes decoded, over bytes read: chunks are decoded whole."""
    blocks: int = 0
    """Blocks done, each round counted."""
    parts: tuple[Part, ...] = ()
    """What it adds up from, without the fixed costs of blocks, batches and the stage."""


@dataclass(frozen=True)
class Stage:
    """Blocks that can run in any order, and the merge that follows them."""

    shape: tuple[int, ...]
    """What the stage's grid of blocks tiles."""
    block_shape: tuple[int, ...]
    batch_blocks: int
    """Blocks that one Celery task does."""
    stores: tuple[int, ...]
    """Images each block writes: outputs, and what later stages read back."""
    reduces: tuple[int, ...]
    """Nodes of which each block leaves a partial."""
    values: tuple[int, ...]
    """Whole-image values that the merge finds from others."""
    predicted: Prediction
    combines: tuple[int, ...] = ()
    """Nodes whose partials each block combines into one: those of the blocks of the stage before that lie in it."""
    tile: tuple[int, ...] = ()
    """Blocks along each axis that are done one after the other; none: in C order."""
    together: tuple[int, ...] = ()
    """Blocks along each axis that are read, computed and written at once, where a worker has all of them; none: one."""
    least: int = 1
    """Blocks of a task towards the stage's end, at the least."""

    @cached_property
    def grid(self) -> BlockGrid:
        return BlockGrid(self.shape, self.block_shape)

    @cached_property
    def order(self) -> TileOrder:
        """The order in which the blocks are done; the ledger and messages name blocks by their places in it."""
        return TileOrder(self.grid, self.tile or (1,) * len(self.shape))

    def blocks_of(self, batches: int) -> int:
        """About how many blocks so many batches have; those at the image's edges may be smaller than the others."""
        if not self.tile:
            return batches * self.batch_blocks
        tiles = math.prod(-(-count // n) for count, n in zip(self.grid.counts, self.tile, strict=True))
        return max(batches, batches * len(self.grid) // tiles)

    def boxes(self, places: Iterable[Place]) -> list[list[BlockIndex]]:
        """The blocks at these places, in groups that are done at once."""
        return self.order.boxes(map(self.order.block, places), self.together or (1,) * len(self.shape))


@dataclass(frozen=True)
class Plan:
    """Everything a worker needs to know, as plain data."""

    nodes: tuple[PlanNode, ...]
    stages: tuple[Stage, ...]
    outputs: dict[str, int]
    """Output name to node."""
    kept: dict[int, int] = field(default_factory=dict)
    """Image nodes that a stage leaves in the workspace for later stages, and that stage."""
    workers: int = 1
    """Worker processes that it was made for."""
    begin_s: float = 0.0
    """Predicted seconds from the call to the first stage."""
    costs: str = ""
    """Where the figures of the prediction come from, in words."""

    def place(self, slot: int) -> tuple[int, int]:
        """The stage, and how often it was done before, of a number under which the ledger keeps it.

        Stages that repeat are done under a new number each time, so that late messages of a round before do no harm.
        """
        rounds, stage = divmod(slot, len(self.stages))
        return stage, rounds

    def following(self, slot: int, again: bool) -> int | None:
        """The number under which work goes on: the same stage once more, the next one, or None at the end."""
        stage, _ = self.place(slot)
        if again:
            return slot + len(self.stages)
        return stage + 1 if stage + 1 < len(self.stages) else None

    @property
    def predicted_s(self) -> float:
        """Seconds from the call to the end, on the plan's workers."""
        return self.begin_s + sum(stage.predicted.wall_s for stage in self.stages)

    @property
    def blocks(self) -> int:
        """Blocks over all stages."""
        return sum(len(stage.grid) for stage in self.stages)

    def partials_of(self, stage: int) -> dict[int, int]:
        """The nodes of which a stage's blocks leave partials, and how often these have been combined."""
        combined = dict.fromkeys(self.stages[stage].reduces, 0)
        if self.stages[stage].combines:
            before = self.partials_of(stage - 1)
            combined |= {index: before[index] + 1 for index in self.stages[stage].combines}
        return combined

    def to_merge(self, stage: int) -> dict[int, int]:
        """Those of `partials_of` that end with this stage: the next one does not combine them."""
        goes_on = self.stages[stage + 1].combines if stage + 1 < len(self.stages) else ()
        return {index: level for index, level in self.partials_of(stage).items() if index not in goes_on}

    def to_json(self) -> dict[str, Any]:
        """The plan as plain JSON values."""
        return {
            "version": PLAN_VERSION,
            "nodes": self.nodes_json(),
            "stages": [_values(stage) | {"predicted": _values(stage.predicted)} for stage in self.stages],
            "outputs": self.outputs,
            "kept": {str(node): stage for node, stage in self.kept.items()},
            "workers": self.workers,
            "begin_s": self.begin_s,
            "costs": self.costs,
        }

    def nodes_json(self) -> list[dict[str, Any]]:
        """What is computed, as plain JSON values."""
        return [
            _values(node) | {"arguments": {k: _encode(v) for k, v in node.arguments.items()}} for node in self.nodes
        ]

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Plan:
        """The plan that `to_json` wrote.

        Raises:
            InputError: it was written by another version.
        """
        if document.get("version") != PLAN_VERSION:
            raise InputError(
                f"the plan has version {document.get('version')!r}, this worker reads version {PLAN_VERSION}; "
                "run the same release of lepton-celery on all machines"
            )
        refs = [Ref(at) for at in range(len(document["nodes"]))]
        return cls(
            nodes=tuple(
                PlanNode(
                    operation=node["operation"],
                    arguments={key: decode(value, refs) for key, value in node["arguments"].items()},
                    shape=tuple(node["shape"]),
                    dtype=node["dtype"],
                    gives=node["gives"],
                )
                for node in document["nodes"]
            ),
            stages=tuple(
                Stage(
                    shape=tuple(stage["shape"]),
                    block_shape=tuple(stage["block_shape"]),
                    batch_blocks=stage["batch_blocks"],
                    stores=tuple(stage["stores"]),
                    reduces=tuple(stage["reduces"]),
                    values=tuple(stage["values"]),
                    predicted=_prediction(stage["predicted"]),
                    combines=tuple(stage["combines"]),
                    tile=tuple(stage["tile"]),
                    together=tuple(stage["together"]),
                    least=stage["least"],
                )
                for stage in document["stages"]
            ),
            outputs=dict(document["outputs"]),
            kept={int(node): stage for node, stage in document["kept"].items()},
            workers=document["workers"],
            begin_s=document["begin_s"],
            costs=document["costs"],
        )

    def images_of(self, node: PlanNode) -> Mapping[str, int]:
        """The arguments of a node that are images, and their nodes."""
        known, found = self._images.get(id(node), (None, {}))
        if known is not node:
            for name in get_entry(node.operation).image_names(node.arguments):
                value = node.arguments.get(name)
                if isinstance(value, Ref) and self.nodes[value.node].gives == "image":
                    found[name] = value.node
            self._images[id(node)] = node, found
        return found

    @cached_property
    def _images(self) -> dict[int, tuple[PlanNode, dict[str, int]]]:
        """What `images_of` has found: it is asked several times for each block."""
        return {}

    def shown(self, index: int) -> Mapping[str, Any]:
        """A node's arguments, its source's defaults among them, with the nodes of its images in their places."""
        if index not in self._shown:
            node = self.nodes[index]
            images = {name: self.nodes[image] for name, image in self.images_of(node).items()}
            self._shown[index] = get_entry(node.operation).complete(node.arguments) | images
        return self._shown[index]

    @cached_property
    def _shown(self) -> dict[int, dict[str, Any]]:
        return {}

    def pixels_of(self, node: PlanNode) -> Mapping[str, int]:
        """Those images of a node that it gets as arrays; a function that reads for itself gets none."""
        return {} if reads_itself(get_entry(node.operation)) else self.images_of(node)

    def block_of(self, index: int) -> tuple[int, ...]:
        """The blocks in which an image is written, with its channels if it has any."""
        stage = next(stage for stage in self.stages if index in stage.stores)
        return grid_over(stage, self.nodes[index].shape).block_shape

    def is_read(self, index: int, stage: int) -> bool:
        """Whether stage `stage` reads this image from a store rather than computing it."""
        if self.nodes[index].operation == SOURCE:
            return True
        return index in self.kept and self.kept[index] < stage


def _values(item: PlanNode | Stage | Prediction) -> dict[str, Any]:
    """A dataclass's fields, as they are: `dataclasses.asdict` would copy all they hold, and take most of a submission."""
    return {name: getattr(item, name) for name in item.__dataclass_fields__}


def _prediction(values: Mapping[str, Any]) -> Prediction:
    parts = tuple(Part(*part) for part in values["parts"])
    return Prediction(**{**values, "halo": tuple(values["halo"]), "parts": parts})


def _encode(value: Any) -> Any:
    if isinstance(value, Ref):
        return {"node": value.node}
    if isinstance(value, list | tuple):
        return [_encode(item) for item in value]
    return encode(value, {})


# ------------------------------------------------------------------------------------------------ lowering


def lower(outputs: Mapping[str, Node]) -> tuple[list[PlanNode], dict[str, int]]:
    """The graph with composites expanded and equal nodes made one.

    Returns:
        The nodes, each after the nodes it needs, and the node of each output.
    """
    nodes: list[PlanNode] = []
    at: dict[int, int] = {}
    known: dict[Any, int] = {}
    for node in topological(list(outputs.values()), expanded_parents):
        if node.inner is not None:
            at[id(node)] = at[id(node.inner)]
            continue
        arguments = {
            name: Ref(at[id(value)]) if isinstance(value, Node) else value for name, value in node.arguments.items()
        }
        array = getattr(node, "array", None)
        key = (node.operation, id(array) if array is not None else None, _frozen(arguments))
        if key not in known:
            known[key] = len(nodes)
            nodes.append(PlanNode(node.operation, arguments, node.shape, str(node.dtype), node.gives))
        at[id(node)] = known[key]
    return nodes, {name: at[id(node)] for name, node in outputs.items()}


def expanded_parents(node: Node) -> Iterator[Node]:
    """What a node is computed from, where a composite stands for the node it expands to."""
    return iter([node.inner]) if node.inner is not None else node.parents()


def _frozen(value: Any) -> Any:
    """A hashable stand-in for an argument."""
    if isinstance(value, dict):
        return tuple((key, _frozen(item)) for key, item in sorted(value.items()))
    if isinstance(value, list | tuple) and not isinstance(value, Ref):
        return tuple(_frozen(item) for item in value)
    if isinstance(value, np.ndarray):
        return (value.shape, str(value.dtype), value.tobytes())
    return (type(value).__name__, str(value))  # as text 0.0 and -0.0 differ, as their results may


def levels_of(nodes: Sequence[PlanNode], cut: Collection[int] = ()) -> list[int]:
    """How many barriers lie before each node is known; `cut`: images that are to be stored before they are used."""
    levels: list[int] = []
    for node in nodes:
        entry = entry_of(node)
        before = max((levels[ref] for ref in node.refs()), default=0)
        if entry is not None and reads_itself(entry):
            # what it reads must have been stored by an earlier stage
            stored = [levels[ref] + is_fused(nodes[ref]) for ref in node.refs() if nodes[ref].gives == "image"]
            before = max(before, *stored)
        levels.append(before + (len(levels) in cut or (entry is not None and is_barrier(entry))))
    return levels


def is_barrier(entry: Entry) -> bool:
    """Whether what uses the entry's result has to wait until all its blocks are done."""
    return isinstance(entry, Reduction | Labelling) or has_own_stage(entry)


def has_own_stage(entry: Entry | None) -> bool:
    """Whether the entry's image is stored by a stage that makes nothing else."""
    return isinstance(entry, Iterated) or (isinstance(entry, Local) and entry.own_stage is not None)


def reads_itself(entry: Entry) -> bool:
    """Whether the entry reads its images for itself, from where they are stored."""
    return isinstance(entry, Iterated) or entry.reads_itself


def can_be_cut(plan: Plan, stage_index: int) -> bool:
    """Whether a stage's blocks can be computed in parts, or several at once: all its functions see the blocks and not the
    image, so that pixels do not depend on how it is cut."""
    stage = plan.stages[stage_index]
    found = [entry_of(plan.nodes[index]) for index in (*stage.stores, *stage.reduces)]
    return not any(entry is not None and (has_own_stage(entry) or reads_itself(entry)) for entry in found)


def is_fused(node: PlanNode) -> bool:
    """Whether an image is, by itself, only passed on within a stage and not stored."""
    entry = entry_of(node)
    return isinstance(entry, Local) and entry.own_stage is None


# ------------------------------------------------------------------------------------------------ regions


def grid_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """What a grid of blocks tiles: the image without a last axis of up to four channels, which is never cut."""
    return tuple(shape[:-1]) if len(shape) >= 3 and shape[-1] <= 4 else tuple(shape)


def on_grid(region: Region, shape: Sequence[int]) -> Region:
    """The part of an image of `shape` that belongs to a block's region of its stage's grid; axes it has more are whole."""
    more = shape[region.ndim :]
    return Region((*region.start, *(0 for _ in more)), (*region.stop, *more))


def grid_over(stage: Stage, shape: Sequence[int]) -> BlockGrid:
    """A stage's blocks as blocks of an image of `shape`: the same numbers, and all channels if it has any."""
    more = shape[len(stage.shape) :]
    return BlockGrid((*stage.shape, *more), (*stage.block_shape, *more))


def needed_regions(plan: Plan, stage_index: int, block: Region) -> dict[int, Region]:
    """The region of every image that one block needs, found by walking the graph backwards from what it stores."""
    stage = plan.stages[stage_index]
    needed: dict[int, Region] = {}

    def need(index: int, region: Region) -> None:
        if region.size:  # of images side by side, a block may need some only
            needed[index] = needed[index].union(region) if index in needed else region

    for index in stage.stores:
        if not isinstance(entry_of(plan.nodes[index]), Labelling | Iterated):
            need(index, on_grid(block, plan.nodes[index].shape))
    for index in stage.reduces:
        for image in plan.pixels_of(plan.nodes[index]).values():
            need(image, on_grid(block, plan.nodes[image].shape))
    for index in range(len(plan.nodes) - 1, -1, -1):
        if index not in needed or plan.is_read(index, stage_index):
            continue
        if plan.pixels_of(plan.nodes[index]):
            for image, region in zip(*reads_of(plan, index, needed[index]), strict=True):
                need(image, region)
    return needed


def reads_of(plan: Plan, index: int, region: Region) -> tuple[list[int], list[Region]]:
    """The images a local node is computed from, and the region of each that `region` of it needs."""
    node = plan.nodes[index]
    entry = entry_of(node)
    assert isinstance(entry, Local), node.operation
    images = list(plan.images_of(node).values())
    shapes = [plan.nodes[image].shape for image in images]
    return images, entry.geometry.reads(region, shapes, plan.shown(index))


def entry_of(node: PlanNode) -> Entry | None:
    """The catalogue's entry; None for a source."""
    return None if node.operation == SOURCE else get_entry(node.operation)


def is_value(node: PlanNode) -> bool:
    """Whether the merge computes this node: from whole-image values, without pixels."""
    if node.operation == SOURCE or node.gives == "image":
        return False
    return isinstance(get_entry(node.operation), ValueFunction | Local)


def functions_of(plan: Plan) -> list[str]:
    """The functions of the user's own that a plan calls, `package.module:function`."""
    called: list[Any] = []
    for node in plan.nodes:
        if node.operation in ("lepton.map_blocks", "lepton.map_overlap"):
            called.append(node.arguments["function"])
        elif node.operation == "lepton.measured_table":
            called += node.arguments["extra_properties"]
    return [str(function) for function in called]


def sources_of(plan: Plan) -> Iterable[tuple[int, str]]:
    """The plan's inputs: node and URL."""
    return [(i, node.arguments["url"]) for i, node in enumerate(plan.nodes) if node.operation == SOURCE]
