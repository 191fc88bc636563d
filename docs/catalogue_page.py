"""Writes docs/catalogue.md: what becomes of every function, and how exact it is.

`make docs` runs it, through `lepton operations --markdown`. The wheel carries it too, so that an installation can list
what its own release does.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lepton_celery import graph
from lepton_celery.catalogue import get_entry, public_names
from lepton_celery.catalogue.entries import Composite, Entry, Local, Refused
from lepton_celery.catalogue.geometry import Stencil, Whole
from lepton_celery.catalogue.promise import Exactness, Promise
from lepton_celery.catalogue.source import SOURCE
from lepton_celery.errors import LeptonError
from lepton_celery.graph.nodes import Node, topological
from lepton_celery.planning.lowering import expanded_parents
from lepton_celery.proving.subjects import Trial, sample_images

CLASSES = {
    "pointwise": "a pixel follows from the pixel in its place",
    "stencil": "a pixel follows from those within a halo",
    "geometry": "pixels come from other places: other sizes, other axes, other sides",
    "value": "a number, a few numbers or a list for the whole image, merged from what each block adds",
    "value, then pixels": "whole-image values are found first and then used on every pixel",
    "labels": "blocks are labelled alone and joined across their faces",
    "table": "a row per object, objects cut by blocks included",
    "in rounds": "blocks are done again until nothing changes any more",
    "reads for itself": "blocks read as far as they need to, and prove that it was far enough",
    "whole": "cannot be split: runs as one block in a stage of its own, within a worker's memory",
    "refused": "asking for it is an error that says what to use instead",
}
"""What becomes of a function, with its meaning."""

_HEAD = """\
# The catalogue

<!-- written by `make docs`; a test compares it with the catalogue -->

{split} functions, {identical} of them identical to the whole-image result for all arguments they take;
{refused} more are known and refused. Every declaration is proved by `tests/exactness`, and you
can prove it again on your machine: `lepton prove filters.gaussian --param sigma=2`.

| class | functions | identical | what it means |
|---|---|---|---|
{classes}

Halo: pixels read on each side of a block. Dtypes are NumPy's, by kind where all of a kind are taken. An approximate result
has a bound: its largest mean absolute error, as a share of the result's greatest magnitude.

With the extra `fast`, these have compiled kernels, which give the same bytes sooner for most arguments:
{compiled}.
"""
_TABLE = """
## {module}

| function | class | halo | exactness | whole-image values | dtypes |
|---|---|---|---|---|---|
{lines}
"""
_REFUSED = """
## Refused

| function | why, and what to use |
|---|---|
{lines}
"""


@dataclass(frozen=True)
class Row:
    """One function of the catalogue."""

    name: str
    kind: str
    """One of `CLASSES`."""
    halo: str
    exactness: str
    needs: str
    """The whole-image values it needs."""
    dtypes: str
    note: str
    """Why it is not identical, or refused."""


def rows() -> list[Row]:
    """Every public function, by name."""
    return [_row(get_entry(name)) for name in public_names()]


def markdown() -> str:
    """The document."""
    every_row = rows()
    split = [row for row in every_row if row.kind != "refused"]
    identical = [row for row in split if row.exactness == "identical"]
    counts, same = Counter(row.kind for row in every_row), Counter(row.kind for row in identical)
    classes = [f"| {kind} | {counts[kind]} | {same[kind]} | {text} |" for kind, text in CLASSES.items() if counts[kind]]
    compiled = [name for name in public_names() if getattr(get_entry(name), "kernel", None) is not None]
    page = _HEAD.format(
        split=len(split),
        identical=len(identical),
        refused=len(every_row) - len(split),
        classes="\n".join(classes),
        compiled=", ".join(f"`{name}`" for name in compiled),
    )
    for module in dict.fromkeys(row.name.rpartition(".")[0] for row in split):
        lines = [_line(row) for row in split if row.name.rpartition(".")[0] == module]
        page += _TABLE.format(module=module, lines="\n".join(lines))
    lines = [f"| `{row.name}` | {_cell(row.note)} |" for row in every_row if row.kind == "refused"]
    return page + _REFUSED.format(lines="\n".join(lines))


def _line(row: Row) -> str:
    exactness = f"{row.exactness}: {row.note}" if row.note else row.exactness
    cells = [f"`{row.name}`", row.kind, row.halo, exactness, row.needs, row.dtypes]
    return "| " + " | ".join(map(_cell, cells)) + " |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _row(entry: Entry) -> Row:
    if isinstance(entry, Refused):
        return Row(entry.name, "refused", "", "refused", "", "", f"{entry.reason}; use {entry.instead}")
    members = _members(entry)
    promise = None if callable(entry.promise) else entry.promise
    halo = [m.geometry.formula for m in members if isinstance(m, Local) and isinstance(m.geometry, Stencil)]
    needs = [m.name.removeprefix("lepton.") for m in members if m.leaves_partials and not m.labels_blocks]
    return Row(
        entry.name,
        _kind(entry, members),
        "; ".join(dict.fromkeys(formula for formula in halo if formula != "0")) or "0",
        "depends on the arguments" if promise is None else _exactness(promise),
        ", ".join(dict.fromkeys(needs)),
        " ".join(
            entry.dtypes
            or ({"b": "bool", "i": "int", "u": "uint", "f": "float", "e": "float16"}[k] for k in entry.dtype_kinds)
        ),
        promise.reason if promise is not None else "",
    )


def _exactness(promise: Promise) -> str:
    return f"{promise}, bound {promise.bound:g}" if promise.exactness is Exactness.APPROXIMATE else str(promise)


def _members(entry: Entry) -> Sequence[Entry]:
    """The entries that do the work: the entry itself, or those a composite expands to for a small image."""
    if not isinstance(entry, Composite):
        return [entry]
    for ndim in entry.ndims or (2, 3):
        for dtype in ("uint8", "float64", *entry.declared_dtypes()):
            if (node := _node(entry, ndim, dtype)) is not None:
                nodes = topological([node], expanded_parents)
                return [get_entry(n.operation) for n in nodes if n.operation != SOURCE and n.inner is None]
    raise AssertionError(f"{entry.name} takes none of its own samples; give it an example")


def _node(entry: Entry, ndim: int, dtype: str) -> Node | None:
    if not entry.accepts(np.dtype(dtype)):
        return None
    trial = Trial("ties", dtype, (24,) * ndim, (8,) * ndim, 0)
    example = entry.example_for(ndim)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            lazy = graph.apply(entry.name, **sample_images(entry, example, trial), **example)
        except LeptonError:
            return None
    node: Node = lazy[0] if isinstance(lazy, tuple) else lazy
    return node


def _kind(entry: Entry, members: Sequence[Entry]) -> str:
    gives = entry.gives if isinstance(entry, Composite) else "image"
    local = [member for member in members if isinstance(member, Local)]
    cases = {
        "whole": any(isinstance(member.geometry, Whole) for member in local),
        "in rounds": any(member.is_iterated for member in members),
        "reads for itself": any(member.reads_itself and member.has_own_stage for member in local),
        "table": gives == "table",
        "labels": any(member.labels_blocks for member in members),
        "value": gives == "value",
        "value, then pixels": any(member.leaves_partials for member in members),
        "geometry": not all(isinstance(member.geometry, Stencil) for member in local),
        "stencil": any(isinstance(member.geometry, Stencil) and member.geometry.formula != "0" for member in local),
    }
    return next((kind for kind, holds in cases.items() if holds), "pointwise")
