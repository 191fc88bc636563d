"""Outputs that stay inside the allowed folders, also if a folder is moved or swapped for a link while the job runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from lepton_celery.errors import StoreNotFound
from lepton_celery.grid import Region
from lepton_celery.stores.base import AnyArray, ArrayOutput, Target
from lepton_celery.stores.failures import writing
from lepton_celery.stores.roots import PinnedFolder, Roots


class GuardedOutput(ArrayOutput):
    """An output whose folder is held open from the first use on."""

    def __init__(self, target: Target, make: Callable[[Target], ArrayOutput], roots: Roots) -> None:
        self.target = target
        self._make, self._roots = make, roots
        self._opened: tuple[PinnedFolder, ArrayOutput] | None = None

    def create(self) -> None:
        with self._output() as output:
            output.create()

    def reserve(self) -> None:
        with self._output() as output:
            output.reserve()

    def write(self, region: Region, pixels: AnyArray) -> None:
        with self._output() as output:
            output.write(region, pixels)

    def publish(self) -> None:
        with self._output() as output:
            output.publish()

    def discard(self) -> None:
        with suppress(StoreNotFound), self._output() as output:  # with the folder, the part is gone
            output.discard()

    @contextmanager
    def _output(self) -> Iterator[ArrayOutput]:
        final = self.target.final
        if self._opened is None:
            with writing(final):
                folder = PinnedFolder(final.parent, self._roots)
            self._opened = folder, self._make(replace(self.target, path=str(folder.path / final.name)))
        folder, output = self._opened
        with writing(final):
            folder.check()
        with folder.named():
            yield output
