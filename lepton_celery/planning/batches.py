"""How a stage's blocks are cut into messages, and written in them.

A batch is a tile of blocks, so that its blocks are neighbours. Towards the end of a stage batches become smaller, so that
all workers are done at about the same time: none takes more than its share of what is left.

Blocks are named by their places in the stage's order. A tile is one stretch of places, so its text is short.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from lepton_celery.grid import Place
from lepton_celery.planning.plan import Stage

_TEXT_CHARS = 60
"""Longest text of scattered blocks in one message, so that its size stays bounded."""


def batches(stage: Stage, workers: int, places: Iterable[int]) -> list[list[Place]]:
    """Places, ascending, as the batches that `workers` processes do."""
    found: list[list[Place]] = []
    stop = most = 0
    for place in map(Place, places):
        batch = found[-1] if found else []
        in_a_row = bool(batch) and place == batch[-1] + 1
        if (
            not batch
            or place >= stop
            or len(batch) >= most
            or not (in_a_row or len(format_blocks(batch)) <= _TEXT_CHARS)
        ):
            found.append([])
            stop = stage.order.stop(place) if stage.tile else len(stage.grid)
            most = _most(stage, workers, place)
        found[-1].append(place)
    return found


def _most(stage: Stage, workers: int, place: Place) -> int:
    """Blocks of a batch that begins at a place."""
    left = (len(stage.grid) - place) // max(1, workers)
    return max(stage.least, min(stage.batch_blocks, left))


def alone(places: Iterable[Place]) -> list[list[Place]]:
    """Each in a batch of its own: a bad block takes no others with it."""
    return [[place] for place in places]


def format_blocks(blocks: Sequence[int]) -> str:
    """Block numbers, ascending, as text: `0-15,18`."""
    return ",".join(f"{a}" if a == z else f"{a}-{z}" for a, z in _stretches(blocks))


def parse_blocks(text: str) -> list[Place]:
    """The block numbers that `format_blocks` wrote."""
    blocks: list[Place] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        blocks.extend(map(Place, range(int(first), int(last or first) + 1)))
    return blocks


def _stretches(blocks: Iterable[int]) -> Iterator[tuple[int, int]]:
    first = last = -1
    for block in blocks:
        if first >= 0 and block == last + 1:
            last = block
            continue
        if first >= 0:
            yield first, last
        first = last = block
    if first >= 0:
        yield first, last
