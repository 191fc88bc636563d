"""Several users submit jobs at once to a Django site under gunicorn: as benchmarks/django_site.py, with fewer."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.django_site import load, users_of, web_server

pytestmark = pytest.mark.worker


def test_jobs_of_several_users_at_once_are_done_and_seen_by_them_alone(folder: Path) -> None:
    with web_server(folder) as (url, web):
        figures = load(url, web, users_of(4), 3)
    assert (figures.jobs, figures.done, figures.lost, figures.seen_by_others) == (12, 12, 0, 0), str(figures)
    assert figures.after_mb < figures.before_mb + 40, str(figures)
