"""A job in one process: its plan, the stores of its images, and its open files."""

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
from lepton_celery.planning.plan import Plan, PlanNode, Ref, StageRun, grid_over
from lepton_celery.stores.base import ArrayOutput, ArrayReader, Target
from lepton_celery.stores.workspace import Key, Workspace


@dataclass
class Context:
    """One job in one process."""

    plan: Plan
    workspace: Workspace
    targets: Mapping[int, tuple[Target, ...]] = field(default_factory=dict)
    """Targets of image outputs, by node."""
    roots: tuple[Path, ...] = ()
    """Directories that files may be read from and written to; empty for all."""
    arrays: Mapping[int, Array] = field(default_factory=dict)
    """Inputs that are arrays of this process, by node."""
    files: Mapping[str, int] = field(default_factory=dict)
    """The node of each table or value output, by path."""
    job_id: str = "inline"
    """Id of the job, which is part of the hidden names of outputs."""
    kernels: bool = False
    """Whether compiled kernels are used where they exist."""
    failures: dict[int, Exception] = field(default_factory=dict)
    """The errors of whole-image values that could not be merged at the end of the last stage, by node."""
    _readers: dict[Key, ArrayReader] = field(default_factory=dict)
    _outputs: dict[tuple[int, StageRun], list[ArrayOutput]] = field(default_factory=dict)
    _values: dict[Key, Any] = field(default_factory=dict)

    def reader(self, key: Key) -> ArrayReader:
        """The open store of an input or intermediate image, or of one round of an iterated image, by `(node, round)`."""
        if key not in self._readers:
            self._readers[key] = self.workspace.image(key) if isinstance(key, tuple) else self._open(key)
        return self._readers[key]

    def _open(self, node: int) -> ArrayReader:
        if self.plan.nodes[node].entry.is_iterated:
            return self.reader((node, int(self.value(node))))
        if node in self.plan.intermediates:
            return self.workspace.image(node)
        if node in self.arrays:
            return stores.MemoryReader(self.arrays[node])
        return stores.open_array(self.plan.nodes[node].arguments["url"], roots=self.roots)

    def outputs(self, node: int, run: StageRun) -> list[ArrayOutput]:
        """The stores that a stage writes an image to: the user's files, and the workspace if later stages read the image."""
        key = (node, run)
        if key not in self._outputs:
            image = self.plan.nodes[node]
            is_iterated, compress = image.entry.is_iterated, image.entry.labels_blocks
            # the submitter has created their parts: the part of a job that was cancelled must not come back
            outputs = [] if is_iterated else [self.output(target) for target in self.targets.get(node, ())]
            if is_iterated or self.plan.intermediates.get(node) == run.stage:
                stored, block = (node, run.round) if is_iterated else node, self.plan.block_of(node)
                intermediate = self.workspace.image_output(stored, image.shape, image.dtype, block, compress=compress)
                intermediate.create()
                outputs.append(intermediate)
            self._outputs[key] = outputs
        return self._outputs[key]

    def output(self, target: Target) -> ArrayOutput:
        """The store of an image output."""
        return stores.array_output(target, roots=self.roots)

    def value(self, key: Key) -> Any:
        """A whole-image value, or the value of a round, by `(node, round)`. Values that were read are cached.

        Raises:
            StoreError: the value is missing.
            Exception: the merge of the value failed.
        """
        if isinstance(key, int) and key in self.failures:
            raise self.failures[key]
        if key not in self._values:
            value = self.workspace.value(key)
            if isinstance(key, int):
                entry = self.plan.nodes[key].entry
                value = self._merged_labels(key, value) if entry.labels_blocks else value
                value = value.item() if entry.is_weak and isinstance(value, np.generic) else value
            self._values[key] = value
        return self._values[key]

    def put_value(self, node: int, value: Any, stage: StageIndex) -> None:
        """Store a value for later stages. The last stage's values stay in memory: the same process publishes them."""
        labels = self.plan.nodes[node].entry.labels_blocks
        if labels or stage + 1 < len(self.plan.stages):
            self.workspace.put_value(node, value, keep_partials=labels)
        else:
            weak = self.plan.nodes[node].entry.is_weak
            self._values[node] = value if weak or isinstance(value, dict) else np.asarray(value)[()]

    def _merged_labels(self, node: int, value: Any) -> MergedLabels:
        stages = [stage for stage in self.plan.stages if node in (*stage.reduces, *stage.combines)]
        grids = tuple(grid_over(stage, self.plan.nodes[node].shape) for stage in stages)
        # the look-up of a block's labels reads a few partials repeatedly
        read = lru_cache(maxsize=4)(lambda level, block: self.workspace.partial(partials_key(node, level), block))
        return MergedLabels(value, grids, read)

    @property
    def has_several_outputs(self) -> bool:
        """Whether the job writes more than one file."""
        return len(self.files) + sum(map(len, self.targets.values())) > 1

    def arguments(self, node: PlanNode) -> dict[str, Any]:
        """A node's arguments: literals, loaded values, and None in place of images."""
        return {
            name: None if name in node.images else self._as_announced(value.node) if isinstance(value, Ref) else value
            for name, value in node.arguments.items()
        }

    def _as_announced(self, node: int) -> Any:
        """A value in the dtype that its node announces, from which the dtypes of images computed with it follow.

        Otsu's threshold of a constant image, for one, has the image's dtype in scikit-image, and that of others int64.
        """
        value = self.value(node)
        dtype = self.plan.nodes[node].dtype
        differs = isinstance(value, np.ndarray | np.generic) and str(value.dtype) != dtype
        return np.asarray(value, dtype)[()] if differs else value

    def views(self, node: PlanNode) -> dict[str, ArrayReader]:
        """The open stores of a node's images, for functions that read them."""
        return {name: self.reader(image) for name, image in node.images.items()}

    def where(self, image: int, region: Region) -> Where:
        """The position of `region` in a function's first image."""
        shape, stage = self.plan.nodes[image].shape, self.plan.intermediates.get(image)
        return Where(region, shape, None if stage is None else grid_over(self.plan.stages[stage], shape))


def partials_key(node: int, level: int) -> Key:
    """The workspace's key of a node's partials that were combined `level` times."""
    return (node, level) if level else node
