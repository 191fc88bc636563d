"""The command that starts Flower with the configuration of this package."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]

_SHIPPED = (_PACKAGE / "flower" / "configuration.py", _PACKAGE.parent / "settings" / "flower.py")
"""Where the package carries the configuration: beside its pages in the wheel, in `settings/` in a checkout."""

_OWN_CONFIGURATION = "flowerconfig.py"
"""The file in the current folder that Flower reads if it is told of no other."""

_SECRET = re.compile(r"(--?(?:basic.auth|cookie.secret|oauth2.secret|broker.api)=).+", re.DOTALL)

MISSING = "Flower is not installed; pip install 'lepton-celery[flower]'"


def shipped_configuration() -> Path:
    """The configuration that the package carries."""
    return next(path for path in _SHIPPED if path.exists())


def configuration(folder: Path | None = None) -> Path:
    """The `settings/flower.py` of a folder, by default this one, or of an installed project; else that of the package."""
    own = (folder or Path.cwd()) / "settings" / "flower.py"
    if own.exists():
        return own
    with suppress(ModuleNotFoundError):  # there is no package `settings`
        if (module := find_spec("settings.flower")) and module.origin:
            return Path(module.origin)
    return shipped_configuration()


def flower_command(
    app: str, *, address: str = "", port: int | None = None, folder: Path | None = None, options: Sequence[str] = ()
) -> list[str]:
    """The arguments of `celery` that start Flower.

    Args:
        app: module of the Celery application.
        address: where Flower listens; empty to leave that to its configuration.
        port: its port; None to leave that to its configuration.
        folder: where it runs; None for this folder.
        options: further options of Flower, which win.
    """
    given = {option.lstrip("-").partition("=")[0] for option in options}
    arguments = ["-A", app, "flower"]
    if address:
        arguments.append(f"--address={address}")
    if port is not None:
        arguments.append(f"--port={port}")
    if "conf" not in given and not ((folder or Path.cwd()) / _OWN_CONFIGURATION).exists():
        arguments.append(f"--conf={configuration(folder)}")
    return [*arguments, *options]


def without_secrets(arguments: Sequence[str]) -> list[str]:
    """Arguments as they may be shown to people."""
    return [_SECRET.sub(r"\1...", argument) for argument in arguments]
