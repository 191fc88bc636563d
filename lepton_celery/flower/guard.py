"""Gives Flower the configuration of this package, and leaves none that shows jobs open to the network without a password."""

from __future__ import annotations

import ipaddress
import logging
import secrets
import sys
from pathlib import Path
from threading import Thread
from typing import Any

import click
from celery import Celery
from celery.signals import import_modules

from lepton_celery.config import Settings
from lepton_celery.json_lines import is_json, use_json
from lepton_celery.local.flower_command import shipped_configuration


def configure() -> None:
    """Give a Flower that this process may become the configuration of this package, unless it has one in its folder."""
    if "flower.command" not in sys.modules:  # the command `celery` has loaded it if this process may become a Flower
        return
    from flower.options import DEFAULT_CONFIG_FILE, options

    if options.conf == DEFAULT_CONFIG_FILE and not Path(DEFAULT_CONFIG_FILE).exists():
        options.conf = str(shipped_configuration())


def install() -> None:
    """Guard the Flower that this process may become, if its application has jobs."""
    import_modules.connect(_guard, weak=False, dispatch_uid="lepton.flower")


def _guard(sender: Celery[Any], **_: Any) -> None:
    """Keep Flower from showing jobs to other machines without a password.

    Flower sends this signal when all its options are known, and before it listens. Celery would only log an error of this
    function, so each of them ends the process.
    """
    command = click.get_current_context(silent=True)
    if command is None or command.info_name != "flower" or "lepton" not in sender.conf:
        return
    from flower.options import options

    settings: Settings = sender.conf["lepton"]
    if is_json(settings):
        use_json(logging.getLogger())
    try:
        close(options, settings.flower_auth)
    except Exception as error:
        raise SystemExit(f"Flower does not start: {error}") from error
    Thread(target=_load, daemon=True).start()


def _load() -> None:
    """Import what the first page would wait for, for half a second."""
    from lepton_celery.api import service  # noqa: F401
    from lepton_celery.catalogue import catalogue

    catalogue()


def close(options: Any, auth: str) -> None:
    """Give Flower's options the password `auth`, if it has none; without any, let it listen on this machine only.

    If it was told to listen on an address that other machines reach, it gets a password that nobody chose.
    """
    if options.basic_auth or options.auth:
        return
    if auth:
        if ":" not in auth:
            raise SystemExit("LEPTON_FLOWER_AUTH has no colon; give user:password")
        if not auth.isascii():
            raise SystemExit(
                "LEPTON_FLOWER_AUTH has characters that are not ASCII, which Flower cannot compare; use others"
            )
        options.basic_auth = [auth]
    elif options.unix_socket or is_loopback(options.address):
        return
    elif options.address:
        password = secrets.token_urlsafe(18)
        options.basic_auth = [f"lepton:{password}"]
        _tell(f"user is lepton, and its password until it stops {password}; set LEPTON_FLOWER_AUTH to choose them")
    else:
        options.address = "127.0.0.1"
        _tell(
            "pages are for this machine only, since they ask for no password; set LEPTON_FLOWER_AUTH to user:password"
        )


def _tell(what: str) -> None:
    sys.stderr.write(f"Flower's {what}\n")


def is_loopback(address: str) -> bool:
    """Whether an address of Flower is reached from this machine only; an empty one is all of the machine's addresses."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
