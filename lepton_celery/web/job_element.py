"""The HTML of a job in a page of a site: an element that the script `static/job.js` keeps up to date."""

from __future__ import annotations

from html import escape
from pathlib import Path

STATIC = Path(__file__).with_name("static")
"""The folder of the script and its style sheet."""


def job_element(job_id: str, api: str, static: str, *, state: str = "", csrf: str = "") -> str:
    """A job that shows its state, progress, remaining time, error and results.

    It needs no inline script and no inline style, so a Content-Security-Policy of `script-src 'self'; style-src 'self'` is
    enough. Without scripts it shows `state`.

    Args:
        job_id: the job.
        api: the path of the site's HTTP API, without a slash at its end.
        static: the path of the files in `STATIC`, without a slash at its end.
        state: what it shows until the script runs.
        csrf: the token that the site wants to see in the header X-CSRFToken, if it wants one.
    """
    attributes = {"job": job_id, "api": api} | ({"csrf": csrf} if csrf else {})
    written = " ".join(f'{name}="{escape(value)}"' for name, value in attributes.items())
    return (
        f'<link rel="stylesheet" href="{escape(static)}/job.css">'
        f'<script type="module" src="{escape(static)}/job.js"></script>'
        f"<lepton-job {written}>{escape(state)}</lepton-job>"
    )
