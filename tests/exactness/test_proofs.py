"""Proofs of the catalogue's declarations: every function, with every dtype that it declares; volumes with some of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import pytest

from lepton_celery.catalogue import catalogue, public_names
from lepton_celery.catalogue.promise import IDENTICAL
from lepton_celery.proving import prove as prover
from lepton_celery.proving.samples import BLOCKS

NOT_PROVED = {
    "feature.graycoprops": "takes matrices of counts, not images; tests/exactness/cases/feature.py has its cases",
}
"""Functions that are not tried, with the reason."""

PROVED = [name for name in public_names() if not catalogue()[name].is_refused and name not in NOT_PROVED]

TRIALS = int(os.environ.get("PROOF_TRIALS", "1"))
"""Comparisons for each dtype and number of axes; `make proofs` makes more."""
TRIES = 36
"""Images that a function may refuse before one is compared."""

EXCUSED: Mapping[str, Mapping[str, str]] = {
    f"filters.threshold_{name}": dict.fromkeys(
        ("uint16", "int16"), "scikit-image takes a minute an image; test_thresholds tries it on a narrow range"
    )
    for name in ("minimum", "multiotsu")
}
"""Declared dtypes that are not tried, with the reason, by function."""

GIVEN: Mapping[str, Mapping[str, Any]] = {"metrics.structural_similarity": {"data_range": 1.0}}
"""Arguments without which scikit-image refuses some dtypes."""


@pytest.mark.parametrize("name", PROVED)
def test_every_function_is_proved_for_every_declared_dtype(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # there are more than 400 functions with up to eleven dtypes each
    monkeypatch.setattr(prover, "QUICK_TRIALS", TRIALS)
    monkeypatch.setattr(prover, "QUICK_TRIES", -(-TRIES // TRIALS))
    entry = catalogue()[name]
    taken = [ndim for ndim in entry.ndims or (2, 3) if ndim in BLOCKS]
    ndims = [ndim for ndim in taken if ndim <= 3] or taken  # 4-D only if it takes nothing else: that is slow
    declared = [dtype for dtype in entry.declared_dtypes() if dtype not in EXCUSED.get(name, {})]
    given = GIVEN.get(name, {})
    proof = prover.prove(name, thorough=False, ndims=ndims[:1], dtypes=declared, **given)
    assert proof.holds, str(proof)
    every = 1 if TRIALS > 1 else 3
    some = [dtype for at, dtype in enumerate(declared) if at % every == 0 or dtype not in proof.dtypes_tried]
    volumes = prover.prove(name, thorough=False, ndims=ndims[1:], dtypes=some, **given)
    assert not volumes.differences and not volumes.our_failures, str(volumes)
    assert sorted(set(declared) - proof.dtypes_tried - volumes.dtypes_tried) == []
    if proof.declared_halo is not None and entry.promise == IDENTICAL:
        assert proof.smallest_halo is not None
        assert all(smallest <= halo for smallest, halo in zip(proof.smallest_halo, proof.declared_halo, strict=True))


def test_only_declared_dtypes_are_excused() -> None:
    for name, dtypes in EXCUSED.items():
        assert set(dtypes) <= set(catalogue()[name].declared_dtypes())
