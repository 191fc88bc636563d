"""Drawings of a job that need no script: block maps as PNG, timelines as SVG."""

from __future__ import annotations

import colorsys
import html
import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from lepton_celery.grid import StageOrdinal
from lepton_celery.jobs.rendering import png_url, spread_hue
from lepton_celery.planning.explain import counted, duration
from lepton_celery.text import shown
from lepton_celery.views.blocks import NO_SLOT, BlockMap, BlockState
from lepton_celery.views.timeline import SlotLine, Span, Timeline

Colour = tuple[int, int, int]
Colours = NDArray[np.uint8]

STATE_COLOURS: dict[BlockState, Colour] = {
    BlockState.WAITS: (222, 226, 230),
    BlockState.SENT: (158, 197, 232),
    BlockState.WORKED_ON: (31, 119, 180),
    BlockState.DONE: (44, 145, 95),
    BlockState.FILLED: (148, 87, 168),
    BlockState.TRIED: (240, 173, 46),
    BlockState.FAILED: (200, 40, 40),
}
STATE_NAMES: dict[BlockState, str] = {
    BlockState.WAITS: "not sent yet",
    BlockState.SENT: "waits for a worker",
    BlockState.WORKED_ON: "worked on",
    BlockState.DONE: "done",
    BlockState.FILLED: "given up and filled",
    BlockState.TRIED: "to be tried again",
    BlockState.FAILED: "failed",
}
_UNKNOWN: Colour = (222, 226, 230)
_SCALE = np.array([(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)], np.float64)
"""Colours from little to much: five of the colour map viridis, which people with colour blindness can read."""
_STAGES: Sequence[Colour] = ((0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233), (213, 94, 0))
"""Colours of the stages in a timeline, by Okabe and Ito; from the seventh stage on they repeat."""

_LONGEST_PX = 308
"""Longest side of a block map, in pixels, unless it has more blocks."""
_LARGEST_CELL_PX = 24
_LEAST_CELL_WITH_GAP_PX = 4
"""Blocks that are drawn smaller have no gap between them."""
_MOST_PLANES = 36
"""Number of planes of a grid of three axes or more up to which they are drawn side by side."""

_ROW_PX, _NAME_PX, _WIDTH_PX, _AXIS_PX = 18, 190, 960, 24
_MOST_ROWS = 100
"""Number of slots that a timeline shows."""
_GAP_PX = 0.5
"""Spans of a stage with a smaller gap between them are drawn as one."""


def state_colours(shown_map: BlockMap) -> Colours:
    """A colour for each block by its state."""
    table = np.array([STATE_COLOURS[state] for state in BlockState], np.uint8)
    found: Colours = table[shown_map.states]
    return found


def time_colours(shown_map: BlockMap) -> Colours:
    """A colour for each block by the time that it took, from the shortest to the longest."""
    seconds = shown_map.seconds
    known = np.isfinite(seconds)
    found = np.full((len(seconds), 3), _UNKNOWN, np.uint8)
    if known.any():
        low, high = float(seconds[known].min()), float(seconds[known].max())
        part = (seconds[known] - low) / (high - low) if high > low else np.zeros(int(known.sum()))
        steps = np.linspace(0, 1, len(_SCALE))
        found[known] = np.stack([np.interp(part, steps, _SCALE[:, channel]) for channel in range(3)], axis=1)
    return found


def slot_colours(shown_map: BlockMap) -> Colours:
    """A colour for each block by the slot that did it."""
    table = np.array([*map(slot_colour, range(len(shown_map.slot_names))), _UNKNOWN], np.uint8)
    return table[np.where(shown_map.slots == NO_SLOT, len(shown_map.slot_names), shown_map.slots)]


def slot_colour(index: int) -> Colour:
    """The colour of a slot: hues at the golden ratio, so that neighbours differ."""
    red, green, blue = colorsys.hls_to_rgb(spread_hue(index), 0.5 + 0.12 * (index % 2), 0.55)
    return round(red * 255), round(green * 255), round(blue * 255)


def map_image(shown_map: BlockMap, colours: Colours, about: str, *, longest_px: int = _LONGEST_PX) -> str:
    """A block map as an `img` element: every block in its place on the image."""
    picture = _arranged(colours.reshape(*shown_map.grid.counts, 3))
    cell = max(1, min(_LARGEST_CELL_PX, longest_px // max(picture.shape[:2])))
    picture = picture.repeat(cell, axis=0).repeat(cell, axis=1)
    if cell >= _LEAST_CELL_WITH_GAP_PX:
        picture[cell - 1 :: cell, :, 3] = 0
        picture[:, cell - 1 :: cell, 3] = 0
    return f'<img class="map" alt="{html.escape(about, quote=True)}" src="{png_url(picture)}">'


def _arranged(blocks: Colours) -> Colours:
    """The colours of a grid of any number of axes, with opacity, as a picture of rows and columns."""
    rows, columns = (1, *blocks.shape[:-1])[-2:]
    opaque = np.concatenate([blocks, np.full((*blocks.shape[:-1], 1), 255, np.uint8)], axis=-1)
    planes = opaque.reshape(-1, rows, columns, 4)
    if len(planes) == 1:
        [only] = planes
        return only
    planes = planes[np.linspace(0, len(planes) - 1, min(len(planes), _MOST_PLANES)).astype(int)]
    across = math.ceil(math.sqrt(len(planes)))
    down = math.ceil(len(planes) / across)
    picture = np.zeros((down * (rows + 1) - 1, across * (columns + 1) - 1, 4), np.uint8)
    for number, plane in enumerate(planes):
        top, left = number // across * (rows + 1), number % across * (columns + 1)
        picture[top : top + rows, left : left + columns] = plane
    return picture


def rgb(colour: Colour) -> str:
    """A colour for CSS and SVG."""
    return "rgb({},{},{})".format(*colour)


def stage_colour(stage: StageOrdinal) -> Colour:
    """The colour of a stage."""
    return _STAGES[(stage - 1) % len(_STAGES)]


def timeline_svg(line: Timeline) -> str:
    """A timeline as an `svg` element: a row for each slot, a bar for what it did, dark for merges."""
    rows, length_s = line.lines[:_MOST_ROWS], max(line.length_s, 1e-6)
    height = _AXIS_PX + _ROW_PX * max(1, len(rows))
    scale = (_WIDTH_PX - _NAME_PX) / length_s
    about = f"What {counted(len(line.lines), 'slot')} did within {duration(length_s)}"
    parts = [
        f'<svg class="timeline" role="img" viewBox="0 0 {_WIDTH_PX} {height}" aria-label="{html.escape(about)}">',
        *_axis(length_s, scale, height),
    ]
    for number, row in enumerate(rows):
        top = _AXIS_PX + number * _ROW_PX
        name = html.escape(shown(row.slot, 30))
        parts.append(f'<text x="{_NAME_PX - 8}" y="{top + 13}" text-anchor="end">{name}</text>')
        parts += [_bar(span, left, width, top) for span, left, width in _bars(row, scale)]
    parts.append("</svg>")
    if len(line.lines) > len(rows):
        parts.append(f"<p>and {counted(len(line.lines) - len(rows), 'slot')} more</p>")
    return "".join(parts)


def _axis(length_s: float, scale: float, height: int) -> Iterator[str]:
    power = 10 ** math.floor(math.log10(length_s / 5))
    step = next(power * factor for factor in (1, 2, 5, 10) if length_s / (power * factor) <= 8)
    for number in range(int(length_s / step) + 1):
        x = _NAME_PX + number * step * scale
        yield f'<line class="tick" x1="{x:.1f}" x2="{x:.1f}" y1="{_AXIS_PX - 6}" y2="{height}"/>'
        yield f'<text x="{x:.1f}" y="12" text-anchor="middle">{number * step:g} s</text>'


def _bars(row: SlotLine, scale: float) -> Iterator[tuple[Span, float, float]]:
    """The bars of a row: what they stand for, and their left edges and widths in pixels."""
    open_bar: tuple[Span, float, float] | None = None
    for span in sorted(row.spans, key=lambda one: one.began):
        left = _NAME_PX + max(0.0, span.began) * scale
        width = max(0.75, (span.ended - span.began) * scale)
        if open_bar is not None:
            before, start, length = open_bar
            is_same = (before.stage, bool(before.blocks)) == (span.stage, bool(span.blocks))
            if is_same and left - (start + length) < _GAP_PX:
                open_bar = before, start, max(length, left + width - start)
                continue
            yield open_bar
        open_bar = span, left, width
    if open_bar is not None:
        yield open_bar


def _bar(span: Span, left: float, width: float, top: int) -> str:
    colour = stage_colour(span.stage) if span.blocks else (40, 40, 40)
    what = f"stage {span.stage}, {counted(span.blocks, 'block')}" if span.blocks else f"stage {span.stage}, merge"
    title = f"{what}: {span.began:.2f} to {span.ended:.2f} s"
    box = f'x="{left:.2f}" y="{top + 2}" width="{width:.2f}" height="{_ROW_PX - 4}"'
    return f'<rect {box} fill="{rgb(colour)}"><title>{title}</title></rect>'
