"""The workloads: an input, and the same computation on the whole image, as a lazy graph, and in hand-written stages.

The stages are those that an expert would write: blocks read their pixels from the input file and leave results in
files, and a merge follows each stage. Systems differ only in how they run the blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

import lepton_celery as lepton
from benchmarks import arrays, components, functions, inputs
from benchmarks.cases import Task
from lepton_celery.graph.nodes import Image, Node
from lepton_celery.skimage import color, filters, measure, restoration, util

Array = NDArray[Any]


class Stage(Protocol):
    """One pass over the blocks."""

    def begin(self, task: Task) -> None:
        """Create the outputs of the stage, before its blocks."""
        ...

    def block(self, task: Task, index: int) -> None:
        """Do one block."""
        ...

    def merge(self, task: Task) -> None:
        """Merge the partials of all blocks."""
        ...


class Workload(Protocol):
    """A computation in all its forms."""

    @property
    def title(self) -> str:
        """The computation in a line of words."""
        ...

    @property
    def is_picture(self) -> bool:
        """Whether the only output is the image `pixels`; otherwise the outputs are `labels` and `table`."""
        ...

    def input(self, shape: tuple[int, ...]) -> Array:
        """Make the input image, which is the same each time."""
        ...

    def make(self, task: Task) -> None:
        """Write the input of a task."""
        ...

    def whole(self, task: Task) -> None:
        """Compute with scikit-image on the whole image, in this process."""
        ...

    def graph(self, task: Task) -> dict[str, Node]:
        """The lazy nodes of lepton_celery, by output path."""
        ...

    @property
    def stages(self) -> Sequence[Stage]:
        """The hand-written stages."""
        ...


def _write_input(task: Task, image: Array) -> None:
    arrays.write_whole(task.source, image, (*task.case.block, *image.shape[len(task.case.block) :]))


@dataclass(frozen=True)
class Filter:
    """A filter with a halo."""

    title: str
    function: Callable[[Array], Array]
    halo: int
    picture: Callable[[tuple[int, ...], int], Array]
    lazy: Callable[[Image], Image]
    dtype: str
    seed: int
    is_picture: bool = True

    def input(self, shape: tuple[int, ...]) -> Array:
        return self.picture(shape, self.seed)

    def make(self, task: Task) -> None:
        _write_input(task, self.input(task.case.shape))

    def whole(self, task: Task) -> None:
        pixels = self.function(arrays.read_whole(task.source))
        arrays.write_whole(task.output("pixels"), pixels, task.case.block)

    def graph(self, task: Task) -> dict[str, Node]:
        return {str(task.output("pixels")): self.lazy(lepton.open(task.source))}

    @property
    def stages(self) -> Sequence[Stage]:
        return (_FilterStage(self),)


@dataclass(frozen=True)
class _FilterStage:
    filter: Filter

    def begin(self, task: Task) -> None:
        arrays.create(task.output("pixels"), task.case.shape, self.filter.dtype, task.case.block)

    def block(self, task: Task, index: int) -> None:
        wide, within = task.case.read(index, self.filter.halo)
        source = opened(task.source)
        # a contiguous copy, as the whole image is contiguous: results may depend on strides
        pixels = np.ascontiguousarray(source[wide])
        opened(task.output("pixels"), writable=True)[task.case.core(index)] = self.filter.function(pixels)[within]

    def merge(self, task: Task) -> None:
        pass


@lru_cache(maxsize=8)
def opened(path: Path, *, writable: bool = False) -> Any:
    """Open an array once for all blocks of a process; no two outputs have the same path."""
    return arrays.opened(path, writable=writable)


@dataclass(frozen=True)
class Components:
    """Otsu's threshold, labels, and a table of the objects."""

    title: str
    properties: tuple[str, ...]
    seed: int = 3
    is_picture: bool = False

    @property
    def is_table(self) -> bool:
        """Whether the table has more columns than label and area."""
        return len(self.properties) > 2

    def input(self, shape: tuple[int, ...]) -> Array:
        return inputs.coins(shape, self.seed)

    def make(self, task: Task) -> None:
        _write_input(task, self.input(task.case.shape))

    def whole(self, task: Task) -> None:
        labels, columns = components.whole(arrays.read_whole(task.source), self.properties)
        arrays.write_whole(task.output("labels"), labels, task.case.block)
        arrays.write_table(task.out / "table", columns)

    def graph(self, task: Task) -> dict[str, Node]:
        image = lepton.open(task.source)
        labels = measure.label(image > filters.threshold_otsu(image), connectivity=1)
        table = measure.regionprops_table(labels, image if self.is_table else None, properties=self.properties)
        return {str(task.output("labels")): labels, str(task.out / "table.parquet"): table}

    @property
    def stages(self) -> Sequence[Stage]:
        return (
            components.Histogram(),
            components.LabelBlocks(self.properties),
            components.Renumber(),
        )


def _lazy_edges(image: Image) -> Image:
    strong: Image = filters.sobel(filters.gaussian(color.rgb2gray(image), sigma=2)) > functions.EDGE
    return strong


def _lazy_scale(image: Image) -> Image:
    lazy: Any = image
    scaled: Image = np.sqrt(lazy) * np.float32(0.5) + np.float32(0.25)
    return scaled


WORKLOADS: Mapping[str, Workload] = {
    "W1": Filter(
        "gaussian(sigma=4), float32",
        functions.blur,
        16,
        inputs.photograph,
        lambda image: filters.gaussian(image, sigma=functions.SIGMA),
        "float32",
        1,
    ),
    "W2": Filter(
        "denoise_nl_means(fast_mode=False), patches of 5 within 6, float32",
        functions.denoise,
        8,
        inputs.photograph,
        lambda image: restoration.denoise_nl_means(image, **functions.PATCH),
        "float32",
        2,
    ),
    "W3": Components("threshold_otsu, label(connectivity=1), areas, uint8", ("label", "area")),
    "W3t": Components(
        "threshold_otsu, label(connectivity=1), regionprops_table, uint8",
        ("label", "area", "bbox", "centroid", "intensity_mean"),
    ),
    "W4": Filter(
        "rgb2gray, gaussian(sigma=2), sobel, > 0.03, RGB uint8",
        functions.edges,
        9,
        inputs.colours,
        _lazy_edges,
        "bool",
        4,
    ),
    "W5": Filter(
        "sqrt * 0.5 + 0.25, float32, blocks of 64²", functions.scale, 0, inputs.photograph, _lazy_scale, "float32", 5
    ),
    "V1": Filter(
        "gaussian(sigma=2) > 0.5 of a volume, float32",
        functions.bright,
        8,
        inputs.volume,
        lambda image: filters.gaussian(image, sigma=2) > 0.5,
        "bool",
        6,
    ),
    "G1": Filter(
        "gaussian(sigma=2) > 0.5, uint8",
        functions.bright,
        8,
        inputs.tiles,
        lambda image: filters.gaussian(image, sigma=2) > 0.5,
        "bool",
        7,
    ),
    "G2": Filter("invert, uint8, tiny blocks", functions.invert, 0, inputs.tiles, util.invert, "uint8", 8),
}
"""The workloads by name; the last two are for `benchmarks.growth`."""


def workload_of(task: Task) -> Workload:
    return WORKLOADS[task.case.workload]
