"""Tests of scikit-image that fail with functions computed in blocks, and why that is right."""

from __future__ import annotations

from fnmatch import fnmatchcase

_REASONS: tuple[tuple[str, str], ...] = (
    (
        "color.test_colorconv.TestColorconv::test_rgba2rgb_error_channel_axis_out_of_range*",
        "NumPy's AxisError is both an IndexError and a ValueError, and so is ours, which is not of NumPy's own class.",
    ),
    (
        "color.test_colorconv::test_gray2rgba_alpha",
        "The test compares the whole message; ours also names the function, what was given and the parameters.",
    ),
    (
        "filters.test_gaussian::test_output_error",
        "A lazy result has no array to write to, so out= is refused before its dtype is looked at.",
    ),
    (
        "measure.test_ccomp.TestConnectedComponents3d::test_nd",
        "The image is refused for its dtype, float64, before its axes are counted; scikit-image truncates its pixels.",
    ),
    (
        "measure.test_colocalization::test_invalid_input",
        "A mask is refused because it changes the order of the sums, before its pixels are looked at.",
    ),
    (
        "segmentation.test_join::test_arraymap_call",
        "relabel_sequential gives arrays; an ArrayMap, which can be called, is a Python object and no result of blocks.",
    ),
    (
        "util.test_arraycrop::test_copy_crop",
        "Results of blocks are new arrays, never views of the image, so writing to one cannot change the image.",
    ),
)
"""Pattern of tests, reason."""


def reason_of(test: str) -> str | None:
    """Why a test fails with functions computed in blocks; None if nobody has explained it."""
    return next((reason for pattern, reason in _REASONS if fnmatchcase(test, pattern)), None)
