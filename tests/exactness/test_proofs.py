"""Proofs of the catalogue's declarations: every function, with every dtype that it declares, in 2-D and 3-D."""

from __future__ import annotations

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

SLOW = {
    "segmentation.random_walker",  # solves a system of equations, often to its last iteration
    "filters.threshold_sauvola",
    "filters.threshold_niblack",
    "feature.blob_log",
    "feature.multiscale_basic_features",
}
"""Functions whose trials take ten times as long as those of others."""

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
    monkeypatch.setattr(prover, "QUICK_TRIALS", 1 if name in SLOW else 3)
    entry = catalogue()[name]
    taken = [ndim for ndim in entry.ndims or (2, 3) if ndim in BLOCKS]
    ndims = [ndim for ndim in taken if ndim <= 3] or taken  # 4-D only if it takes nothing else: that is slow
    declared = [dtype for dtype in entry.declared_dtypes() if dtype not in EXCUSED.get(name, {})]
    proof = prover.prove(name, thorough=False, ndims=ndims, dtypes=declared, **GIVEN.get(name, {}))
    assert proof.holds, str(proof)
    assert sorted(set(declared) - proof.dtypes_tried) == []
    if proof.declared_halo is not None and entry.promise == IDENTICAL:
        assert proof.smallest_halo is not None
        assert all(smallest <= halo for smallest, halo in zip(proof.smallest_halo, proof.declared_halo, strict=True))


def test_only_declared_dtypes_are_excused() -> None:
    for name, dtypes in EXCUSED.items():
        assert set(dtypes) <= set(catalogue()[name].declared_dtypes())
