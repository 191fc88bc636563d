"""Ends the reading of a request after some time, also if the client sends nothing at all.

A thread that waits for bytes of a socket cannot be woken by its own clock. Closing the socket for reading wakes it: it finds
the end of the request, and still can answer.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

_SOCKETS = ("gunicorn.socket", "werkzeug.socket")
"""Where servers leave the socket of a request in its WSGI environment."""


def socket_of(environ: Mapping[str, Any]) -> socket.socket | None:
    """The socket of a request; None from a server that tells nobody, and so must end slow requests itself."""
    found = next((environ[name] for name in _SOCKETS if name in environ), None)
    return found if isinstance(found, socket.socket) else None


@contextmanager
def reading_ends(connection: socket.socket | None, seconds: float) -> Iterator[threading.Event]:
    """Have nothing more be read from a connection after some seconds, unless the `with` block is done by then.

    The event that the `with` block is given is set when these seconds are over.
    """
    is_over = threading.Event()
    if connection is None:
        yield is_over
        return
    timer = threading.Timer(seconds, _hang_up, (connection, is_over))
    timer.daemon = True
    timer.start()
    try:
        yield is_over
    finally:
        timer.cancel()


def _hang_up(connection: socket.socket, is_over: threading.Event) -> None:
    is_over.set()
    with suppress(OSError):  # the client is gone
        connection.shutdown(socket.SHUT_RD)
