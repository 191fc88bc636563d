"""Lazy `skimage.measure`."""

from __future__ import annotations

from typing import Any

from lepton_celery.graph.nodes import apply
from lepton_celery.skimage.lazy import lazy_module

__getattr__, __dir__ = lazy_module("measure")


def label(
    label_image: Any, background: int | None = None, return_num: bool = False, connectivity: int | None = None
) -> Any:
    """Lazy `skimage.measure.label`; with `return_num`, the pair of the labels and the lazy number of components."""
    options = {"background": background, "connectivity": connectivity}
    labels = apply("measure.label", label_image, **options)
    return (labels, apply("lepton.count_labels", label_image, **options)) if return_num else labels
