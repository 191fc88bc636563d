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
from lepton_celery.limits import MAX_DOCUMENT_BYTES
from lepton_celery.stores.documents import parse_document, write_atomically
from lepton_celery.stores.failures import reading, writing
from lepton_celery.stores.roots import read_bytes

MANIFEST = "manifest.json"
"""Name of the file with the manifest."""


_RECEIPTS_BYTES = 1 << 30
"""Largest size of the receipts of one writer: ten bytes for each of a hundred million blocks."""


class Journal:
    """The journal in the workspace of a job."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def begin(self, document: Mapping[str, Any]) -> None:
        """Write the job's manifest as a JSON document; the workspace must be there."""
        write_atomically(self._root / MANIFEST, json.dumps(document).encode())

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
            text = read_bytes(path, MAX_DOCUMENT_BYTES)
        try:
            return parse_document(text, str(path))
        except InputError as error:
            raise StoreError(str(error)) from error

    def log_stage(self, number: StageNumber) -> None:
        """Record that a stage begins. All stages before it are merged."""
        path = self._root / "stages" / str(number)
        with writing(path):
            path.parent.mkdir(exist_ok=True)
            path.touch()

    def log_receipts(self, number: StageNumber, places: Sequence[Place]) -> None:
        """Record that blocks of a stage are done."""
        path = self._root / "receipts" / str(number) / f"{socket.gethostname()}-{os.getpid()}"
        with writing(path):
            try:
                file = path.open("a", encoding="ascii")
            except FileNotFoundError:
                for folder in (path.parent.parent, path.parent):  # not the workspace, removed with its job
                    folder.mkdir(exist_ok=True)
                file = path.open("a", encoding="ascii")
            with file:
                file.write(" ".join(map(str, places)) + "\n")

    def stage(self, stages: int) -> StageNumber | None:
        """The stage that began last, in a plan of `stages` stages; None if none has begun."""
        opened = [StageNumber(int(path.name)) for path in _files(self._root / "stages") if path.name.isdigit()]
        # each round of a repeated stage has a number of its own, which is greater by `stages`
        return max(opened, key=lambda number: (number % stages, number // stages), default=None)

    def receipts(self, number: StageNumber) -> list[Place]:
        """The places of the finished blocks of a stage, ascending."""
        done: set[Place] = set()
        for path in _files(self._root / "receipts" / str(number)):
            with reading(path):
                text = read_bytes(path, _RECEIPTS_BYTES).decode("ascii", "replace")
            for line in text.splitlines(keepends=True):
                if line.endswith("\n"):  # the writer of an unterminated line was killed
                    done.update(Place(int(text)) for text in line.split() if text.isdigit())
        return sorted(done)


def _files(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.exists() else []
