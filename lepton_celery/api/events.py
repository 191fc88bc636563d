"""Changes of jobs as server-sent events."""

from __future__ import annotations

from collections.abc import Mapping

from lepton_celery.api.answers import answer
from lepton_celery.api.changes import Change

HEADERS: Mapping[str, str] = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would hold the events back
}
"""Headers of a stream of events."""

HELLO = b"event: hello\ndata: {}\n\n"
"""The first event: a page that does not get it soon knows that a proxy holds events back."""


def event(change: Change | None, *, with_rows: bool = False) -> bytes:
    """A change as an event, or a comment for None, which keeps proxies from closing the stream.

    Its data is `{"jobs": [ids]}`, with `{"jobs": null}` if any job may have changed, or `{"trouble": text}`. `with_rows`
    gives each job as it stands, in `{"jobs": {id: job}}`, and null for one that was forgotten.
    """
    if change is None:
        return b": still here\n\n"
    if change.trouble:
        document: Mapping[str, object] = {"trouble": change.trouble}
    else:
        document = {"jobs": change.jobs if with_rows or change.jobs is None else list(change.jobs)}
    return b"data: " + answer(document).body + b"\n\n"
