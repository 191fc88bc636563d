"""Lazy `skimage.io`."""

from lepton_celery.skimage.lazy import lazy_module

__getattr__, __dir__ = lazy_module("io")
