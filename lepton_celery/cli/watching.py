"""Shows something again whenever it changes: on a terminal in place, elsewhere below."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from rich.live import Live

from lepton_celery.cli.console import output, print_json

T = TypeVar("T")

_POLL_S = 0.5


def redrawn(
    read: Callable[[], T],
    *,
    show: Callable[[T], Any],
    document: Callable[[T], Any] | None = None,
    until: Callable[[T], bool] = lambda state: False,
    key: Callable[[T], object] = lambda state: state,
) -> T:
    """Read and show a state until `until` says that it is the last one, which is returned.

    Args:
        read: reads the state.
        show: makes text or a table of it.
        document: makes JSON of it, which is printed on one line for each change, instead.
        until: whether the state is the last one.
        key: what of the state counts as a change if it differs; the whole state unless it has times that go on.
    """
    console = output()
    if document is None and console.is_terminal and not console.is_dumb_terminal:
        with Live(console=console, auto_refresh=False) as live:
            while True:
                state = read()
                live.update(show(state), refresh=True)
                if until(state):
                    return state
                time.sleep(_POLL_S)
    before: object = None
    while True:
        state = read()
        if key(state) != before:
            if document is None:
                console.print(show(state))
            else:
                print_json(document(state), is_stream=True)
        if until(state):
            return state
        before = key(state)
        time.sleep(_POLL_S)
