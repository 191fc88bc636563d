"""The entry of images that exist before a job."""

from __future__ import annotations

from lepton_celery.catalogue.entries import Entry, Source

SOURCE = "lepton.source"


def source(url: str) -> None:
    """An image by its URL; stores read it, so there is nothing to call."""


def entries() -> list[Entry]:
    """The one entry."""
    return [Source(name=SOURCE, source=f"{__name__}.source", images=())]
