"""scikit-image's functions, replaced by `tests.upstream`, are compared with the whole image in every call."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from skimage import filters, measure

from tests.upstream import plugin
from tests.upstream.plugin import REPORT, Replacement

IMAGE = np.random.default_rng(0).random((40, 50))


def test_the_test_gets_the_result_of_the_blocks() -> None:
    assert np.array_equal(Replacement("filters.gaussian", filters.gaussian)(IMAGE, 2), filters.gaussian(IMAGE, 2))


def test_a_different_pixel_fails() -> None:
    wrong = Replacement("filters.gaussian", lambda image, sigma: filters.gaussian(image, sigma) + 1)
    with pytest.raises(pytest.fail.Exception, match=r"filters.gaussian in blocks: 2000 of 2000 values differ"):
        wrong(IMAGE, 2)


def test_the_exception_of_the_blocks_is_raised() -> None:
    with pytest.raises(ValueError, match=r"filters.gaussian refuses"):
        Replacement("filters.gaussian", filters.gaussian)(IMAGE, sigma=-1)


def test_what_only_scikit_image_refuses_fails() -> None:
    def refuse(image: object) -> None:
        raise ValueError(f"no {image}")

    with pytest.raises(pytest.fail.Exception, match="takes what scikit-image refuses"):
        Replacement("filters.sobel", refuse)(IMAGE)


def test_a_refusal_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REPORT, str(tmp_path / "refusals"))
    image = IMAGE.astype(complex)
    assert Replacement("measure.centroid", lambda image: 7)(image) == 7
    assert json.loads((tmp_path / "refusals").read_text())["function"] == "measure.centroid"


def test_calls_among_functions_stay_on_the_whole_image() -> None:
    calls = []

    def original(image: object) -> object:
        calls.append(inner(IMAGE))
        return measure.label(IMAGE > 0.5)

    inner = Replacement("filters.sobel", lambda image: "scikit-image's")
    Replacement("measure.label", lambda image: original(image))(IMAGE > 0.5)
    assert calls == ["scikit-image's"]
    assert not plugin.Replacement.is_busy
