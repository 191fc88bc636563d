"""A trace: jobs and their arrivals, and the fleet that they meet.

A file of JSON lines. The first line describes the trace (`Trace`, without its arrivals), each other line one job:

    {"trace": 1, "name": "burst", "about": "…", "targets": {"interactive": 2, "batch": 600}, "minimum": 2, "maximum": 200, …}
    {"at": 12.5, "lane": "batch", "tenant": "a", "stages": [{"blocks": 640, "batch_blocks": 20, "block_s": [0.029, 0.031]}]}

Times are in seconds from the beginning of the trace. Only a job's lane, its tenant and its amounts of work are in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from lepton_celery.errors import InputError
from lepton_celery.fleet.simulation.measured import MEASURED, Seconds, Stage, Times
from lepton_celery.limits import Count, Positive, Text
from lepton_celery.stores.documents import check_version, from_document, to_document, write_atomically

TRACE_VERSION = 1
SHIPPED = ("steady", "burst", "daily", "giant", "poison")
"""The traces that this package has, by name."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A job that is submitted."""

    at: Seconds
    lane: str
    stages: Annotated[tuple[Stage, ...], Meta(min_length=1, max_length=1000)]
    tenant: Text = ""
    weight: Annotated[float, Meta(gt=0, le=1e6)] = 1.0
    """The tenant's share of the lane, in proportion to others."""
    poison: Count = 0
    """Blocks of the first stage that kill the process that does them, until they are given up."""

    @property
    def work_s(self) -> float:
        """Expected seconds of one slot for all blocks and merges."""
        return sum(stage.work_s + stage.merge_s for stage in self.stages)


@dataclass(frozen=True, slots=True)
class Trace:
    """Jobs and their arrivals, and the fleet that they meet."""

    name: Text
    about: Text
    until_s: Annotated[float, Meta(gt=0, le=1e8)]
    """Length of the trace: the simulation ends then, or when the last job ends, if that is later."""
    targets: Annotated[dict[str, Annotated[float, Meta(gt=0, le=1e9)]], Meta(min_length=1)]
    """Target wait of each lane, the most urgent lane first."""
    minimum: Count = 1
    maximum: Positive = 100
    slots_per_worker: Positive = 1
    startup_s: Annotated[float, Meta(gt=0, le=1e6)] = 20.0
    """Seconds from the order of a worker until it takes work, on average."""
    losses_per_hour: Annotated[float, Meta(ge=0, le=1e4)] = 0.0
    """Number of times that a worker is lost in an hour, as spot instances are."""
    reserved: Count = 1
    """Slots that only the most urgent lane may use."""
    times: Times = MEASURED
    arrivals: tuple[Arrival, ...] = field(default=())
    """In the order of their times."""

    @property
    def work_s(self) -> float:
        """Expected seconds of one slot for all jobs."""
        return sum(arrival.work_s for arrival in self.arrivals)


def shipped_trace(name: str) -> Trace:
    """A trace of this package.

    Raises:
        InputError: there is none of this name.
    """
    if name not in SHIPPED:
        raise InputError(f"there is no trace {name!r}; there are {', '.join(SHIPPED)}")
    text = files("lepton_celery.fleet.simulation").joinpath("traces", f"{name}.jsonl").read_text("utf-8")
    return _parsed(text.splitlines(), f"the trace {name!r}")


def read_trace(path: Path) -> Trace:
    """The trace in a file.

    Raises:
        InputError: it cannot be read, or a line of it is not as it should be.
    """
    try:
        return _parsed(path.read_text("utf-8").splitlines(), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no trace that can be read: {error}") from None


def write_trace(path: Path, trace: Trace) -> None:
    """Write a trace to a file.

    Raises:
        StoreError: it cannot be written there.
    """
    header = {"trace": TRACE_VERSION, **to_document(trace)}
    del header["arrivals"]
    lines = (json.dumps(each, separators=(",", ":")) for each in (header, *map(_compact, trace.arrivals)))
    write_atomically(path, ("\n".join(lines) + "\n").encode())


def _compact(arrival: Arrival) -> dict[str, Any]:
    """An arrival without what has its usual value."""
    document = to_document(arrival)
    usual = {"tenant": "", "weight": 1.0, "poison": 0}
    stages = [
        {k: v for k, v in stage.items() if v or k not in ("merge_s", "block_bytes")} for stage in document["stages"]
    ]
    return {k: v for k, v in document.items() if k not in usual or v != usual[k]} | {"stages": stages}


def _parsed(lines: Iterable[str], what: str) -> Trace:
    header, *others = [_document(line, f"line {at} of {what}") for at, line in enumerate(lines, 1) if line.strip()] or [
        {}
    ]
    check_version({"version": header.pop("trace", None)}, TRACE_VERSION, what, "record it again")
    trace = from_document(header | {"arrivals": others}, Trace, what)
    trace = replace(trace, arrivals=tuple(sorted(trace.arrivals, key=lambda arrival: arrival.at)))
    unknown = {arrival.lane for arrival in trace.arrivals} - set(trace.targets)
    if unknown:
        raise InputError(f"{what} has jobs of lane {min(unknown)!r}, for which its first line has no target")
    if trace.minimum > trace.maximum:
        raise InputError(f"{what} has a minimum of {trace.minimum} slots and a maximum of {trace.maximum}")
    return trace


def _document(line: str, what: str) -> dict[str, Any]:
    try:
        document = json.loads(line)
    except ValueError as error:
        raise InputError(f"{what} is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise InputError(f"{what} is no JSON object")
    return document
