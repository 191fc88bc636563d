"""Cuts the graph into stages, and chooses the images that pass from one stage to the next."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from lepton_celery.grid import StageIndex
from lepton_celery.planning.cost.model import CostModel
from lepton_celery.planning.cost.predict import function_figure
from lepton_celery.planning.locations import Locations
from lepton_celery.planning.lowering import Lowered
from lepton_celery.planning.plan import Plan, Prediction, Stage
from lepton_celery.planning.regions import grid_shape


class StageCutter:
    """Cuts one lowered graph into stages.

    A node's level is the number of barriers that precede it. All work of one level on one grid is one stage.
    """

    def __init__(self, lowered: Lowered, cost: CostModel, locations: Locations, stored: Collection[int] = ()) -> None:
        """`stored` are images to store before they are used, in addition to those that must be."""
        self._nodes = lowered.nodes
        self._outputs = lowered.outputs
        self._cost = cost
        self._locations = locations
        self._stored = stored
        self._levels = self._find_levels()

    def cut(self, workers: int) -> Plan:
        """The plan with its stages, which are not sized yet."""
        wanted = self._wanted()
        levels = self._levels_of_intermediates(wanted)
        stages: list[Stage] = []
        intermediates: dict[int, StageIndex] = {}
        for level, results in enumerate(_with_intermediates(wanted, levels)):
            groups = self._grouped(dict.fromkeys(results))
            for (shape, _), group in groups.items():
                entries = {index: self._nodes[index].entry for index in group}
                for index, entry in entries.items():
                    if index in levels or entry.labels_blocks:
                        intermediates[index] = StageIndex(len(stages))
                reduces = tuple(index for index, entry in entries.items() if entry.leaves_partials)
                stores = tuple(i for i, entry in entries.items() if entry.labels_blocks or not entry.leaves_partials)
                one = (1,) * len(shape)
                stages.append(Stage(shape, shape, 1, stores, reduces, (), Prediction(), one, one))
            if groups:  # the merge of a level's last stage computes the values that depend on other values
                values = tuple(
                    index
                    for index, node in enumerate(self._nodes)
                    if self._levels[index] == level + 1 and node.gives != "image" and node.entry.finds_value
                )
                stages[-1] = replace(stages[-1], values=values)
        return Plan(self._nodes, tuple(stages), self._outputs, intermediates, workers)

    def _find_levels(self) -> list[int]:
        levels: list[int] = []
        for index, node in enumerate(self._nodes):
            level = max((levels[ref] for ref in node.refs()), default=0)
            if node.entry.reads_itself:
                # an earlier stage must have stored what the function reads
                images = node.images.values()
                level = max(level, *(levels[image] + self._nodes[image].entry.is_fused for image in images))
            levels.append(level + (index in self._stored or node.entry.is_barrier))
        return levels

    def _ends_a_level(self, index: int) -> bool:
        """Whether an image is stored before it is used."""
        return index in self._stored or self._nodes[index].entry.has_own_stage

    def _wanted(self) -> list[list[int]]:
        """The nodes that each level must store or reduce: partials, and images that are outputs."""
        wanted: list[list[int]] = [[] for _ in range(max(self._levels) + 1)]
        outputs = set(self._outputs.values())
        for index, node in enumerate(self._nodes):
            if node.entry.leaves_partials:
                wanted[self._levels[index] - 1].append(index)
            if node.gives == "image" and index in outputs and not node.entry.labels_blocks:
                wanted[self._levels[index] - self._ends_a_level(index)].append(index)
        return wanted

    def _grouped(self, members: Collection[int]) -> dict[tuple[tuple[int, ...], int | None], list[int]]:
        """The nodes of each stage of a level: those on one grid share a stage, unless their entry needs its own."""
        groups: dict[tuple[tuple[int, ...], int | None], list[int]] = {}
        for index in members:
            node = self._nodes[index]
            alone = index if node.entry.has_own_stage else None
            if node.entry.leaves_partials:
                node = self._nodes[next(iter(node.images.values()))]
            groups.setdefault((grid_shape(node.shape), alone), []).append(index)
        return groups

    def _levels_of_intermediates(self, wanted: Sequence[Sequence[int]]) -> dict[int, int]:
        """The intermediate images, and the level that stores each: they must be stored, or storing saves time."""
        levels: dict[int, int] = {}
        for node in self._nodes:
            for image in node.images.values():
                ends_level = self._ends_a_level(image)
                if ends_level or (node.entry.reads_itself and self._nodes[image].entry.is_fused):
                    levels[image] = self._levels[image] - ends_level
        results = _with_intermediates(wanted, levels)
        while (worth := self._worth_storing(results, levels)) is not None:
            index, level = worth
            levels[index] = level
        return levels

    def _computed(self, results: Sequence[int], level: int, intermediates: Mapping[int, int]) -> set[int]:
        """The images that a level computes for its results, given the intermediate images of earlier levels."""
        needed: set[int] = set()
        for index in results:
            node = self._nodes[index]
            needed.update(node.pixels.values() if node.entry.leaves_partials else [index])
        computed: set[int] = set()
        for index, node in reversed(list(enumerate(self._nodes))):
            if index in needed and node.entry.is_local and intermediates.get(index, level) >= level:
                computed.add(index)
                needed.update(node.pixels.values())
        return computed

    def _worth_storing(
        self, results: Sequence[Sequence[int]], intermediates: Mapping[int, int]
    ) -> tuple[int, int] | None:
        """The image whose storing saves most, and the level that stores it; None if no image is worth storing."""
        computed = [self._computed(found, level, intermediates) for level, found in enumerate(results)]
        first: dict[int, int] = {}
        for level, images in enumerate(computed):
            for index in images:
                first.setdefault(index, level)
        savings: dict[int, float] = {}
        for index, level in first.items():
            again = [
                later
                for later in range(level + 1, len(results))
                if index in computed[later] and self._has_new_user(index, later, computed[later], first, results[later])
            ]
            if again and index not in intermediates:
                savings[index] = self._saving_s(index, len(again), computed[again[0]])
        best = max(savings, key=savings.__getitem__, default=None)
        return (best, first[best]) if best is not None and savings[best] > 0 else None

    def _has_new_user(
        self, index: int, level: int, computed: set[int], first: Mapping[int, int], results: Sequence[int]
    ) -> bool:
        """Whether a level uses an image for a new result or image, and not only to recompute other images."""
        for result in results:
            node = self._nodes[result]
            if result == index or (node.entry.leaves_partials and index in node.refs()):
                return True
        return any(first[other] == level and index in self._nodes[other].refs() for other in computed)

    def _saving_s(self, index: int, times: int, computed: Collection[int]) -> float:
        """Seconds saved by storing an image instead of computing it `times` more times."""
        compute_s, needed = 0.0, {index}
        for current in range(index, -1, -1):
            node = self._nodes[current]
            if current in needed and current in computed:
                figure, taps = function_figure(self._cost, node)
                compute_s += figure.seconds_for(node.size_bytes / node.itemsize, calls=0, taps=taps)
                needed.update(node.pixels.values())
            elif current in needed:
                figure = self._cost.figure("read", f"{self._locations.read_from(node)} {node.dtype}")
                compute_s += figure.seconds_for(node.size_bytes, calls=0)
        node = self._nodes[index]
        kind = self._locations.intermediate(node)
        write_s = self._cost.figure("write", f"{kind} {node.dtype}").seconds_for(node.size_bytes, calls=0)
        reserve_s = self._cost.figure("reserve", kind).seconds_for(node.size_bytes)
        read_s = self._cost.figure("read", f"{kind} {node.dtype}").seconds_for(node.size_bytes, calls=0)
        return times * (compute_s - read_s) - write_s - reserve_s


def _with_intermediates(wanted: Sequence[Sequence[int]], levels: Mapping[int, int]) -> list[list[int]]:
    """The results of each level, with the intermediate images that it stores."""
    return [
        [*results, *(index for index, stored_at in levels.items() if stored_at == level)]
        for level, results in enumerate(wanted)
    ]
