"""The seam figure distinguishes results with visible block borders from results without."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import ndimage

import lepton_celery as lepton
from lepton_celery.catalogue.arrays import Array
from lepton_celery.execution import seams
from lepton_celery.grid import BlockGrid
from lepton_celery.jobs.run import run
from lepton_celery.stores import MemoryReader
from tests.oracle import picture


def blur(image: Array) -> Array:
    found: Array = ndimage.gaussian_filter(image, 3)
    return found


def normalize(image: Array) -> Array:
    scaled: Array = image / image.mean()
    return scaled


def smooth(shape: tuple[int, int]) -> Array:
    found: Array = ndimage.gaussian_filter(np.random.default_rng(0).random(shape), 4)
    return found


def saved(image: Array, path: Path) -> str:
    np.save(path, image)
    return str(path)


def test_jobs_report_seams_of_functions_that_depend_on_their_block(tmp_path: Path) -> None:
    source = lepton.open(saved(smooth((128, 160)), tmp_path / "in.npy"))
    bad = str(tmp_path / "bad.npy")
    good = str(tmp_path / "good.npy")
    exact = str(tmp_path / "exact.npy")
    from lepton_celery.skimage import filters

    job = run(
        {
            bad: lepton.map_blocks(normalize, source),
            good: lepton.map_blocks(blur, source, halo=12),
            exact: filters.gaussian(source, 2),
        },
        block_shape=(32, 40),
    )
    found = job.seams()
    assert set(found) == {bad, good}  # an identical result needs no figure
    assert found[bad] > 2
    assert 0.7 < found[good] < 1.3
    assert "1 is none" in seams.describe(found)


def test_the_figure_of_an_image_without_seams_is_about_one() -> None:
    image = picture((120, 90), "float64")
    assert 0.8 < seams.seam_figure(MemoryReader(image), BlockGrid(image.shape, (30, 30))) < 1.2
    stepped = image + np.add.outer(np.arange(120) // 30, np.arange(90) // 30)
    assert seams.seam_figure(MemoryReader(stepped), BlockGrid(image.shape, (30, 30))) > 2


def test_one_block_and_constant_images_have_no_seams() -> None:
    flat = np.full((40, 40), 3.0)
    assert seams.seam_figure(MemoryReader(flat), BlockGrid((40, 40), (10, 10))) == 1.0
    assert seams.seam_figure(MemoryReader(picture((40, 40), "uint8")), BlockGrid((40, 40), (40, 40))) == 1.0


def test_only_a_sample_of_many_borders_is_read() -> None:
    class Counting(MemoryReader):
        reads = 0

        def read(self, region):  # type: ignore[no-untyped-def]
            Counting.reads += 1
            return super().read(region)

    image = picture((500, 500), "float64")
    seams.seam_figure(Counting(image), BlockGrid((500, 500), (2, 2)))
    assert Counting.reads <= 2 * seams.MAX_BORDERS
