"""Why some functions are slower in blocks than on the whole image, for docs/benchmarks-catalogue.md."""

from __future__ import annotations

_ROUNDS = "blocks are done again, in rounds, until nothing changes, and each round stores the image"
_ENDED = "it runs as one block; the limit of processor time ended the measurement"

REASONS: dict[str, str] = {
    **dict.fromkeys(("morphology.reconstruction", "morphology.h_maxima", "morphology.h_minima"), _ROUNDS),
    "color.rgba2rgb": "little is computed; the rest is copying blocks into the result, which has 100 MB",
    "feature.hessian_matrix_det": "the integral image is added up along whole lines, axis by axis, and stored after each",
    "segmentation.morphological_geodesic_active_contour": "it runs as one block; the rest is noise of a busy machine",
    "measure.blur_effect": "running sums along whole lines blur the image, and both blurred images are stored",
    "segmentation.quickshift": _ENDED,
    "segmentation.slic": _ENDED,
    "feature.match_template": _ENDED,
}
"""The reason by function."""
