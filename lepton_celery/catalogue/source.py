"""The entry of input images."""

from __future__ import annotations

from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Source

SOURCE = "lepton.source"


@declare(Source(SOURCE, images=()))
def source(url: str) -> None:
    """An input image by its URL. Stores read it; the function is never called."""
