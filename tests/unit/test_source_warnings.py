"""scikit-image's warnings come once: at the call if they depend on the arguments, at the end if they depend on pixels."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage

import lepton_celery as lepton
from lepton_celery import graph
from lepton_celery.catalogue.entries import resolve
from lepton_celery.errors import InputError, NotExactWarning
from lepton_celery.execution.library_warnings import tell
from lepton_celery.skimage import color, exposure, morphology

FLAT = np.arange(20.0 * 21).reshape(20, 21) / 420
BYTES = (FLAT * 255).astype(np.uint8)
WORDS = BYTES.astype(np.uint16)
COLOURS = np.stack([FLAT] * 3, axis=-1)
HOLES = np.tile(np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]]), (4, 4))
CASES: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("color.gray2rgba", (BYTES, 0.5), {}),
    ("color.label2rgb", (BYTES, FLAT), {"saturation": 2}),
    ("exposure.histogram", (COLOURS,), {}),
    ("feature.hessian_matrix", (FLAT,), {}),
    ("feature.local_binary_pattern", (FLAT, 8, 1), {}),
    ("feature.peak_local_max", (FLAT,), {"min_distance": 0}),
    ("filters.median", (BYTES,), {"behavior": "rank", "mode": "constant"}),
    ("filters.threshold_multiotsu", (COLOURS,), {}),
    ("filters.threshold_otsu", (COLOURS,), {}),
    ("metrics.peak_signal_noise_ratio", (FLAT, FLAT.astype(np.float32)[::-1]), {}),
    ("metrics.structural_similarity", (BYTES, WORDS), {}),
    ("metrics.structural_similarity", (WORDS, WORDS), {}),
    ("morphology.h_maxima", (BYTES, 1.5), {}),
    ("morphology.h_minima", (BYTES, 1.5), {}),
    ("morphology.local_maxima", (FLAT[:2],), {"allow_borders": False}),
    ("morphology.local_minima", (FLAT[:2],), {"allow_borders": False}),
    ("morphology.remove_small_holes", (HOLES,), {}),
    ("morphology.remove_small_holes", (HOLES > 0,), {"area_threshold": 1}),
    ("morphology.remove_small_objects", (HOLES > 0, 3), {}),
    ("morphology.remove_small_objects", (HOLES,), {}),
    ("restoration.denoise_bilateral", (COLOURS[..., :2],), {"channel_axis": -1}),
    ("restoration.unwrap_phase", (FLAT[np.newaxis],), {}),
    ("morphology.convex_hull_image", (FLAT > 2,), {}),
    ("exposure.rescale_intensity", (np.where(FLAT > 0.5, np.nan, FLAT),), {}),
    ("filters.rank.mean", (FLAT, np.ones((3, 3), np.uint8)), {}),
    ("segmentation.random_walker", (FLAT, np.where(FLAT > 0.5, 2, 1)), {}),
]


def heard(call: Callable[[], Any]) -> list[tuple[type[Warning], str]]:
    """The warnings of a call, apart from those about exactness."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        call()
    return [(w.category, str(w.message)) for w in found if not issubclass(w.category, NotExactWarning)]


@pytest.mark.parametrize(("name", "args", "options"), CASES, ids=[name for name, *_ in CASES])
@pytest.mark.parametrize("threads", [1, 2])
def test_each_warning_of_scikit_image_comes_once(
    name: str, args: tuple[Any, ...], options: dict[str, Any], threads: int
) -> None:
    theirs = heard(lambda: resolve(f"skimage.{name}")(*args, **options))

    def in_blocks() -> None:
        lazy = graph.apply(name, *args, **options)
        nodes = lazy if isinstance(lazy, tuple) else (lazy,)
        lepton.compute(*nodes, threads=threads)

    assert theirs
    assert sorted(heard(in_blocks), key=str) == sorted(set(theirs), key=str)


def test_the_warning_of_many_blocks_comes_once_and_says_that_its_number_is_of_one() -> None:
    lab = np.zeros((30, 30, 3))
    lab[..., 2] = 300
    image = lepton.open(lab)
    found = heard(lambda: lepton.compute(color.lab2xyz(image), block_shape=(7, 30), threads=2))
    [(category, text)] = found
    assert category is UserWarning and text.endswith("(in one of the blocks)")


def test_a_warning_names_the_line_of_the_caller() -> None:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        exposure.histogram(COLOURS)
        lepton.compute(morphology.convex_hull_image(FLAT > 2))
    assert [Path(warning.filename) for warning in found] == [Path(__file__)] * 2


def test_a_job_in_this_process_warns_once_and_keeps_the_text(tmp_path: Path) -> None:
    hull = morphology.convex_hull_image(np.zeros((40, 40), bool))
    with pytest.warns(UserWarning, match="entirely zero") as found:
        job = lepton.run({str(tmp_path / "hull.npy"): hull}, block_shape=(9, 9))
        job.wait()
    assert len(found) == 1 and "entirely zero" in job.warnings()[0]


def test_other_threads_keep_their_warnings() -> None:
    shown: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *args, **options: shown.append(str(message))
        image = morphology.convex_hull_image(np.zeros((400, 400), bool))
        other = threading.Thread(target=lambda: [warnings.warn("mine", stacklevel=1) for _ in range(50)])
        other.start()
        lepton.compute(image, block_shape=(20, 20), threads=2)
        other.join()
    assert shown.count("mine") == 50 and len(shown) == 51


def test_a_warning_that_is_an_error_ends_the_computation() -> None:
    with warnings.catch_warnings(), pytest.raises(UserWarning, match="entirely zero"):
        warnings.simplefilter("error")
        lepton.compute(morphology.convex_hull_image(np.zeros((9, 9), bool)))


def test_both_names_of_a_parameter_are_refused_after_the_warning() -> None:
    with pytest.warns(FutureWarning, match="`min_size` is deprecated"), pytest.raises(InputError, match="conflicting"):
        morphology.remove_small_objects(HOLES > 0, 3, max_size=3)


def test_a_deprecated_parameter_gives_scikit_images_pixels() -> None:
    with pytest.warns(FutureWarning):
        ours = lepton.compute(morphology.remove_small_objects(BYTES > 100, 5))
        theirs = skimage.morphology.remove_small_objects(BYTES > 100, 5)
    np.testing.assert_array_equal(ours, theirs)


def test_an_unknown_category_is_a_user_warning() -> None:
    with pytest.warns(UserWarning, match="text"):
        tell([("NoSuchWarning", "text")], stacklevel=1)
