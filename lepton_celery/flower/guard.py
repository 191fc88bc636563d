"""Gives a plain `celery -A lepton_celery.app flower` our configuration, and never leaves it open to the network."""

from __future__ import annotations

import ipaddress
import secrets
import sys
from pathlib import Path
from typing import Any

import click
from celery import Celery
from celery.signals import import_modules

_SHIPPED = (Path(__file__).with_name("configuration.py"), Path(__file__).parents[2] / "settings" / "flower.py")
"""Where the configuration is: beside this file in the wheel, in `settings/` in a checkout."""


def install(app: Celery[Any]) -> None:
    """Prepare the Flower that is started with an application. Does nothing in other processes."""
    if "flower.command" not in sys.modules:  # the command `celery` has loaded it if this process may become a Flower
        return
    from flower.options import DEFAULT_CONFIG_FILE, options

    if options.conf == DEFAULT_CONFIG_FILE and not Path(DEFAULT_CONFIG_FILE).exists():
        options.conf = str(next(path for path in _SHIPPED if path.exists()))
    import_modules.connect(_require_password, sender=app, weak=False, dispatch_uid="lepton.flower")


def _require_password(**_: Any) -> None:
    """Generate a password if Flower would be open to other machines without one.

    Flower sends this signal when all its options are known, and before it listens.
    """
    from flower.options import options

    command = click.get_current_context(silent=True)
    if (command is None or command.info_name != "worker") and is_open(options):  # workers send the signal too
        password = secrets.token_urlsafe(18)
        options.basic_auth = [f"lepton:{password}"]
        sys.stderr.write(f"Flower's user is lepton, and its password until it stops {password}\n")


def is_open(options: Any) -> bool:
    """Whether Flower with these options shows its pages to other machines without a password."""
    return not (options.basic_auth or options.auth or options.unix_socket or is_loopback(options.address))


def is_loopback(address: str) -> bool:
    """Whether an address of Flower is reached from this machine only; an empty one is all of the machine's addresses."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
