"""Settings of all tests."""

from __future__ import annotations

import os
import signal
import sys

# Background jobs of a shell without job control, and some CI systems, ignore SIGINT; nohup ignores SIGHUP. Child processes
# inherit that, so `lepton up` would never see the signals that tests send.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Without its kernels a test session must not need Numba either, which is an extra: it is as if it were not installed.
if os.environ.get("LEPTON_KERNELS") == "0":
    sys.modules["numba"] = None  # type: ignore[assignment]
