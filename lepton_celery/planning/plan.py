"""A plan: the graph lowered to stages, ready to run on either engine.

A stage is all the work between two barriers. A barrier is a whole-image value (an extent, a histogram, the joined labels):
work that needs it can begin only when every block is done. Within a stage the functions are fused: each block reads its
inputs once, with the halo that all its functions need together, and stores only results.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from lepton_celery.catalogue import get_entry
from lepton_celery.catalogue.entries import Entry, Gives
from lepton_celery.graph.codec import decode, encode
from lepton_celery.grid import BlockGrid, BlockIndex, Place, StageIndex, StageNumber
from lepton_celery.limits import Count, Positive, Shape, Text
from lepton_celery.planning.checks import check_node, check_plan
from lepton_celery.planning.shapes import stored_shape
from lepton_celery.planning.tiles import Tiling
from lepton_celery.stores.documents import check_version, checked, from_document, to_document

PLAN_VERSION = 5

_SMALL_S = 0.2
"""Predicted seconds of work up to which one worker does a whole job: about a batch of a lane that jobs share. More workers
would gain less than the messages between them cost while other jobs run."""
_SMALL_BLOCKS = 1024
"""Largest number of blocks of a stage of such a job."""

SAME_RELEASE = "run the same release of lepton-celery on all machines"
"""The remedy for a plan or a manifest of another release."""


@dataclass(frozen=True, slots=True)
class Ref:
    """An argument that is another node of the plan."""

    node: int


@dataclass(frozen=True, slots=True)
class ImageRef(Ref):
    """An argument that is an image of the plan; the catalogue reads its shape and dtype."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class PlanNode:
    """A node of the lowered graph: an entry of the catalogue and its arguments."""

    operation: str
    """The entry's name."""
    arguments: dict[str, Any]
    """Literals, and a `Ref` for each node."""
    shape: tuple[int, ...]
    dtype: str
    gives: Gives

    @cached_property
    def entry(self) -> Entry:
        """The catalogue's entry."""
        return get_entry(self.operation)

    @cached_property
    def images(self) -> Mapping[str, int]:
        """The arguments that are images, and their nodes."""
        named = {name: self.arguments.get(name) for name in self.entry.image_names(self.arguments)}
        return {name: ref.node for name, ref in named.items() if isinstance(ref, ImageRef)}

    @cached_property
    def pixels(self) -> Mapping[str, int]:
        """The images that the function takes as arrays; none if it reads stored images itself."""
        return {} if self.entry.reads_itself else self.images

    @cached_property
    def with_defaults(self) -> Mapping[str, Any]:
        """The arguments, and the source's defaults for omitted ones."""
        return self.entry.complete(self.arguments)

    @cached_property
    def itemsize(self) -> int:
        """Bytes of a pixel."""
        return np.dtype(self.dtype).itemsize

    @property
    def size_bytes(self) -> int:
        """Bytes of the whole image."""
        return math.prod(self.shape) * self.itemsize

    def is_of_same_call(self, other: PlanNode) -> bool:
        """Whether both nodes are results of one call of a function with several results."""
        if self.operation != other.operation or self.arguments.keys() != other.arguments.keys():
            return False
        rest = self.arguments.keys() - {"result_index"}
        return all(np.array_equal(self.arguments[name], other.arguments[name]) for name in rest)

    def refs(self) -> Iterator[int]:
        """The nodes that this node is computed from."""
        return (value.node for value in self.arguments.values() if isinstance(value, Ref))


class CostLine(NamedTuple):
    """A line of a prediction: one function, or one image read or written, over all blocks of a stage."""

    kind: str
    """Kind of the cost model's figure, such as compute, read or write."""
    key: str
    """Key of the figure."""
    node: int
    calls: float
    units: float
    """Pixels or bytes."""
    taps: float
    seconds: float
    """Predicted seconds of one worker process."""


@dataclass(frozen=True)
class Prediction:
    """The predicted cost of a stage: bytes, and seconds of one worker process, summed over all blocks."""

    compute_s: float = 0.0
    communication_s: float = 0.0
    read_bytes: int = 0
    write_bytes: int = 0
    memory_bytes: int = 0
    """Peak bytes of the arrays that one worker holds."""
    halo: tuple[int, ...] = ()
    """The widest halo read, in pixels of the stage's grid."""
    blocks_s: float = 0.0
    """Seconds from the stage's first message to its last receipt, on the plan's workers."""
    halo_overread: float = 1.0
    """Bytes read, relative to the size of the images that are read."""
    decode_overread: float = 1.0
    """Bytes decoded, relative to the bytes read: chunks are decoded whole."""
    blocks: int = 0
    """Blocks done, counted once for each round of a repeated stage."""
    lines: tuple[CostLine, ...] = ()
    """The items of the prediction, without the fixed costs of blocks, batches and the stage."""

    @property
    def merge_s(self) -> float:
        """Seconds of the work that a single process does when all blocks are done."""
        return sum((line.seconds for line in self.lines if line.kind in ("merge", "publish")), 0.0)

    @property
    def work_s(self) -> float:
        """Seconds of work on pixels and bytes, of all workers together, without messages and other fixed costs."""
        return sum((line.seconds for line in self.lines), 0.0)

    @property
    def wall_s(self) -> float:
        """Seconds from the stage's first message to its end, on the plan's workers."""
        return self.blocks_s + self.merge_s


@dataclass(frozen=True)
class Stage:
    """Blocks that can run in any order, and the merge that follows them."""

    shape: Shape
    """Shape of the image that the stage's grid tiles."""
    block_shape: Shape
    batch_blocks: Positive
    """Blocks that one Celery task does."""
    stores: tuple[Count, ...]
    """Images that each block writes: outputs, and images that later stages read."""
    reduces: tuple[Count, ...]
    """Nodes for which each block leaves a partial."""
    values: tuple[Count, ...]
    """Whole-image values that the merge computes from others."""
    predicted: Prediction
    tile: Shape
    """Blocks along each axis of a tile."""
    box_blocks: Shape
    """Blocks along each axis that a worker reads, computes and writes at once if it has all of them."""
    combines: tuple[Count, ...] = ()
    """Nodes for which each block combines the partials of the previous stage's blocks that lie inside it."""
    min_batch_blocks: Positive = 1
    """Smallest number of blocks of a batch near the end of the stage, where batches shrink."""

    @cached_property
    def grid(self) -> BlockGrid:
        """The grid of the stage's blocks."""
        return BlockGrid(self.shape, self.block_shape)

    @cached_property
    def tiling(self) -> Tiling:
        """The order in which the blocks are done; the ledger and messages name a block by its place in it."""
        return Tiling(self.grid, self.tile)

    def boxes(self, places: Iterable[Place]) -> list[list[BlockIndex]]:
        """The blocks at these places, in groups that are computed at once."""
        return self.tiling.boxes(map(self.tiling.block, places), self.box_blocks)


class StageRun(NamedTuple):
    """A stage and a round of it."""

    stage: StageIndex
    round: int
    """Number of earlier rounds; 0 for a stage that is not repeated."""


@dataclass(frozen=True)
class Plan:
    """A job's work as plain data: all that workers need."""

    nodes: tuple[PlanNode, ...]
    stages: tuple[Stage, ...]
    outputs: dict[Text, Count]
    """The node of each output, by name."""
    intermediates: dict[Count, StageIndex] = field(default_factory=dict)
    """Intermediate images, and the stage that stores each."""
    workers: Positive = 1
    """Worker processes that the plan was made for."""
    startup_s: float = 0.0
    """Predicted seconds from the call to the first stage."""
    costs: str = ""
    """The origin of the prediction's figures, as text."""

    def stage_run(self, number: StageNumber) -> StageRun:
        """The stage and the round of a stage number.

        Each round of a stage has a number of its own, so that late messages of an earlier round do no harm.
        """
        rounds, index = divmod(number, len(self.stages))
        return StageRun(StageIndex(index), rounds)

    def stage_of(self, number: StageNumber) -> Stage:
        """The stage of a stage number."""
        return self.stages[self.stage_run(number).stage]

    def following(self, number: StageNumber, *, again: bool) -> StageNumber | None:
        """The next stage number: that of the stage's next round if `again`, else of the next stage; None at the end."""
        if again:
            return StageNumber(number + len(self.stages))
        index = self.stage_run(number).stage + 1
        return StageNumber(index) if index < len(self.stages) else None

    @property
    def blocks(self) -> int:
        """Blocks of all stages."""
        return sum(len(stage.grid) for stage in self.stages)

    @property
    def predicted_s(self) -> float:
        """Seconds from the call to the end, on the plan's workers."""
        return self.startup_s + sum(stage.predicted.wall_s for stage in self.stages)

    @property
    def work_s(self) -> float:
        """Predicted seconds of work on pixels and bytes, of all workers together."""
        return sum(stage.predicted.work_s for stage in self.stages)

    @property
    def is_small(self) -> bool:
        """Whether a worker does the whole job from one message, because all of it is predicted to take a fifth of a second.

        A job with functions of the user's own is not small: nobody knows what they take.
        """
        work_s = sum(stage.predicted.work_s + stage.predicted.merge_s for stage in self.stages)
        blocks = max((len(stage.grid) for stage in self.stages), default=0)
        return work_s <= _SMALL_S and blocks <= _SMALL_BLOCKS and not self.functions

    def with_stage(self, index: StageIndex, stage: Stage) -> Plan:
        """The plan with one stage replaced."""
        return replace(self, stages=(*self.stages[:index], stage, *self.stages[index + 1 :]))

    def partials_of(self, stage: StageIndex) -> dict[int, int]:
        """The nodes for which a stage's blocks leave partials, and the number of times that each partial was combined."""
        combined = dict.fromkeys(self.stages[stage].reduces, 0)
        if self.stages[stage].combines:
            before = self.partials_of(StageIndex(stage - 1))
            combined |= {index: before[index] + 1 for index in self.stages[stage].combines}
        return combined

    def to_merge(self, stage: StageIndex) -> dict[int, int]:
        """The entries of `partials_of` that are merged when the stage ends, because the next stage does not combine them."""
        combined_next = self.stages[stage + 1].combines if stage + 1 < len(self.stages) else ()
        return {index: level for index, level in self.partials_of(stage).items() if index not in combined_next}

    @cached_property
    def sources(self) -> list[tuple[int, str]]:
        """The node and the URL of each input."""
        return [(index, str(node.arguments["url"])) for index, node in enumerate(self.nodes) if node.entry.is_source]

    @cached_property
    def functions(self) -> list[str]:
        """The user's own functions that the plan calls, each as `package.module:function`."""
        return [str(function) for node in self.nodes for function in node.entry.functions_in(node.arguments)]

    def block_of(self, index: int) -> tuple[int, ...]:
        """Shape of the blocks in which an image is stored, with its channels if it has any; large blocks are cut."""
        stage = next(stage for stage in self.stages if index in stage.stores)
        shape, ndim = self.nodes[index].shape, len(stage.shape)
        return (*stored_shape(stage.block_shape, stage.shape), *shape[ndim:])

    def is_read(self, index: int, stage: StageIndex) -> bool:
        """Whether a stage reads this image from a store instead of computing it."""
        return self.nodes[index].entry.is_source or self.intermediates.get(index, stage) < stage

    def iterated(self, stage: StageIndex) -> list[int]:
        """The images of a stage that are computed in rounds."""
        return [index for index in self.stages[stage].stores if self.nodes[index].entry.is_iterated]

    def can_be_cut(self, stage: StageIndex) -> bool:
        """Whether blocks may be computed in pieces, or several at once, without a change of the pixels.

        Functions that have a stage of their own or read stored images may depend on the blocks. The user's own functions
        are promised the blocks that were asked for, and other blocks give other pixels within the bound of a function that
        is not exact.
        """
        results = [self.nodes[index].entry for index in (*self.stages[stage].stores, *self.stages[stage].reduces)]
        if any(entry.has_own_stage or entry.reads_itself for entry in results):
            return False
        return not any(node.entry.depends_on_blocks(node.arguments) for node in self.computed(stage))

    def computed(self, stage: StageIndex) -> list[PlanNode]:
        """The nodes that a stage's blocks compute or reduce, those in between included."""
        wanted = {*self.stages[stage].stores, *self.stages[stage].reduces}
        found: list[PlanNode] = []
        for index in reversed(range(len(self.nodes))):
            if index in wanted and not self.is_read(index, stage):
                found.append(self.nodes[index])
                wanted.update(self.nodes[index].pixels.values())
        return found

    def to_json(self) -> dict[str, Any]:
        """The plan as plain JSON values."""
        return {"version": PLAN_VERSION, **to_document(replace(self, nodes=())), "nodes": self.nodes_json()}

    def nodes_json(self) -> list[dict[str, Any]]:
        """The nodes as plain JSON values."""
        documents = []
        for node in self.nodes:
            arguments = {name: encode(value, _number_of) for name, value in node.arguments.items()}
            documents.append(to_document(replace(node, arguments=arguments)))
        return documents

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Plan:
        """The plan that `to_json` wrote.

        Raises:
            InputError: another version wrote it, or it is damaged.
        """
        check_version(document, PLAN_VERSION, "the plan", SAME_RELEASE)
        plan = from_document({**document, "nodes": []}, cls, "the plan")
        written = from_document(document.get("nodes"), list[PlanNode], "the nodes of the plan")
        nodes: list[PlanNode] = []
        refs: list[Ref] = []
        with checked("the plan"):
            for node in written:
                check_node(len(nodes), node)
                node = replace(node, arguments={key: decode(value, refs) for key, value in node.arguments.items()})
                refs.append(ref_to(len(nodes), node))
                nodes.append(node)
        plan = replace(plan, nodes=tuple(nodes))
        check_plan(plan)
        return plan


def ref_to(index: int, node: PlanNode) -> Ref:
    """The argument that stands for a node."""
    return ImageRef(index, node.shape, np.dtype(node.dtype)) if node.gives == "image" else Ref(index)


def _number_of(value: Any) -> int | None:
    return value.node if isinstance(value, Ref) else None


def grid_over(stage: Stage, shape: tuple[int, ...]) -> BlockGrid:
    """The grid of a stage's blocks over an image of `shape`, which may have channels; block indices are the same."""
    more = shape[len(stage.shape) :]
    return BlockGrid((*stage.shape, *more), (*stage.block_shape, *more))
