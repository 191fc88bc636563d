"""What a notebook shows of lazy nodes."""

from __future__ import annotations

import base64
import re
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from lepton_celery import graph
from lepton_celery.jobs import notebook
from lepton_celery.skimage import feature, filters, measure
from tests.oracle import picture


def drawn(text: str) -> Pillow.Image | None:
    found = re.search(r'src="data:image/png;base64,([^"]+)"', text)
    return None if found is None else Pillow.open(BytesIO(base64.b64decode(found[1])))


@pytest.mark.parametrize(
    ("shape", "dtype", "size"),
    [
        ((23, 31), "float64", (31, 23)),
        ((400, 330), "uint16", (110, 134)),
        ((30, 40, 3), "uint8", (40, 30)),
        ((5, 30, 40), "bool", (40, 30)),
        ((2, 5, 30, 40, 4), "float32", (40, 30)),
        ((50,), "int16", (50, 1)),
    ],
)
def test_an_image_has_a_picture(shape: tuple[int, ...], dtype: str, size: tuple[int, int]) -> None:
    text = graph.open(picture(shape, dtype))._repr_html_()
    image = drawn(text)
    assert image is not None and image.size == size
    assert "×".join(map(str, shape)) in text and dtype in text


def test_a_file_is_named_and_what_is_in_its_name_is_text(tmp_path: Path) -> None:
    path = tmp_path / "<b>x.npy"
    np.save(path, picture((6, 7), "uint8"))
    text = graph.open(path)._repr_html_()
    assert "&lt;b&gt;x.npy" in text and "<b>x" not in text


def test_a_result_has_its_stages_and_its_time() -> None:
    image = graph.open(picture((60, 70), "float32"))
    smooth = filters.gaussian(image, 1)
    text = (smooth > filters.threshold_otsu(smooth))._repr_html_()
    assert re.search(r"stage 1/\d.*gaussian \d+\.\d+ s.*about \d", text) and "1 block of 60×70" in text
    assert drawn(text) is not None


def test_a_picture_that_takes_long_is_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook, "THUMBNAIL_S", 0.0)
    monkeypatch.setattr(notebook, "compute", lambda *nodes: pytest.fail("it was computed"))
    text = filters.gaussian(graph.open(picture((60, 70), "float32")), 1)._repr_html_()
    assert drawn(text) is None and ".compute()" in text


def test_values_and_tables_have_no_picture() -> None:
    image = graph.open(picture((60, 70), "float32"))
    assert "one number" in image.max()._repr_html_()
    assert "?×2" in feature.peak_local_max(image)._repr_html_()
    table = measure.regionprops_table(measure.label(image > 0.5), properties=("label", "area"))
    assert "label, area" in table._repr_html_()


def test_what_cannot_be_planned_says_why() -> None:
    huge = np.broadcast_to(np.uint8(0), (1 << 22, 1 << 22))
    assert "over the limit" in graph.open(huge)._repr_html_()
