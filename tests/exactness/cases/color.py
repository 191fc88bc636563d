"""Cases of `skimage.color`."""

from __future__ import annotations

import numpy as np
from skimage.color import hdx_from_rgb, rgb_from_hdx

from lepton_celery.catalogue.arrays import Array
from tests.exactness.cases.case import COMMON, FLAT, FLOATS, SOLID, Case, labelled, shifted
from tests.oracle import picture

RGB = (*FLAT, 3)
ODD = {"shape": (5, 129, 3), "blocks": [(2, 7), (1, 128), (5, 64)]}
FROM_RGB = "rgb2hsv rgb2lab rgb2luv rgb2xyz rgb2rgbcie rgb2hed rgb2yuv rgb2yiq rgb2ypbpr rgb2ycbcr rgb2ydbdr"
TO_RGB = "hsv2rgb lab2rgb luv2rgb xyz2rgb rgbcie2rgb hed2rgb yuv2rgb yiq2rgb ypbpr2rgb ycbcr2rgb ydbdr2rgb"
BETWEEN = "xyz2lab lab2xyz xyz2luv luv2xyz lab2lch lch2lab"
WHITE = "rgb2lab lab2rgb xyz2lab lab2xyz xyz2luv luv2xyz"


def colours(shape: tuple[int, ...], dtype: str) -> Array:
    """Numbers as other colour spaces have them: L from 0 to 100, a and b of both signs."""
    image = picture(shape, dtype)
    return image if image.dtype.kind != "f" else ((image - np.array([0.0, 0.5, 0.4])) * 100).astype(dtype)


def opacity(image: Array) -> Array:
    return picture(image.shape, image.dtype, seed=2)


def plane(image: Array) -> Array:
    return picture(image.shape[:2], "uint8", seed=1)


def rgb(image: Array) -> Array:
    return picture((*image.shape, 3), "float32", seed=1)


CASES: list[Case] = [
    *[Case(f"color.{name}", {}, FLOATS, **ODD) for name in FROM_RGB.split()],  # type: ignore[arg-type]
    *[Case(f"color.{name}", {}, COMMON, RGB, make=colours) for name in f"{TO_RGB} {BETWEEN}".split()],
    *[Case(f"color.{name}", {}, FLOATS, make=colours, **ODD) for name in TO_RGB.split()],  # type: ignore[arg-type]
    *[
        Case(f"color.{name}", {"illuminant": "D50", "observer": "10"}, FLOATS, (3, *FLAT, 3), blocks=[(2, 9, 7)])
        for name in WHITE.split()
    ],
    Case("color.rgb2gray", {}, FLOATS, **ODD),  # type: ignore[arg-type]
    Case("color.rgb2gray", {}, COMMON, (7, 149, 3), blocks=[(3, 7), (2, 71)]),
    Case("color.rgb2gray", {}, FLOATS, (3, 5, 77, 3), blocks=[(2, 3, 13)]),
    Case("color.rgb2gray", {}, FLOATS, (77, 3), blocks=[(10,)]),
    Case("color.separate_stains", {"conv_matrix": hdx_from_rgb}, COMMON, RGB),
    Case("color.combine_stains", {"conv_matrix": rgb_from_hdx}, COMMON, RGB),
    Case("color.combine_stains", {"conv_matrix": np.eye(3, dtype=int)}, FLOATS, **ODD),  # type: ignore[arg-type]
    *[
        Case("color.convert_colorspace", {"fromspace": a, "tospace": b}, FLOATS, RGB)
        for a, b in (("RGB", "rgb"), ("hsv", "xyz"), ("rgb cie", "yuv"), ("ycbcr", "ydbdr"))
    ],
    *[
        Case(f"color.deltaE_{name}", {"kL": 2}, FLOATS, RGB, [shifted], make=colours)
        for name in ("ciede94", "ciede2000", "cmc")
    ],
    Case("color.rgba2rgb", {"background": (0.2, 0.5, 0)}, FLOATS, (3, *FLAT, 4), blocks=[(2, 9, 7)]),
    Case("color.gray2rgb", {"channel_axis": 3}, COMMON, SOLID),
    Case("color.gray2rgba", {"alpha": 1}, COMMON),
    Case("color.gray2rgba", {}, COMMON, given={"alpha": opacity}),
    Case("color.label2rgb", {"bg_label": -1, "colors": ["red", (0, 1, 0.5)]}, ("int16", "int32"), SOLID),
    Case("color.label2rgb", {"bg_color": None, "saturation": 0.5}, ("int32",), given={"image": rgb}),
    Case("color.label2rgb", {"alpha": 0.6, "image_alpha": 0.5}, ("uint8",), given={"image": plane}),
    Case("color.label2rgb", {"bg_label": 3}, ("uint8",), given={"image": labelled}),
]
