"""Which modules a page's script imports, so that browsers ask for all of them at once and not for one after the other."""

from __future__ import annotations

import posixpath
import re
from functools import cache
from pathlib import Path

STATIC = Path(__file__).with_name("static")

_IMPORT = re.compile(r"""^import\b[^;"']*["'](\.[^"']+)["']""", re.MULTILINE)
"""An import at the top of a module; what it imports later, when it is needed, is not loaded before."""


@cache
def imported_by(script: str) -> tuple[str, ...]:
    """The paths below `static/` of all modules that a script imports, and those that these import."""
    found: dict[str, None] = {}
    left = [script]
    while left:
        path = left.pop()
        for name in _IMPORT.findall((STATIC / path).read_text(encoding="utf-8")):
            module = posixpath.normpath(posixpath.join(posixpath.dirname(path), name))
            if module not in found:
                found[module] = None
                left.append(module)
    return tuple(found)
