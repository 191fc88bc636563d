"""Workspaces keep what passes between a job's stages: intermediate images, partials of blocks, whole-image values.

The workspace of a job on workers is on disk, that of the inline engine in memory. File names follow from the plan, so a
block that runs twice writes the same bytes to the same file.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import md5
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import numpy as np

from lepton_celery import stores
from lepton_celery.catalogue.arrays import Partial, Partials
from lepton_celery.errors import InputError, StoreError, StoreNotFound
from lepton_celery.grid import BlockIndex
from lepton_celery.stores.base import ArrayOutput, ArrayReader, Target
from lepton_celery.stores.bundle import read_bundle, write_bundle
from lepton_celery.stores.documents import write_atomically
from lepton_celery.stores.failures import shown, writing
from lepton_celery.stores.paths import check_job_id
from lepton_celery.stores.publish import remove
from lepton_celery.stores.roots import PinnedFolder, Roots, check_allowed, pinned

_MAPPED_BYTES = 1 << 20
"""Values of at least this many bytes are memory-mapped, smaller ones are loaded."""

_PARTIALS_PER_FOLDER = 1000
"""Largest number of partials in one folder."""

Key = int | tuple[int, int]
"""A node of the plan, or a node and the round of a repeated stage."""


class Workspace(Protocol):
    """The images, partials and values that the stages of a job leave for later stages."""

    def create(self) -> None:
        """Create the workspace if it does not exist."""

    def image(self, node: Key) -> ArrayReader:
        """An image that an earlier stage has written."""

    def image_output(
        self, node: Key, shape: tuple[int, ...], dtype: str, block_shape: tuple[int, ...], *, compress: bool
    ) -> ArrayOutput:
        """The output for an image that later stages read. `compress` suits images of mostly one value, such as labels."""

    def put_partial(self, node: Key, block: BlockIndex, partial: Partial) -> None:
        """Store the partial of a block."""

    def partials(self, node: Key, blocks: int) -> Partials:
        """The partials of all blocks of a stage, in block order; they may be iterated over more than once."""
        return _Partials(self, node, blocks)

    def partial(self, node: Key, block: BlockIndex) -> Partial:
        """The partial of a block."""

    def missing_partials(self, node: Key, blocks: int) -> list[BlockIndex]:
        """The blocks without a partial."""

    def put_value(self, node: Key, value: Any, *, keep_partials: bool = False) -> None:
        """Store the result of a merge. The partials it was made from may be removed, unless `keep_partials` is set."""

    def value(self, node: Key) -> Any:
        """A whole-image value: an array, a scalar of its dtype, or arrays by name."""

    def shared(self, node: Key, compute: Callable[[], Partial]) -> Partial:
        """Arrays that all blocks of a node need: the first process that asks computes them, and others wait for it."""

    def discard_node(self, node: Key) -> None:
        """Remove the image, the partials and the shared arrays of a node, which no later stage reads."""

    def put_warning(self, key: str, category: str, text: str) -> None:
        """Keep a library's warning; of several with one key, one is kept."""

    def warnings(self) -> list[tuple[str, str]]:
        """The warnings that were kept, `(category, text)` each."""

    def mark(self, name: str) -> bool:
        """Set a mark; True if it was set before."""

    def is_marked(self, name: str) -> bool:
        """Whether a mark was set."""

    def discard(self) -> None:
        """Remove everything."""


class MemoryWorkspace(Workspace):
    """A workspace in the memory of this process."""

    def __init__(self) -> None:
        self._images: dict[Key, stores.MemoryOutput] = {}
        self._partials: dict[Key, dict[BlockIndex, Partial]] = {}
        self._values: dict[Key, Any] = {}
        self._warnings: dict[str, tuple[str, str]] = {}
        self._shared: dict[Key, Partial] = {}
        self._lock = Lock()

    def create(self) -> None:
        pass

    def image(self, node: Key) -> ArrayReader:
        self._images[node].publish()  # the stage that wrote it is complete
        return stores.MemoryReader(self._images[node].array)

    def image_output(
        self, node: Key, shape: tuple[int, ...], dtype: str, block_shape: tuple[int, ...], *, compress: bool
    ) -> ArrayOutput:
        target = Target("memory", shape, dtype, block_shape, "inline")
        return self._images.setdefault(node, stores.MemoryOutput(target))

    def put_partial(self, node: Key, block: BlockIndex, partial: Partial) -> None:
        self._partials.setdefault(node, {})[block] = partial

    def partial(self, node: Key, block: BlockIndex) -> Partial:
        return self._partials[node][block]

    def missing_partials(self, node: Key, blocks: int) -> list[BlockIndex]:
        partials = self._partials.get(node, {})
        return [block for block in map(BlockIndex, range(blocks)) if block not in partials]

    def put_value(self, node: Key, value: Any, *, keep_partials: bool = False) -> None:
        self._values[node] = value
        if not keep_partials:
            self._partials.pop(node, None)

    def value(self, node: Key) -> Any:
        return self._values[node]

    def shared(self, node: Key, compute: Callable[[], Partial]) -> Partial:
        with self._lock:
            if node not in self._shared:
                self._shared[node] = compute()
            return self._shared[node]

    def discard_node(self, node: Key) -> None:
        self._shared.pop(node, None)
        self._images.pop(node, None)
        self._partials.pop(node, None)

    def put_warning(self, key: str, category: str, text: str) -> None:
        self._warnings[key] = (category, text)

    def warnings(self) -> list[tuple[str, str]]:
        return list(self._warnings.values())

    def mark(self, name: str) -> bool:
        return False  # one process, one merge

    def is_marked(self, name: str) -> bool:
        return False

    def discard(self) -> None:
        self._images.clear()
        self._partials.clear()
        self._values.clear()
        self._shared.clear()


class DiskWorkspace(Workspace):
    """A workspace in a directory that all workers see. Its images may be in another directory, the scratch."""

    def __init__(self, root: Path, job_id: str, scratch: Path | None = None, roots: Roots = ()) -> None:
        self.root = root
        self._job_id, self._roots = job_id, roots
        self._images = root if scratch is None else workspace_root(scratch, job_id)
        self._open: dict[Path, PinnedFolder] = {}

    def create(self) -> None:
        """Create the directories; StoreError if that fails. The folder of the outputs must exist."""
        for folder, makes_parents in ((self.root, False), (self._images, self._images != self.root)):
            try:
                if makes_parents:
                    check_allowed(folder.parent, self._roots)
                    folder.parent.mkdir(parents=True, exist_ok=True)
                with pinned(folder, self._roots) as path:
                    path.mkdir(exist_ok=True)
            except OSError as error:
                raise StoreError(
                    f"the workspace {folder} cannot be created: {error.strerror}; write outputs to a directory that you may "
                    "write to and that all workers see; the same holds for LEPTON_SCRATCH, if it is set"
                ) from error

    def _held(self, folder: Path) -> Path:
        """A folder of the workspace, for use in a path. With roots it is held open, so that no link can take its place.

        Raises:
            StoreNotFound: the folder is gone.
        """
        if not self._roots:
            return folder
        if folder not in self._open:
            with writing(folder):
                self._open[folder] = PinnedFolder(folder, self._roots)
        return self._open[folder].path

    def image(self, node: Key) -> ArrayReader:
        from lepton_celery.stores.npy import NpyReader
        from lepton_celery.stores.zarr3 import ZarrReader

        plain, packed = self._image_paths(node)
        return ZarrReader(packed) if packed.exists() else NpyReader(plain)

    def _image_paths(self, node: Key) -> list[Path]:
        """The paths that an image may have. It is never published: later stages read the part that holds its blocks."""
        images = self._held(self._images)
        return [images / f".image{_text(node)}{suffix}.{self._job_id}.part" for suffix in (".npy", ".zarr")]

    def image_output(
        self, node: Key, shape: tuple[int, ...], dtype: str, block_shape: tuple[int, ...], *, compress: bool
    ) -> ArrayOutput:
        # floats from filters hardly compress, and a memory map reads a halo without decoding neighbours
        path = self._held(self._images) / f"image{_text(node)}{'.zarr' if compress else '.npy'}"
        return stores.array_output(Target(str(path), shape, dtype, block_shape, self._job_id))

    def partial_path(self, node: Key, block: BlockIndex) -> Path:
        """The file with the partial of a block."""
        return self._held(self.root) / f"partials{_text(node)}" / f"{block // _PARTIALS_PER_FOLDER}" / f"{block}.arrays"

    def put_partial(self, node: Key, block: BlockIndex, partial: Partial) -> None:
        path = self.partial_path(node, block)
        try:
            write_bundle(path, partial)
        except StoreNotFound:
            with writing(path):
                for folder in (path.parent.parent, path.parent):  # not the workspace, which is removed with its job
                    folder.mkdir(exist_ok=True)
            write_bundle(path, partial)

    def partial(self, node: Key, block: BlockIndex) -> Partial:
        return read_bundle(self.partial_path(node, block))

    def missing_partials(self, node: Key, blocks: int) -> list[BlockIndex]:
        missing: list[BlockIndex] = []
        for first in range(0, blocks, _PARTIALS_PER_FOLDER):
            folder = self.partial_path(node, BlockIndex(first)).parent
            names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
            numbers = map(BlockIndex, range(first, min(first + _PARTIALS_PER_FOLDER, blocks)))
            missing += [block for block in numbers if self.partial_path(node, block).name not in names]
        return missing

    def put_value(self, node: Key, value: Any, *, keep_partials: bool = False) -> None:
        arrays = value if isinstance(value, dict) else {"": value}
        write_bundle(self._value_path(node), {name: np.asarray(array) for name, array in arrays.items()})

    def value(self, node: Key) -> Any:
        path = self._value_path(node)
        try:
            arrays = read_bundle(path, mapped=path.stat().st_size >= _MAPPED_BYTES)
        except (FileNotFoundError, StoreNotFound) as error:
            raise StoreError(
                f"the whole-image value {node} is missing at {shown(path)}; the job's workspace is damaged"
            ) from error
        return arrays[""][()] if list(arrays) == [""] else arrays

    def _value_path(self, node: Key) -> Path:
        return self._held(self.root) / f"value{_text(node)}.arrays"

    def shared(self, node: Key, compute: Callable[[], Partial]) -> Partial:
        path, lock = self._shared_path(node), self._held(self.root) / f"shared{_text(node)}.lock"
        if not path.exists():
            with writing(lock):
                file = lock.open("ab")
            with file:
                with suppress(OSError):  # without locks, as on some network folders, each process computes for itself
                    fcntl.flock(file, fcntl.LOCK_EX)  # ends with the process, also if that is killed
                if not path.exists():
                    write_bundle(path, compute())
        return read_bundle(path, mapped=True)

    def _shared_path(self, node: Key) -> Path:
        return self._held(self.root) / f"shared{_text(node)}.arrays"

    def discard_node(self, node: Key) -> None:
        for path in (
            *self._image_paths(node),
            self._held(self.root) / f"partials{_text(node)}",
            self._shared_path(node),
        ):
            remove(path)

    def put_warning(self, key: str, category: str, text: str) -> None:
        name = f"{md5(key.encode(), usedforsecurity=False).hexdigest()}.warning"
        if not (self._held(self.root) / name).exists():
            write_atomically(self._held(self.root) / name, json.dumps([category, text]).encode())

    def warnings(self) -> list[tuple[str, str]]:
        found = [json.loads(path.read_bytes()) for path in sorted(self._held(self.root).glob("*.warning"))]
        return [(str(category), str(text)) for category, text in found]

    def mark(self, name: str) -> bool:
        with writing(self.root):
            try:
                self._mark(name).touch(exist_ok=False)
            except FileExistsError:
                return True
        return False

    def is_marked(self, name: str) -> bool:
        return self._mark(name).exists()

    def _mark(self, name: str) -> Path:
        return self._held(self.root) / f"{name}.mark"

    def discard(self) -> None:
        """Remove the job's own folders, and nothing else.

        Raises:
            InputError: the workspace is not named after the job, or is outside the roots; nothing is removed.
            StoreError: this user may not remove it.
        """
        check_job_id(self._job_id)
        for folder in (self._images, self.root):
            if folder != workspace_root(folder.parent, self._job_id):
                raise InputError(
                    f"{folder} is not the workspace of job {self._job_id}, whose name is .lepton-{self._job_id}; nothing is "
                    "removed, because the job's record is damaged"
                )
            check_allowed(folder.parent, self._roots)
        for folder in (self._images, self.root):
            with suppress(FileNotFoundError), writing(folder), pinned(folder, self._roots) as path:
                remove(path)


class _Partials:
    """The partials of a node, which each iteration reads one after the other."""

    def __init__(self, workspace: Workspace, node: Key, blocks: int) -> None:
        self._workspace, self._node, self._blocks = workspace, node, blocks

    def __iter__(self) -> Iterator[tuple[BlockIndex, Partial]]:
        for block in map(BlockIndex, range(self._blocks)):
            yield block, self._workspace.partial(self._node, block)


def _text(node: Key) -> str:
    """The node as part of a file name."""
    return str(node) if isinstance(node, int) else f"{node[0]}-{node[1]}"


def workspace_root(directory: str | os.PathLike[str], job_id: str) -> Path:
    """The directory of a job's workspace, beside its first output or in the scratch."""
    return Path(directory) / f".lepton-{job_id}"
