"""Gives a job's outputs their final names, once all of its blocks are done.

An output that cannot be published does not keep the others from their names. A job that fails before publishes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from lepton_celery import stores
from lepton_celery.errors import OutputExists, StoreError, StoreNotFound
from lepton_celery.execution.context import Context
from lepton_celery.stores.base import ArrayOutput


def publish(context: Context, *, overwrite: bool = False) -> dict[str, dict[str, str]]:
    """Publish all outputs, once every block of every stage is done. Idempotent.

    Returns:
        The dtype of each column, by name, of each CSV among the outputs, by path.

    Raises:
        StoreError: an output cannot be written now, or the job has ended.
        Exception: the first error of an output; its notes name all outputs that failed, and those that were published.
    """
    context.workspace.mark(
        "publishing"
    )  # an error in a merge that was overtaken: the job has ended, and its workspace is gone
    publication = _Publication(context, overwrite)
    outputs = list(_outputs(context))
    for output in outputs:
        publication.add(output)
    if publication.failed:
        error = publication.error()
        if len(outputs) > 1:
            error.add_note(publication.told(outputs))
        raise error
    return publication.dtypes


@dataclass(frozen=True)
class _Output:
    """An output of a job."""

    mark: str
    """The mark in the workspace that the job has published it."""
    node: int
    path: str
    image: ArrayOutput | None
    """The store of an image; None for a table or a value."""


def _outputs(context: Context) -> Iterator[_Output]:
    files = ((node, path, None) for path, node in context.files.items())
    images = (
        (node, target.path, context.output(target)) for node, targets in context.targets.items() for target in targets
    )
    return (_Output(f"published{position}", *output) for position, output in enumerate(chain(files, images)))


class _Publication:
    """The outputs that were published in one go, and those that failed."""

    def __init__(self, context: Context, overwrite: bool) -> None:
        self._context, self._overwrite = context, overwrite
        self.dtypes: dict[str, dict[str, str]] = {}
        self.written: set[str] = set()
        self.failed: dict[str, Exception] = {}

    def add(self, output: _Output) -> None:
        """Publish an output."""
        workspace = self._context.workspace
        is_published = workspace.is_marked(output.mark)
        try:
            if output.image is None:
                value = self._context.value(output.node)
                # a merge that runs again may replace what its first run published
                overwrite = self._overwrite or is_published
                columns = stores.write_value(
                    output.path, value, job_id=self._context.job_id, overwrite=overwrite, roots=self._context.roots
                )
                self.dtypes |= {output.path: columns} if columns else {}
            elif not (is_published and os.path.lexists(output.image.target.final)):
                # else there may be a new part, begun by a worker that was frozen since before the image was published
                output.image.publish()
            workspace.mark(output.mark)
            self.written.add(output.path)
        except Exception as error:  # raised when the other outputs have been published
            self.failed[output.path] = error

    def told(self, outputs: Iterable[_Output]) -> str:
        """The names of the outputs that are written, and of those that are not."""
        names = {output.path: Path(output.path).name for output in outputs}
        written = [name for path, name in names.items() if path in self.written]
        missing = [name for path, name in names.items() if path not in self.written]
        return f"written: {', '.join(written) or 'no output'}; not written: {', '.join(missing)}"

    def error(self) -> Exception:
        """An error that a retry may mend if there is one, else the first; its notes name all outputs that failed."""
        final = (OutputExists, StoreNotFound)
        passing = [e for e in self.failed.values() if isinstance(e, StoreError) and not isinstance(e, final)]
        raised = [*passing, *self.failed.values()][0]
        for path, error in self.failed.items():
            if error is not raised:
                raised.add_note(f"output {path}: {error}")
            elif path not in str(error):
                raised.add_note(f"this error is of the output {path}")
        return raised
