"""Places in the texts of histories, which anybody may have written: what is none is left out."""

from __future__ import annotations

import re

from lepton_celery.limits import MAX_BLOCKS

_RUN = re.compile(r"(\d{1,12})(?:-(\d{1,12}))?", re.ASCII)


def runs_of(places: str) -> list[range]:
    """The runs of consecutive places in a text such as `0-15,18`."""
    runs = []
    for text in places.split(","):
        if found := _RUN.fullmatch(text):
            first, last = int(found[1]), int(found[2] or found[1])
            if first <= last < MAX_BLOCKS:
                runs.append(range(first, last + 1))
    return runs
