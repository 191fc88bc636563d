"""Whether a browser sends a request for a page of another site, which the user may not know of."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

_HARMLESS = ("same-origin", "none")
"""What Sec-Fetch-Site says of this site's own pages, and of what people type."""


def is_foreign(headers: Mapping[str, str], host: str) -> bool:
    """Whether a request comes from a page of another site, by its headers (names in small letters).

    Old browsers send no Sec-Fetch-Site, but an Origin, which is `null` for a page without one. Programs send neither.
    `host` is what the request calls this site, with its port if it has one.
    """
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
        return True
    return headers.get("sec-fetch-site", "none") not in _HARMLESS
