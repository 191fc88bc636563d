"""Batches: the blocks of a stage that one message names, and their text in the message.

A batch is a tile of blocks, so that its blocks are neighbours. Near the end of a stage batches become smaller, so that all
workers finish at about the same time: no batch is larger than a worker's share of the remaining blocks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from lepton_celery.errors import InputError
from lepton_celery.grid import Place
from lepton_celery.limits import MAX_PLACES
from lepton_celery.planning.plan import Stage
from lepton_celery.text import quoted

_PLACES = re.compile(r"[0-9]{1,10}(-[0-9]{1,10})?(,[0-9]{1,10}(-[0-9]{1,10})?){0,20000}")

_TEXT_CHARS = 60
"""Characters of the text of a batch from which a gap in its places begins the next batch; bounds the size of a message."""


def places_between(start: int, stop: int) -> list[Place]:
    """All places from `start` up to `stop`."""
    return [Place(number) for number in range(start, stop)]


def batches(stage: Stage, workers: int, places: Iterable[Place], *, largest: int = 0) -> list[list[Place]]:
    """Group places, given in ascending order, into batches for `workers` processes.

    With a number `largest`, no batch has more blocks than that.
    """
    grouped: list[list[Place]] = []
    batch: list[Place] = []
    tile_end = most = 0
    for place in places:
        has_long_text = bool(batch) and place != batch[-1] + 1 and len(format_places(batch)) > _TEXT_CHARS
        if place >= tile_end or len(batch) >= most or has_long_text:
            batch = []
            grouped.append(batch)
            tile_end = stage.tiling.stop(place)
            share = (len(stage.grid) - place) // max(1, workers)
            most = max(stage.min_batch_blocks, min(stage.batch_blocks, share))
            most = min(most, largest or most)
        batch.append(place)
    return grouped


def format_places(places: Sequence[Place]) -> str:
    """Places, given in ascending order, as text: `0-15,18`."""
    stretches: list[list[Place]] = []
    for place in places:
        if stretches and place == stretches[-1][1] + 1:
            stretches[-1][1] = place
        else:
            stretches.append([place, place])
    return ",".join(f"{a}" if a == z else f"{a}-{z}" for a, z in stretches)


def parse_places(text: str) -> list[Place]:
    """The places that `format_places` wrote.

    Raises:
        InputError: the text has another form, or names more than `MAX_PLACES` places; it is refused before memory is taken.
    """
    if not _PLACES.fullmatch(text):
        raise InputError(f"the places {quoted(text)} of a batch are not understood; they have the form 0-15,18")
    stretches = [(int(first), int(last or first)) for first, _, last in (one.partition("-") for one in text.split(","))]
    count = sum(last - first + 1 for first, last in stretches)
    if count > MAX_PLACES or any(last < first for first, last in stretches):
        raise InputError(
            f"the places {quoted(text)} of a batch are {count:,}; a batch has 1 to {MAX_PLACES:,}, ascending"
        )
    return [place for first, last in stretches for place in places_between(first, last + 1)]
