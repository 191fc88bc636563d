"""Blocks are divided into batches: each block once, by tiles, in smaller batches towards the end of a stage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lepton_celery.grid import Place
from lepton_celery.planning.batches import batches, format_places, parse_places, places_between
from lepton_celery.planning.plan import Prediction, Stage


def stage(counts: tuple[int, ...], tile: tuple[int, ...], batch_blocks: int) -> Stage:
    ones = (1,) * len(counts)
    return Stage(
        counts,
        ones,
        batch_blocks,
        (),
        (),
        (),
        Prediction(),
        tile=tile,
        box_blocks=ones,
        min_batch_blocks=-(-batch_blocks // 4),
    )


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 5), st.integers(1, 5), st.integers(1, 9), st.data())
def test_every_place_is_in_one_batch(
    down: int, right: int, tall: int, wide: int, workers: int, data: st.DataObject
) -> None:
    made = stage((down, right), (tall, wide), tall * wide)
    places = sorted(map(Place, data.draw(st.sets(st.integers(0, down * right - 1)))))
    found = batches(made, workers, places)
    assert [place for batch in found for place in batch] == places
    assert all(0 < len(batch) <= made.batch_blocks for batch in found)
    for batch in found:
        assert made.tiling.stop(batch[0]) == made.tiling.stop(batch[-1])


def test_batches_are_tiles() -> None:
    assert batches(stage((4, 6), (2, 3), 6), 1, places_between(0, 12)) == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]


def test_batches_become_smaller_towards_the_end_of_a_stage() -> None:
    sizes = [len(batch) for batch in batches(stage((256,), (16,), 16), 2, places_between(0, 256))]
    assert sizes[:14] == [16] * 14
    assert sizes[-1] == 4  # a quarter
    assert len(sizes) <= 16 + 4  # few more than without smaller batches


def test_a_tile_of_several_batches_is_cut_in_order() -> None:
    made = stage((64,), (64,), 4)
    assert batches(made, 1, places_between(0, 8)) == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_scattered_blocks_make_messages_of_bounded_length() -> None:
    made = stage((1_000_000,), (1_000_000,), 1000)
    found = batches(made, 1, map(Place, range(0, 999_999, 1001)))
    assert max(len(format_places(batch)) for batch in found) < 80


@pytest.mark.parametrize(
    ("blocks", "text"), [([0], "0"), ([0, 1, 2], "0-2"), ([0, 1, 2, 18], "0-2,18"), ([3, 5, 6], "3,5-6")]
)
def test_block_numbers_are_written_as_ranges(blocks: list[int], text: str) -> None:
    assert format_places(list(map(Place, blocks))) == text
    assert parse_places(text) == blocks
