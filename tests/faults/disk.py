"""Files that are damaged for a while."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def damaged(path: Path) -> Iterator[None]:
    """Fill a file with zeros during the `with` block, with its size and modification time unchanged."""
    content, status = path.read_bytes(), path.stat()

    def write(pixels: bytes) -> None:
        path.write_bytes(pixels)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    write(bytes(len(content)))
    try:
        yield
    finally:
        write(content)
