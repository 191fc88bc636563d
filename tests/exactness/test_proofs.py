"""The catalogue's own declarations, proved: every function, every dtype it declares, in 2-D and 3-D."""

from __future__ import annotations

import pytest

from lepton_celery.catalogue import catalogue, public_names
from lepton_celery.catalogue.entries import Refused
from lepton_celery.catalogue.promise import IDENTICAL
from lepton_celery.proving import prove as prover
from lepton_celery.proving.samples import BLOCKS

SPLIT = [name for name in public_names() if not isinstance(catalogue()[name], Refused)]
OF_IMAGES = [
    name
    for name in SPLIT
    if (catalogue()[name].images or catalogue()[name].sequences) and name != "feature.graycoprops"
]
"""The others are functions of whole-image values, which blocks do not touch."""


@pytest.mark.parametrize("name", OF_IMAGES)
def test_the_catalogue_keeps_its_word(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # of some 500 functions, each with up to eleven dtypes
    monkeypatch.setattr(prover, "FEW", 1 if name in _SLOW else 3)
    entry = catalogue()[name]
    taken = [ndim for ndim in entry.ndims or (2, 3) if ndim in BLOCKS]
    ndims = [ndim for ndim in taken if ndim <= 3] or taken  # 4-D where there is nothing less: it takes seconds an image
    declared = set(entry.declared_dtypes()) - _LONG.get(name, set())
    proof = prover.prove(name, thorough=False, ndims=ndims, dtypes=sorted(declared))
    assert proof.holds or not proof.trials, str(proof)
    dtypes, tried = set(proof.dtypes), set(proof.ndims)
    for seed in (1, 2, 3):  # of a function that refuses most images, other trials
        if untried := declared - dtypes:
            more = prover.prove(name, thorough=False, ndims=ndims, dtypes=sorted(untried), seed=seed)
            assert more.holds or not more.trials, str(more)
            dtypes |= more.dtypes
            tried |= more.ndims
    assert dtypes
    assert tried
    if proof.declared_halo is not None and entry.promise == IDENTICAL:
        assert proof.smallest_halo is not None
        assert all(found <= said for found, said in zip(proof.smallest_halo, proof.declared_halo, strict=True))


_SLOW = {
    "segmentation.random_walker",  # solves a system of equations, often to its last iteration
    "filters.threshold_sauvola",
    "filters.threshold_niblack",
    "feature.blob_log",
    "feature.multiscale_basic_features",
}
"""Functions of which a single trial takes as long as ten of others."""

_LONG = {f"filters.threshold_{name}": {"uint16", "int16"} for name in ("minimum", "multiotsu")}
"""Dtypes with which scikit-image itself takes a minute an image; test_thresholds tries them on a narrow range."""
