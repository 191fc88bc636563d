"""The demonstration: galaxies in an enlarged photograph of the Hubble deep field."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from lepton_celery import graph
from lepton_celery.catalogue.arrays import Array
from lepton_celery.graph.nodes import Image, Table
from lepton_celery.skimage import color, filters, measure, segmentation, transform, util

SIGMA = 4
PROPERTIES = ("label", "area", "bbox", "centroid", "intensity_mean")
SHRINK = 4
OUTLINE = (1.0, 0.75, 0.1)


def photograph(path: Path, side: int) -> None:
    """Write the photograph that scikit-image ships, its middle enlarged to `side` × `side` pixels, as a tiled TIFF.

    The same pixels each time: Lanczos resampling of an `(872, 872, 3)` uint8 crop.
    """
    import tifffile
    from PIL import Image as Picture
    from skimage.data import hubble_deep_field

    photo = hubble_deep_field()
    height, width = photo.shape[:2]
    left = (width - height) // 2
    enlarged = Picture.fromarray(photo[:, left : left + height]).resize((side, side), Picture.Resampling.LANCZOS)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{uuid4().hex}.tif")
    tifffile.imwrite(temporary, np.asarray(enlarged), tile=(512, 512), photometric="rgb")
    temporary.replace(path)


@dataclass(frozen=True)
class Galaxies:
    """The lazy results."""

    labels: Image
    table: Table
    overlay: Image


def galaxies(path: Path) -> Galaxies:
    """gaussian → Otsu threshold → label → region table, and a picture with the galaxies outlined."""
    photo = graph.open(path)
    gray = color.rgb2gray(photo)
    smooth = filters.gaussian(gray, sigma=SIGMA)
    labels = measure.label(smooth > filters.threshold_otsu(smooth))
    table = measure.regionprops_table(labels, gray, properties=PROPERTIES)
    small = transform.downscale_local_mean(photo, (SHRINK, SHRINK, 1)) / 255
    marked = segmentation.mark_boundaries(small, labels[::SHRINK, ::SHRINK], color=OUTLINE, mode="outer")
    return Galaxies(labels, table, util.img_as_ubyte(marked))


def whole(path: Path) -> tuple[Array, dict[str, Array]]:
    """The same labels and table with scikit-image on the whole image, in one process."""
    import tifffile
    from skimage import color, filters, measure

    gray = color.rgb2gray(tifffile.imread(path))
    smooth = filters.gaussian(gray, sigma=SIGMA)
    mask = smooth > filters.threshold_otsu(smooth)
    del smooth
    labels: Any = measure.label(mask)
    return labels, measure.regionprops_table(labels, gray, properties=PROPERTIES)
