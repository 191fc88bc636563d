"""Looks up labels of blocks in the merged table: their global numbers, or whether their components meet a condition."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from lepton_celery.catalogue.arrays import Array, MergedLabels, Where
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Local, ValueFunction
from lepton_celery.catalogue.results import always, given_dtype, value_of
from lepton_celery.catalogue.shared.fastest import fastest
from lepton_celery.catalogue.shared.label_joining import TRUE, positions_of
from lepton_celery.catalogue.shared.label_kernels import table_at
from lepton_celery.grid import BlockIndex, Region


@declare(
    Local(
        "lepton.relabel",
        images=("ids",),
        values=("table",),
        wants_where=True,
        wants_kernels=True,
        dtype=given_dtype,
        cost_ns=3.0,
    )
)
def relabel(ids: Array, table: MergedLabels, dtype: str, where: Where, kernels: bool = False) -> Array:
    """The global labels of a region, from the labels of its blocks."""
    numbers = _Numbers(table)

    def numbers_of(block: BlockIndex) -> Array:
        return np.concatenate([[0], numbers.of_block(block)]).astype(dtype)

    return _look_up(ids, numbers_of, dtype, where, kernels)


@declare(
    Local("lepton.where_true", images=("ids",), values=("table",), wants_where=True, dtype=always(bool), cost_ns=2.0)
)
def where_true(ids: Array, table: MergedLabels, where: Where) -> Array:
    """True on the components that meet the condition, and on the background if it has a pixel of the marker."""

    def states_of(block: BlockIndex) -> Array:
        final = _final_names(table, block)[1]
        return np.concatenate([table.value["background"], [True, False], final == -TRUE])

    return _look_up(ids, states_of, "bool", where)


@declare(ValueFunction("lepton.label_count", values=("table",), result=value_of(np.int64), weak=True))
def label_count(table: MergedLabels) -> int:
    """The number of components, a Python number as from scikit-image."""
    return int(table.value["count"])


def _look_up(
    ids: Array, table_of: Callable[[BlockIndex], Array], dtype: str, where: Where, kernels: bool = False
) -> Array:
    """`table_of(block)[ids]` for each block that overlaps the region."""
    region, grid = where.region, where.grid
    assert grid is not None  # labelled images are always stored
    result = np.empty(ids.shape, dtype=dtype)
    for index in grid.overlapping(region):
        block = grid.region(index)
        if block == region:  # the usual case
            return fastest(table_at, {"table": table_of(index), "ids": ids}, kernels)
        shared = Region(
            tuple(map(max, block.start, region.start)),
            tuple(map(min, block.stop, region.stop)),
        )
        inside = shared.within(region)
        result[inside] = table_of(index)[ids[inside]]
    return result


def _final_names(table: MergedLabels, block: BlockIndex) -> tuple[Array, Array]:
    """The names of a block's open labels before and after joining."""
    names = final = table.partial(0, block)["names"]
    start = table.grids[0].region(block).start
    for level, grid in enumerate(table.grids[1:], start=1):
        group = grid.index([p // b for p, b in zip(start, grid.block_shape, strict=True)])
        final = _renamed(final, table.partial(level, group))
    return names, _renamed(final, table.value)


def _renamed(names: Array, renames: Mapping[str, Array]) -> Array:
    old, new = renames["renamed"], renames["names_after"]
    if not old.size:
        return names
    index = np.minimum(np.searchsorted(old, names), old.size - 1)
    renamed: Array = np.where(old[index] == names, new[index], names)
    return renamed


class _Numbers:
    """Global numbers of the labels of blocks."""

    def __init__(self, table: MergedLabels) -> None:
        self._table = table
        self._own: dict[BlockIndex, tuple[Array, Array, Array]] = {}

    def of_block(self, block: BlockIndex) -> Array:
        """The global number of each label of a block."""
        numbers, ids, final = self._own_numbers(block)
        numbers = numbers.copy()
        grid = self._table.grids[0]
        names = self._table.partial(0, block)["names"]
        elsewhere = np.flatnonzero(final != names)
        position = positions_of(final[elsewhere], grid)
        begins_in = np.ravel_multi_index(
            tuple(p // b for p, b in zip(position, grid.block_shape, strict=True)), grid.counts
        )
        for other in map(BlockIndex, np.unique(begins_in).tolist()):
            labels = elsewhere[begins_in == other]
            their_numbers, their_ids, _ = self._own_numbers(other)
            their_names = self._table.partial(0, other)["names"]
            numbers[ids[labels] - 1] = their_numbers[their_ids[np.searchsorted(their_names, final[labels])] - 1]
        return numbers

    def _own_numbers(self, block: BlockIndex) -> tuple[Array, Array, Array]:
        """The numbers of a block's labels, correct for components that begin there; its open labels; their final names."""
        if block not in self._own:
            partial, grid = self._table.partial(0, block), self._table.grids[0]
            names, final = _final_names(self._table, block)
            counts = partial["counts"].ravel()
            begins = np.ones(int(counts.sum()), np.int64)
            begins[partial["ids"][final != names] - 1] = 0
            so_far = np.cumsum(begins)
            before_row = np.concatenate([[0], so_far])[np.cumsum(counts) - counts]
            region = grid.region(block)
            column = region.start[-1] // grid.block_shape[-1]
            before = self._table.value["before"][region.slices[:-1]][..., column].ravel()
            self._own[block] = np.repeat(before - before_row, counts) + so_far, partial["ids"], final
        return self._own[block]
