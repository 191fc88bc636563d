"""The journal of an unfinished job, beside its outputs: enough to resume the job when its ledger is lost.

    .lepton-<job>/manifest.json                the job as plain data
    .lepton-<job>/stages/<number>              a stage that has begun, by its number in the ledger
    .lepton-<job>/receipts/<number>/<writer>   the places of finished blocks, a line for each receipt

A block is recorded after its bytes are written and before its receipt goes into the ledger, so every recorded block is done.
Each process writes files of its own, because appending from several machines to one file is not safe on every file system.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lepton_celery.errors import InputError, JobNotFound, StoreError
from lepton_celery.grid import Place, StageNumber
from lepton_celery.limits import MAX_BLOCKS, MAX_DOCUMENT_BYTES
from lepton_celery.stores.documents import parse_document, write_atomically
from lepton_celery.stores.failures import reading, writing
from lepton_celery.stores.roots import Roots, pinned, read_bytes

MANIFEST = "manifest.json"
"""Name of the file with the manifest."""

_RECEIPTS_BYTES = 1 << 28
"""Largest size of the receipts of one writer: ten bytes for each of 26 million blocks."""
_DIGITS = len(str(MAX_BLOCKS))


class Journal:
    """The journal in the workspace of a job, which must lie in `roots`; no link is followed out of them."""

    def __init__(self, root: Path, roots: Roots = ()) -> None:
        self._root, self._roots = root, roots

    def begin(self, document: Mapping[str, Any]) -> None:
        """Write the job's manifest as a JSON document; the workspace must be there."""
        with writing(self._root), pinned(self._root / MANIFEST, self._roots) as path:
            write_atomically(path, json.dumps(document).encode())

    def read_manifest(self) -> dict[str, Any]:
        """The document that `begin` wrote.

        Raises:
            JobNotFound: there is no manifest.
            StoreError: the manifest is damaged.
        """
        path = self._root / MANIFEST
        if not path.exists():
            raise JobNotFound(f"{self._root} holds no job that could be resumed: there is no {MANIFEST} in it", "")
        with reading(path):
            text = read_bytes(path, MAX_DOCUMENT_BYTES, self._roots)
        try:
            return parse_document(text, str(path))
        except InputError as error:
            raise StoreError(str(error)) from error

    def log_stage(self, number: StageNumber) -> None:
        """Record that a stage begins. All stages before it are merged."""
        path = self._root / "stages" / str(number)
        with writing(path):
            self._create(path.parent)
            with pinned(path, self._roots) as stage:
                stage.touch()

    def log_receipts(self, number: StageNumber, places: Sequence[Place]) -> None:
        """Record that blocks of a stage are done."""
        path = self._root / "receipts" / str(number) / f"{socket.gethostname()}-{os.getpid()}"
        with writing(path):
            try:
                self._append(path, places)
            except FileNotFoundError:
                for folder in (path.parent.parent, path.parent):  # not the workspace, removed with its job
                    self._create(folder)
                self._append(path, places)

    def _create(self, folder: Path) -> None:
        with pinned(folder, self._roots) as path:
            path.mkdir(exist_ok=True)

    def _append(self, path: Path, places: Sequence[Place]) -> None:
        with pinned(path, self._roots) as receipts, receipts.open("a", encoding="ascii") as file:
            file.write(" ".join(map(str, places)) + "\n")

    def stage(self, stages: int) -> StageNumber | None:
        """The stage that began last, in a plan of `stages` stages; None if none has begun."""
        opened = [StageNumber(int(path.name)) for path in _files(self._root / "stages") if _is_number(path.name)]
        # each round of a repeated stage has a number of its own, which is greater by `stages`
        return max(opened, key=lambda number: (number % stages, number // stages), default=None)

    def receipts(self, number: StageNumber) -> list[Place]:
        """The places of the finished blocks of a stage, ascending."""
        done: set[Place] = set()
        for path in _files(self._root / "receipts" / str(number)):
            with reading(path):
                text = read_bytes(path, _RECEIPTS_BYTES, self._roots).decode("ascii", "replace")
            for line in text.splitlines(keepends=True):
                if line.endswith("\n"):  # the writer of an unterminated line was killed
                    done.update(Place(int(text)) for text in line.split() if _is_number(text))
        return sorted(done)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _DIGITS


def _files(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.exists() else []
