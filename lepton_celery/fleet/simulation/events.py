"""SimPy, if it is installed."""

from __future__ import annotations

from typing import Any

from lepton_celery.errors import InputError


def new_environment() -> Any:
    """A SimPy environment, whose clock is at 0.

    Raises:
        InputError: SimPy is not installed.
    """
    try:
        import simpy
    except ImportError as error:
        raise InputError(
            f"simulations need SimPy, which cannot be imported ({error}); "
            "`pip install 'lepton-celery[simulation]'` installs it"
        ) from error
    return simpy.Environment()
