"""`skimage.transform.integral_image`."""

from __future__ import annotations

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Lazy
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite
from lepton_celery.catalogue.shared.axes import integral


@declare(Composite("transform.integral_image", gives="image"))
def _expand(arguments: Arguments, build: Build) -> Lazy:
    image, dtype = arguments["image"], arguments["dtype"]
    if dtype is None and image.dtype.kind == "f":
        dtype = np.promote_types(image.dtype, np.float64)
    return integral(image, build, np.zeros(1, image.dtype).cumsum(dtype=dtype).dtype.name)
