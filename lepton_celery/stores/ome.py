"""Opens TIFF files, and finds out whether an OME-TIFF is complete in itself.

The XML of an OME-TIFF names the file of each page, with a UUID. tifffile takes a file for one of several if neither its
name nor its UUID is there, which is so for every single file that was renamed and has no UUID of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import tifffile

from lepton_celery.errors import StoreError


@contextmanager
def opened(path: Path) -> Iterator[tifffile.TiffFile]:
    """A TIFF file, whose series have no pages in other files.

    Raises:
        StoreError: the file is one of several of an OME-TIFF.
    """
    # _multifile=False: the other files of an OME-TIFF were not checked against the allowed folders
    with tifffile.TiffFile(path, _multifile=False) as tif:
        xml = _as_single_file(path, tif)
        if xml is None:
            yield tif
            return
    with tifffile.TiffFile(path, omexml=xml, _multifile=False) as tif:
        yield tif


def _as_single_file(path: Path, tif: tifffile.TiffFile) -> str | None:
    """The XML of a renamed OME-TIFF without the names of files; None if tifffile reads the file as it is."""
    if not tif.is_ome or (tif.series and tif.series[0].kind == "ome"):
        return None
    try:
        root = ElementTree.fromstring(tif.ome_metadata or "")
    except ElementTree.ParseError:
        return None  # tifffile reads the pages as those of any other TIFF
    owners = [(data, uuid) for data in root.iter() for uuid in data if uuid.tag.endswith("}UUID")]
    files = {uuid.text: uuid.attrib.get("FileName", "?") for _, uuid in owners}
    if len(files) > 1:
        names = ", ".join(sorted(files.values())[:4]) + ", …" * (len(files) > 4)
        raise StoreError(
            f"{path} is one of the {len(files)} files of an OME-TIFF ({names}); join them into one file first"
        )
    if not files:
        return None
    for data, uuid in owners:
        data.remove(uuid)
    return ElementTree.tostring(root, encoding="unicode")
