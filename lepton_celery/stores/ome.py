"""Opens TIFF files, and finds out whether an OME-TIFF is complete in itself.

The XML of an OME-TIFF names the file of each page, with a UUID. tifffile takes a file for one of several if neither its
name nor its UUID is there, which is so for every single file that was renamed and has no UUID of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast
from xml.etree import ElementTree

import tifffile

from lepton_celery.errors import StoreError
from lepton_celery.stores.roots import BufferedFile, Roots
from lepton_celery.stores.tiff_limits import check_described, check_directories


@contextmanager
def opened(path: Path, roots: Roots = ()) -> Iterator[tifffile.TiffFile]:
    """A TIFF file, whose series have no pages in other files.

    Raises:
        StoreError: the file is one of several of an OME-TIFF, or describes more pages than are read.
    """
    with BufferedFile(path, roots) as file:
        binary = cast("BinaryIO", file)
        check_directories(path, binary)
        with _tiff(path, binary) as tif:
            check_described(path, tif)
            xml = _as_single_file(path, tif)
            if xml is None:
                yield tif
                return
        with _tiff(path, binary, xml) as tif:
            yield tif


def _tiff(path: Path, file: BinaryIO, xml: str | None = None) -> tifffile.TiffFile:
    # other files, of an OME-TIFF or named by an index beside this one, were not checked against the allowed folders
    return tifffile.TiffFile(file, name=path.name, offset=0, omexml=xml, _multifile=False, is_ndtiff=False)


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
