"""What scikit-image, SciPy and NumPy warn of while blocks are done and values are merged: kept in the workspace, told once.

Blocks run many times, on threads and in other processes, and Python shows their warnings there. They are caught instead,
by thread, and the process that asked for the result gives each of them once.
"""

from __future__ import annotations

import builtins
import re
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from lepton_celery.catalogue.source_warnings import source_warnings
from lepton_celery.execution.context import Context
from lepton_celery.planning.plan import PlanNode
from lepton_celery.stores.workspace import Workspace
from lepton_celery.text import shown_lines

_FOR_DEVELOPERS = (DeprecationWarning, PendingDeprecationWarning, ResourceWarning, ImportWarning)
"""Categories that say nothing about the pixels."""
_lock = threading.Lock()


class _Catching(NamedTuple):
    """Where the warnings of a thread go."""

    workspace: Workspace
    is_part: bool
    """Whether the thread works on a part of the image, so that numbers in a warning are those of the part."""


_of_thread = threading.local()


class _Hook:
    """The replacement of `warnings.showwarning` while any thread of this process catches warnings."""

    def __init__(self) -> None:
        self.users = 0
        self._before: Callable[..., Any] = warnings.showwarning
        self._restore = warnings.catch_warnings()

    def enter(self) -> None:
        with _lock:
            self.users += 1
            if self.users == 1:
                # entering also makes Python forget which warnings it has shown, which would not come a second time
                self._restore = warnings.catch_warnings()
                self._restore.__enter__()
                self._before = warnings.showwarning
                warnings.showwarning = self.show

    def exit(self) -> None:
        with _lock:
            self.users -= 1
            if self.users == 0:
                self._restore.__exit__(None, None, None)

    def show(self, message: Warning | str, category: type[Warning], *place: Any, **options: Any) -> None:
        catching: _Catching | None = getattr(_of_thread, "catching", None)
        if catching is None or issubclass(category, _FOR_DEVELOPERS):
            self._before(message, category, *place, **options)
            return
        text = shown_lines(message)
        # the same warning of several blocks may have other numbers
        key = f"{category.__name__} {re.sub('[0-9]+', '0', text)}"
        if catching.is_part and re.search("[0-9]", text):
            text += " (in one of the blocks)"
        catching.workspace.put_warning(key, _built_in(category), text)


_hook = _Hook()


@contextmanager
def caught_warnings(workspace: Workspace, *, is_part: bool = False) -> Iterator[None]:
    """Keep the warnings of a `with` block, which this thread runs, in a job's workspace.

    `is_part` says that the block of code works on a part of the image.
    """
    before = getattr(_of_thread, "catching", None)
    _hook.enter()
    _of_thread.catching = _Catching(workspace, is_part)
    try:
        yield
    finally:
        _of_thread.catching = before
        _hook.exit()


def kept_warnings(context: Context) -> list[tuple[str, str]]:
    """The warnings of all blocks and merges, without those that the caller got when the graph was built."""
    told = {str(warning) for node in context.plan.nodes for warning in _told_before(node)}
    return [(category, text) for category, text in context.workspace.warnings() if text not in told]


def _told_before(node: PlanNode) -> Iterator[Warning]:
    """The warnings of the function that a node calls."""
    for name in {node.entry.name, node.entry.source.removeprefix("skimage.")}:
        yield from source_warnings(name, node.with_defaults)


def tell(found: Sequence[Sequence[str]], *, stacklevel: int) -> None:
    """Give the warnings of a job, `(category, text)` each, as if the caller `stacklevel` frames up had caused them."""
    for category, text in found:
        warnings.warn(text, getattr(builtins, category, UserWarning), stacklevel=stacklevel + 1)


def _built_in(category: type[Warning]) -> str:
    """The name of the nearest category of Python's own."""
    return str(next(cls.__name__ for cls in category.__mro__ if vars(builtins).get(cls.__name__) is cls))
