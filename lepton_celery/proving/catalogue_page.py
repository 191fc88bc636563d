"""The catalogue as a document: every function, its class, halo, exactness, whole-image values, dtypes and source."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from lepton_celery import graph
from lepton_celery.catalogue import get_entry, public_names
from lepton_celery.catalogue.entries import Composite, Entry, Iterated, Labelling, Local, Reduction, Refused
from lepton_celery.catalogue.geometry import Stencil, Whole
from lepton_celery.catalogue.source import SOURCE
from lepton_celery.errors import LeptonError
from lepton_celery.graph.nodes import Node, topological
from lepton_celery.planning.lowering import expanded_parents
from lepton_celery.proving.prove import Trial, sample_images

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
"""What becomes of a function, in words."""


@dataclass(frozen=True)
class Row:
    """One function of the catalogue."""

    name: str
    kind: str
    halo: str
    exactness: str
    needs: str
    """The whole-image values it needs."""
    dtypes: str
    source: str
    note: str
    """Why it is not identical, or refused."""


def rows() -> list[Row]:
    """Every public function, by name."""
    return [_row(get_entry(name)) for name in public_names()]


def compiled() -> list[str]:
    """The functions that have a compiled kernel."""
    entries = {name: get_entry(name) for name in public_names()}
    return [name for name, entry in entries.items() if isinstance(entry, Local) and entry.kernel is not None]


def _row(entry: Entry) -> Row:
    parts = list(_parts(entry))
    needs = [part.name.removeprefix("lepton.") for part in parts if isinstance(part, Reduction)]
    if isinstance(entry, Refused):
        return Row(entry.name, "refused", "", "refused", "", "", entry.source, f"{entry.reason}; use {entry.instead}")
    promise = None if callable(entry.promise) else entry.promise
    halo = [part.geometry.formula for part in parts if isinstance(part, Local) and isinstance(part.geometry, Stencil)]
    return Row(
        entry.name,
        _kind(entry, parts),
        "; ".join(dict.fromkeys(formula for formula in halo if formula != "0")) or "0",
        "depends on the arguments" if promise is None else str(promise),
        ", ".join(dict.fromkeys(needs)),
        " ".join(entry.dtypes) or _kinds(entry.dtype_kinds),
        entry.source,
        promise.reason if promise is not None else "",
    )


def _kinds(kinds: str) -> str:
    words = {"b": "bool", "i": "int", "u": "uint", "f": "float"}
    return " ".join(words[kind] for kind in kinds)


def _parts(entry: Entry) -> Iterable[Entry]:
    """The entries that do the work: the entry itself, or those a composite expands to for a small image."""
    if not isinstance(entry, Composite):
        return [entry]
    for ndim in entry.ndims or (2, 3):
        for dtype in ("uint8", "float64", *entry.declared_dtypes()):
            node = _node(entry, ndim, dtype)
            if node is not None:
                order = topological([node], expanded_parents)
                return [get_entry(n.operation) for n in order if n.operation != SOURCE and n.inner is None]
    raise AssertionError(f"{entry.name} takes none of its own samples; give it an example")


def _node(entry: Entry, ndim: int, dtype: str) -> Node | None:
    if not entry.accepts(np.dtype(dtype)):
        return None
    trial = Trial("ties", dtype, (24,) * ndim, (8,) * ndim, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            example = entry.example_for(ndim)
            lazy = graph.apply(entry.name, **sample_images(entry, example, trial), **example)
        except LeptonError:
            return None
    node: Node = lazy[0] if isinstance(lazy, tuple) else lazy
    return node


def _kind(entry: Entry, parts: Iterable[Entry]) -> str:
    gives = entry.gives if isinstance(entry, Composite) else "image"
    stages = [part for part in parts if isinstance(part, Local)]
    if any(isinstance(part.geometry, Whole) for part in stages):
        return "whole"
    if any(isinstance(part, Iterated) for part in parts):
        return "in rounds"
    if any(part.reads_itself and part.own_stage is not None for part in stages):
        return "reads for itself"
    if gives == "table":
        return "table"
    if any(isinstance(part, Labelling) for part in parts):
        return "labels"
    if gives == "value":
        return "value"
    if any(isinstance(part, Reduction) for part in parts):
        return "value, then pixels"
    if any(not isinstance(part.geometry, Stencil) for part in stages):
        return "geometry"
    halo = any(isinstance(part.geometry, Stencil) and part.geometry.formula != "0" for part in stages)
    return "stencil" if halo else "pointwise"


def markdown() -> str:
    """The document."""
    found = rows()
    done = [row for row in found if row.kind != "refused"]
    identical = [row for row in done if row.exactness == "identical"]
    counts = Counter(row.kind for row in found)
    same = Counter(row.kind for row in identical)
    lines = [
        "# The catalogue",
        "",
        "<!-- written by `make docs`; a test compares it with the catalogue -->",
        "",
        f"{len(done)} functions, {len(identical)} of them identical to the whole-image result for all arguments they take;",
        f"{len(found) - len(done)} more are known and refused. Every declaration is proved by `tests/exactness`, and you",
        "can prove it again on your machine: `lepton prove filters.gaussian --param sigma=2`.",
        "",
        "| class | functions | identical | what it means |",
        "|---|---|---|---|",
        *(f"| {kind} | {counts[kind]} | {same[kind]} | {words} |" for kind, words in CLASSES.items() if counts[kind]),
        "",
        "Halo: pixels read on each side of a block. Dtypes are NumPy's, by kind where all of a kind are taken.",
        "",
        "With the extra `fast`, these have compiled kernels, which give the same bytes sooner for most arguments:",
        f"{', '.join(f'`{name}`' for name in compiled())}.",
        "",
    ]
    for module in dict.fromkeys(row.name.rpartition(".")[0] for row in done):
        lines += [
            f"## {module}",
            "",
            "| function | class | halo | exactness | whole-image values | dtypes |",
            "|---|---|---|---|---|---|",
            *(_line(row) for row in done if row.name.rpartition(".")[0] == module),
            "",
        ]
    lines += ["## Refused", "", "| function | why, and what to use |", "|---|---|"]
    lines += [f"| `{row.name}` | {_cell(row.note)} |" for row in found if row.kind == "refused"]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _line(row: Row) -> str:
    note = f": {row.note}" if row.note else ""
    cells = [f"`{row.name}`", row.kind, row.halo, row.exactness + note, row.needs, row.dtypes]
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |"
