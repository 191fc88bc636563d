"""Lazy `scipy.ndimage`: its filters and morphology, computed in blocks."""

from lepton_celery.skimage.lazy import lazy_module

__getattr__, __dir__ = lazy_module("ndimage")
