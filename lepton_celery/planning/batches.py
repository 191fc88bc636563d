"""How a stage's blocks are grouped into batches, and how a message names the blocks of a batch.

A batch is a tile of blocks, so that its blocks are neighbours. Near the end of a stage batches become smaller, so that all
workers end at about the same time: no batch is larger than a worker's share of the rest.

Messages name blocks by their places. A tile is one stretch of places, so its text is short.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from lepton_celery.grid import Place
from lepton_celery.planning.plan import Stage

_TEXT_CHARS = 60
"""Longest text of scattered blocks in one message; it bounds the message's size."""


def places_between(start: int, stop: int) -> list[Place]:
    """All places from `start` up to `stop`."""
    return [Place(number) for number in range(start, stop)]


def batches(stage: Stage, workers: int, places: Iterable[Place]) -> list[list[Place]]:
    """Places, in ascending order, as the batches that `workers` processes do."""
    grouped: list[list[Place]] = []
    tile_end = most = 0
    for place in places:
        batch = grouped[-1] if grouped else []
        adjoins = bool(batch) and place == batch[-1] + 1
        if (
            not batch
            or place >= tile_end
            or len(batch) >= most
            or not (adjoins or len(format_places(batch)) <= _TEXT_CHARS)
        ):
            grouped.append([])
            tile_end = stage.tiling.stop(place) if stage.tile else len(stage.grid)
            most = _largest_batch(stage, workers, place)
        grouped[-1].append(place)
    return grouped


def _largest_batch(stage: Stage, workers: int, place: Place) -> int:
    """Most blocks of a batch that begins at a place."""
    share = (len(stage.grid) - place) // max(1, workers)
    return max(stage.min_batch_blocks, min(stage.batch_blocks, share))


def alone(places: Iterable[Place]) -> list[list[Place]]:
    """Each place in a batch of its own, so that a bad block takes no others with it."""
    return [[place] for place in places]


def format_places(places: Sequence[Place]) -> str:
    """Places, in ascending order, as text: `0-15,18`."""
    return ",".join(f"{a}" if a == z else f"{a}-{z}" for a, z in _stretches(places))


def parse_places(text: str) -> list[Place]:
    """The places that `format_places` wrote."""
    places: list[Place] = []
    for stretch in text.split(","):
        first, _, last = stretch.partition("-")
        places += places_between(int(first), int(last or first) + 1)
    return places


def _stretches(places: Iterable[Place]) -> Iterator[tuple[int, int]]:
    """First and last place of each stretch of consecutive places."""
    first = last = -1
    for place in places:
        if first >= 0 and place == last + 1:
            last = place
            continue
        if first >= 0:
            yield first, last
        first = last = place
    if first >= 0:
        yield first, last
