"""Settings of all tests."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator

import pytest

from lepton_celery import config

# Background jobs of a shell without job control, and some CI systems, ignore SIGINT and SIGQUIT; nohup ignores SIGHUP. Child
# processes inherit that, so `lepton up` would never see the signals that tests send.
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL)

# Without its kernels a test session must not need Numba either, which is an extra: it is as if it were not installed.
if os.environ.get("LEPTON_KERNELS") == "0":
    sys.modules["numba"] = None  # type: ignore[assignment]


@pytest.fixture(autouse=True)
def settings_of_this_process() -> Iterator[None]:
    """The settings of `configure(app, Settings(…))` hold for a whole process: they end with the test that gave them."""
    before = config._configured
    yield
    config.set_configured(before)
