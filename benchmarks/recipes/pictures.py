"""Draws the picture of a recipe: its image and its results, side by side, to docs/recipes/NAME.png."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.recipes.sources import images_of, lazy_recipe

FOLDER = Path(__file__).parents[2] / "docs" / "recipes"
PANEL_INCHES = 2.4
DOTS_PER_INCH = 100


def draw(name: str) -> Path:
    """Run the recipe on its sample, and draw what it read and what it found."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    import lepton_celery as lepton

    module = lazy_recipe(name)
    images = images_of(module.sample())
    nodes = module.recipe(*map(lepton.open, images))
    computed = lepton.compute(*nodes.values())
    results = dict(zip(nodes, computed if len(nodes) > 1 else [computed], strict=True))
    shown = [(file, result) for file, result in results.items() if not isinstance(result, Mapping)]
    width = PANEL_INCHES * (1 + len(shown))
    figure, axes = pyplot.subplots(1, 1 + len(shown), figsize=(width, PANEL_INCHES + 0.3), layout="constrained")
    _show(axes[0], "the image", flat_image(images[0]))
    for axis, (file, result) in zip(axes[1:], shown, strict=True):
        _draw_result(axis, file, np.asarray(result), flat_image(images[0]))
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.png"
    figure.savefig(path, dpi=DOTS_PER_INCH)
    pyplot.close(figure)
    return path


def flat_image(image: Any) -> Any:
    """An image with two axes, or three if the last has colours: the brightest pixels of a volume, the first of a stack."""
    if image.ndim == 3 and image.shape[-1] != 3:
        return image[0] if image.shape[0] < 10 else image.max(axis=0)
    return image


def _draw_result(axis: Any, file: str, result: Any, image: Any) -> None:
    from skimage.color import label2rgb

    if result.ndim == 2 and file.endswith(".csv"):
        _show(axis, f"{file}: {len(result)} points", image)
        axis.scatter(
            result[:, 1], result[:, 0], s=12 * result[:, -1], facecolors="none", edgecolors="#f4a259", linewidths=0.6
        )
    elif result.size < 10:
        axis.text(0.5, 0.5, str(np.round(result.astype(float), 2).tolist()), ha="center", va="center", fontsize=11)
        axis.set_title(file, fontsize=8)
        axis.set_axis_off()
    elif result.ndim == 1:
        axis.plot(result, color="#30638e")
        axis.set_title(file, fontsize=8)
        axis.tick_params(labelsize=6)
    elif result.dtype.kind in "iu" and result.dtype.itemsize >= 4 and "depth" not in file:
        flat = flat_image(result)
        _show(axis, file, label2rgb(flat, bg_label=0, bg_color=(0.08, 0.09, 0.12)))
    else:
        _show(axis, file, flat_image(result))


def _show(axis: Any, title: str, image: Any) -> None:
    low, high = (None, None) if image.ndim == 3 else np.percentile(image.astype(float), (0.5, 99.8))
    axis.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="antialiased")
    axis.set_title(title, fontsize=8)
    axis.set_axis_off()
