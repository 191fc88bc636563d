"""Arguments and images that the prover does not try by itself, block by block, against the whole image."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from lepton_celery import graph
from lepton_celery.catalogue import get_entry
from lepton_celery.catalogue.entries import resolve
from lepton_celery.errors import NotExactWarning
from tests.exactness.cases import every_case
from tests.exactness.cases.case import BLOCKS, FLAT, SOLID, Case, shifted, signed
from tests.exactness.test_proofs import NOT_PROVED
from tests.oracle import assert_as_promised, picture

CASES = every_case()


@pytest.mark.filterwarnings("ignore:possible precision loss:UserWarning")  # h_maxima on the whole image
@pytest.mark.filterwarnings("ignore:.*is deprecated since:FutureWarning")  # binary_erosion and others
@pytest.mark.filterwarnings("ignore:Conversion from CIE-LAB:UserWarning")  # colours that do not exist
@pytest.mark.filterwarnings("ignore:The probability range:UserWarning")  # random_walker, which stops early
@pytest.mark.filterwarnings("ignore:Downcasting:UserWarning")  # images that fit a narrower dtype
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # logarithms of 0, in the whole image too
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
        results = zip(lazy, expected, strict=True) if isinstance(lazy, tuple) else [(lazy, expected)]
        # the first dtype in all shapes of blocks, each other dtype in one
        chosen = shapes if turn == 0 else [shapes[turn % len(shapes)]]
        for node, pixels in results:
            for block_shape in chosen:
                assert_as_promised(node, pixels, block_shape)


def test_functions_without_a_proof_have_a_case() -> None:
    assert set(NOT_PROVED) <= {case.name for case in CASES}


def test_no_case_repeats_what_the_prover_tries() -> None:
    """The prover tries each function on its own images, with the arguments of the entry's example."""
    assert [str(case) for case in CASES if _is_proved_anyway(case)] == []


def _is_proved_anyway(case: Case) -> bool:
    if (
        case.given
        or case.blocks
        or case.make not in (picture, signed)
        or any(make is not shifted for make in case.more)
    ):
        return False
    if len(case.shape) == 1 or not {case.shape, case.shape[:-1]} & {FLAT, SOLID}:
        return False
    entry = get_entry(case.name)
    tried = entry.complete(entry.example_for(len(case.shape)))
    return all(
        name in tried and type(value) is type(tried[name]) and np.array_equal(value, tried[name])
        for name, value in case.options.items()
    )
