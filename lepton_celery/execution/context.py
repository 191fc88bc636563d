"""What the work on a job needs in one process: its plan, where its images are, and the files that are open already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from lepton_celery import stores
from lepton_celery.catalogue.arrays import Array, Where
from lepton_celery.catalogue.entries import MergedLabels
from lepton_celery.grid import Region, StageIndex
from lepton_celery.planning.plan import Plan, PlanNode, Ref, grid_over
from lepton_celery.stores.base import ArrayOutput, ArrayReader, Target
from lepton_celery.stores.workspace import Key, Workspace


@dataclass
class Context:
    """One job in one process."""

    plan: Plan
    workspace: Workspace
    targets: Mapping[int, tuple[Target, ...]] = field(default_factory=dict)
    """Where image outputs go, by node."""
    roots: tuple[Path, ...] = ()
    """Directories that files may be read from and written to; empty for all."""
    arrays: Mapping[int, Array] = field(default_factory=dict)
    """Inputs that are arrays of this process, by node."""
    files: Mapping[str, int] = field(default_factory=dict)
    """Path of each table or value output, and its node."""
    job_id: str = "inline"
    """Id of the job, which is part of the hidden names of outputs."""
    kernels: bool = False
    """Whether compiled kernels are used where there are any."""
    _readers: dict[Key, ArrayReader] = field(default_factory=dict)
    _round_outputs: dict[Key, ArrayOutput] = field(default_factory=dict)
    _outputs: dict[tuple[int, StageIndex], list[ArrayOutput]] = field(default_factory=dict)
    _values: dict[int, Any] = field(default_factory=dict)
    _changed: dict[Key, Array] = field(default_factory=dict)

    # ------------------------------------------------------------------ images that are read

    def reader(self, node: int) -> ArrayReader:
        """The open store of an input, or of an image that an earlier stage left."""
        if node not in self._readers:
            self._readers[node] = self._open(node)
        return self._readers[node]

    def _open(self, node: int) -> ArrayReader:
        if self.plan.nodes[node].entry.is_iterated:
            return self.round_image(node, int(self.value(node)))
        if node in self.plan.intermediates:
            return self.workspace.image(node)
        if node in self.arrays:
            return stores.MemoryReader(self.arrays[node])
        return stores.open_array(self.plan.nodes[node].arguments["url"], roots=self.roots)

    def round_image(self, node: int, round: int) -> ArrayReader:
        """An image that is made in rounds, as it was after one of them."""
        key = (node, round)
        if key not in self._readers:
            self._readers[key] = self.workspace.image(key)
        return self._readers[key]

    def round_changed(self, node: int, round: int) -> Array:
        """Whether a round changed each block of an image that is made in rounds."""
        key = (node, round)
        if key not in self._changed:
            self._changed[key] = self.workspace.value(key)
        return self._changed[key]

    # ------------------------------------------------------------------ images that are written

    def round_output(self, node: int, round: int) -> ArrayOutput:
        """Where a round writes its image."""
        key = (node, round)
        if key not in self._round_outputs:
            image, block = self.plan.nodes[node], self.plan.block_of(node)
            output = self.workspace.image_output(key, image.shape, image.dtype, block, compress=False)
            output.create()
            self._round_outputs[key] = output
        return self._round_outputs[key]

    def outputs(self, node: int, stage: StageIndex) -> list[ArrayOutput]:
        """Where a stage writes an image: the user's files, and the workspace if later stages need the image."""
        key = (node, stage)
        if key not in self._outputs:
            outputs = [stores.array_output(target) for target in self.targets.get(node, ())]
            if self.plan.intermediates.get(node) == stage:
                image, block = self.plan.nodes[node], self.plan.block_of(node)
                compress = image.entry.labels_blocks
                outputs.append(self.workspace.image_output(node, image.shape, image.dtype, block, compress=compress))
            for output in outputs:
                output.create()
            self._outputs[key] = outputs
        return self._outputs[key]

    def attach(self, node: int, output: ArrayOutput) -> None:
        """Have every stage that makes an image write it to `output` too."""
        for index, stage in enumerate(self.plan.stages):
            if node in stage.stores:
                output.create()
                self.outputs(node, StageIndex(index)).append(output)

    # ------------------------------------------------------------------ values

    def value(self, node: int) -> Any:
        """A whole-image value; it stays in memory after it was first asked for."""
        if node not in self._values:
            value = self.workspace.value(node)
            labels = self.plan.nodes[node].entry.labels_blocks
            self._values[node] = self._merged_labels(node, value) if labels else value
        return self._values[node]

    def put_value(self, node: int, value: Any, stage: StageIndex) -> None:
        """Store a value for later stages. The last stage's values stay in memory: the same process publishes them."""
        labels = self.plan.nodes[node].entry.labels_blocks
        if labels or stage + 1 < len(self.plan.stages):
            self.workspace.put_value(node, value, keep_partials=labels)
        else:
            self._values[node] = value if isinstance(value, dict) else np.asarray(value)[()]

    def _merged_labels(self, node: int, value: Any) -> MergedLabels:
        stages = [stage for stage in self.plan.stages if node in (*stage.reduces, *stage.combines)]
        grids = tuple(grid_over(stage, self.plan.nodes[node].shape) for stage in stages)
        # looking up a block's labels takes a few partials, each of them more than once
        read = lru_cache(maxsize=4)(lambda level, block: self.workspace.partial(partials_key(node, level), block))
        return MergedLabels(value, grids, read)

    # ------------------------------------------------------------------ arguments of functions

    def arguments(self, node: PlanNode) -> dict[str, Any]:
        """A node's arguments: literals as they are, values loaded, None in place of images."""
        return {
            name: None if name in node.images else self.value(value.node) if isinstance(value, Ref) else value
            for name, value in node.arguments.items()
        }

    def views(self, node: PlanNode) -> dict[str, ArrayReader]:
        """The open stores of a node's images, for functions that read them."""
        return {name: self.reader(image) for name, image in node.images.items()}

    def where(self, image: int, region: Region) -> Where:
        """Where a function is at work whose first image is `image`."""
        shape, stage = self.plan.nodes[image].shape, self.plan.intermediates.get(image)
        return Where(region, shape, None if stage is None else grid_over(self.plan.stages[stage], shape))


def partials_key(node: int, level: int) -> Key:
    """Key of a node's partials in the workspace, after they were combined `level` times."""
    return (node, level) if level else node
