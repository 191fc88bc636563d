"""The entry of images that exist before a job."""

from __future__ import annotations

from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Source

SOURCE = "lepton.source"


@declare(Source(SOURCE, images=()))
def source(url: str) -> None:
    """An image by its URL; stores read it, so there is nothing to call."""
