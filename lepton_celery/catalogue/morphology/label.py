"""`skimage.morphology.label`, which is `skimage.measure.label`."""

from __future__ import annotations

from lepton_celery.catalogue.entries import Composite
from lepton_celery.catalogue.shared.labels import label_entry

ENTRIES: tuple[Composite, ...] = (label_entry("morphology"),)
