"""What stands beside the outputs of a job that is not done: enough to go on after its ledger was lost.

    .lepton-<job>/manifest.json                the job as plain data
    .lepton-<job>/stages/<number>              a stage that was opened, by the ledger's number
    .lepton-<job>/receipts/<number>/<writer>   blocks of it that are done, a line for each receipt

A block is written down here after its bytes and before its receipt in the ledger, so what stands here was done. Each
process writes files of its own: appending to one from several machines is not safe on every file system.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lepton_celery.errors import JobNotFound, StoreError
from lepton_celery.stores.documents import write_atomically
from lepton_celery.stores.failures import reading, writing

MANIFEST = "manifest.json"


class Journal:
    """The journal in the workspace `root` of a job."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def begin(self, manifest: Mapping[str, Any]) -> None:
        """Write the manifest down; the workspace must be there."""
        write_atomically(self._root / MANIFEST, json.dumps(manifest).encode())

    def manifest(self) -> dict[str, Any]:
        """What `begin` wrote.

        Raises:
            JobNotFound: there is none here.
            StoreError: it is damaged.
        """
        path = self._root / MANIFEST
        if not path.exists():
            raise JobNotFound(f"{self._root} holds no job that could be resumed: there is no {MANIFEST} in it", "")
        with reading(path):
            try:
                found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise StoreError(f"{path} is damaged: {error}; submit the job again") from error
        return found

    def opened(self, stage: int) -> None:
        """A stage begins: all before it are merged."""
        path = self._root / "stages" / str(stage)
        with writing(path):
            path.parent.mkdir(exist_ok=True)
            path.touch()

    def received(self, stage: int, blocks: Sequence[int]) -> None:
        """Blocks of a stage are done."""
        path = self._root / "receipts" / str(stage) / f"{socket.gethostname()}-{os.getpid()}"
        with writing(path):
            try:
                file = path.open("a", encoding="ascii")
            except FileNotFoundError:
                for folder in (path.parent.parent, path.parent):  # not the workspace: it is gone when the job has ended
                    folder.mkdir(exist_ok=True)
                file = path.open("a", encoding="ascii")
            with file:
                file.write(" ".join(map(str, blocks)) + "\n")

    def stage(self, stages: int) -> int | None:
        """The number of the stage, of so many, that was opened last; None before the first was."""
        folder = self._root / "stages"
        opened = [int(path.name) for path in folder.iterdir() if path.name.isdigit()] if folder.exists() else []
        # a stage that is done again has a number of its own, `stages` greater each time
        return max(opened, key=lambda number: (number % stages, number // stages), default=None)

    def receipts(self, stage: int) -> list[int]:
        """The blocks of a stage that are done, ascending."""
        folder = self._root / "receipts" / str(stage)
        done: set[int] = set()
        for path in folder.iterdir() if folder.exists() else ():
            with reading(path):
                text = path.read_text(encoding="ascii", errors="replace")
            for line in text.splitlines(keepends=True):
                if line.endswith("\n"):  # else its writer was killed in the middle of it
                    done.update(int(number) for number in line.split() if number.isdigit())
        return sorted(done)
