"""`skimage.morphology.flood` and `flood_fill`."""

from __future__ import annotations

from lepton_celery.catalogue.shared.flood import flood_entries

ENTRIES = flood_entries("morphology")
