"""Every function of the catalogue, block by block, against the whole image."""

from __future__ import annotations

import warnings

import pytest

from lepton_celery import graph
from lepton_celery.catalogue import catalogue, get_entry, public_names
from lepton_celery.catalogue.entries import Refused, resolve
from lepton_celery.errors import NotExactWarning
from tests.exactness.cases import every_case
from tests.exactness.cases.case import BLOCKS, Case
from tests.oracle import assert_as_promised

CASES = every_case()


@pytest.mark.filterwarnings("ignore:possible precision loss:UserWarning")  # of h_maxima, which blocks do not repeat
@pytest.mark.filterwarnings("ignore:.*is deprecated since:FutureWarning")  # of binary_erosion and its like
@pytest.mark.filterwarnings("ignore:Conversion from CIE-LAB:UserWarning")  # of colours that there are none of
@pytest.mark.filterwarnings("ignore:Downcasting:UserWarning")  # of images that fit a narrower dtype as they are
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # logarithms of 0 and the like, which the whole image has too
@pytest.mark.parametrize("case", CASES, ids=str)
def test_blocks_give_the_pixels_of_the_whole_image(case: Case) -> None:
    whole = resolve(get_entry(case.name).source)
    spatial = len(case.shape) - (len(case.shape) >= 3 and case.shape[-1] <= 4)
    shapes = case.blocks or BLOCKS[spatial]
    for turn, dtype in enumerate(case.dtypes):
        image = case.make(case.shape, dtype)
        more = [argument(image) for argument in case.more]
        options = {**case.options, **{name: make(image) for name, make in case.given.items()}}
        expected = whole(image, *more, **options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotExactWarning)
            lazy = graph.apply(case.name, graph.open(image), *more, **options)
        parts = zip(lazy, expected, strict=True) if isinstance(lazy, tuple) else [(lazy, expected)]
        # the first dtype in all blocks, the others in one each
        chosen = shapes if turn == 0 else [shapes[turn % len(shapes)]]
        for part, wanted in parts:
            for block_shape in chosen:
                assert_as_promised(part, wanted, block_shape)


def test_every_public_function_has_a_case() -> None:
    split = {name for name in public_names() if not isinstance(catalogue()[name], Refused)}
    assert split - {case.name for case in CASES} == set()
