"""Drawings of jobs: block maps of grids of any number of axes and blocks, and timelines."""

from __future__ import annotations

import base64
import re
import time
from io import BytesIO
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from lepton_celery.grid import BlockGrid, StageOrdinal
from lepton_celery.views.blocks import NO_SLOT, BlockMap, BlockState
from lepton_celery.views.drawing import (
    STATE_COLOURS,
    STATE_NAMES,
    map_image,
    slot_colours,
    state_colours,
    time_colours,
    timeline_svg,
)
from lepton_celery.views.timeline import SlotLine, Span, Timeline


def blocks(*counts: int) -> BlockMap:
    grid = BlockGrid(tuple(10 * count for count in counts), (10,) * len(counts))
    number = np.arange(len(grid))
    return BlockMap(
        grid,
        (number % len(BlockState)).astype(np.uint8),
        np.zeros(len(grid), np.uint8),
        np.where(number % 3 == 0, np.nan, number).astype(np.float32),
        number.astype(np.float32),
        np.where(number % 5 == 0, NO_SLOT, number % 4).astype(np.uint16),
        ("a@h/1", "a@h/2", "b@h/3", "b@h/4"),
    )


def drawn(element: str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    found = re.search(r'src="data:image/png;base64,([^"]+)"', element)
    assert found is not None
    return np.asarray(Image.open(BytesIO(base64.b64decode(found[1]))).convert("RGBA"))


@pytest.mark.parametrize(
    ("counts", "size"),
    [
        ((1,), (24, 24)),
        ((7,), (24, 168)),
        ((3, 5), (72, 120)),
        ((5, 1), (120, 24)),
        ((3, 5, 1), (11 * 24, 3 * 24)),
        ((1, 3, 5), (72, 120)),
        ((4, 3, 5), (7 * 24, 11 * 24)),
        ((200, 300), (200, 300)),
    ],
)
def test_every_block_is_in_its_place(counts: tuple[int, ...], size: tuple[int, int]) -> None:
    shown = blocks(*counts)
    picture = drawn(map_image(shown, state_colours(shown), "a <map>"))
    assert picture.shape[:2] == size
    cell = size[0] // counts[-2] if len(counts) == 2 else 24
    if len(counts) == 2:
        found = picture[::cell, ::cell, :3].reshape(-1, 3)
        expected = [STATE_COLOURS[BlockState(state)] for state in shown.states]
        assert np.array_equal(found, np.array(expected))


def test_colours_tell_what_is_not_known() -> None:
    shown = blocks(3, 5)
    unknown = time_colours(shown)[0]
    assert np.array_equal(slot_colours(shown)[0], unknown)
    assert len(np.unique(time_colours(shown), axis=0)) == 1 + 10
    assert len(np.unique(slot_colours(shown), axis=0)) == 1 + 4
    assert set(STATE_NAMES) == set(STATE_COLOURS) == set(BlockState)


def test_a_million_blocks_are_a_small_picture() -> None:
    shown = blocks(1000, 1000)
    began = time.process_time()
    element = map_image(shown, time_colours(shown), "many")
    assert time.process_time() - began < 5
    assert drawn(element).shape[:2] == (1000, 1000)
    done = map_image(shown, np.full((10**6, 3), 7, np.uint8), "all alike")
    assert len(done) < 20_000


def test_a_timeline_is_svg_with_a_row_for_each_slot() -> None:
    spans = tuple(Span(at, at + 0.5, StageOrdinal(1 + at // 10), 0, 4 * (at % 7 > 0), 0.25, 0.25) for at in range(20))
    lines = tuple(SlotLine(f"<b>&{number}", spans) for number in range(3))
    text = timeline_svg(Timeline(20.5, 30.0, lines))
    root = ElementTree.fromstring(text)
    assert len(root.findall("rect")) == 60
    assert len([one for one in root.findall("text") if (one.text or "").startswith("<b>&")]) == 3


def test_neighbouring_bars_are_drawn_as_one() -> None:
    spans = tuple(Span(n * 0.01, n * 0.01 + 0.0099, StageOrdinal(1), 0, 1, 0.0, 0.0) for n in range(100_000))
    text = timeline_svg(Timeline(1000.0, 990.0, (SlotLine("a", spans),)))
    assert text.count("<rect") == 1
    assert "and 20 slots more" in timeline_svg(Timeline(1.0, 0.0, (SlotLine("a", ()),) * 120))


@pytest.mark.parametrize("length_s", [0.0, 1e-5, 0.3, 7.0, 99.0, 12345.0, 1e7])
def test_an_axis_has_a_few_ticks(length_s: float) -> None:
    ticks = timeline_svg(Timeline(length_s, 0.0, ())).count('class="tick"')
    assert 3 <= ticks <= 10
