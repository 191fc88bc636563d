"""Settings of all unit tests."""

from __future__ import annotations

import os

from hypothesis import settings

# a time limit on single examples would fail on a busy machine; CI wants the same examples each time
settings.register_profile("default", deadline=None, max_examples=30)
settings.register_profile("ci", deadline=None, max_examples=30, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")
