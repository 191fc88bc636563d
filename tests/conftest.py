"""Settings of all tests."""

from __future__ import annotations

import signal

# Background jobs of a shell without job control, and some CI systems, ignore SIGINT. Child processes inherit that, so
# `lepton up` would never see the Ctrl-C that tests send.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
