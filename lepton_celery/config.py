"""Every setting of the product, once, with its unit and default.

A setting is given by its name in a `settings/` module, or by `LEPTON_` and its name in capitals in the environment, which
wins. Unknown names are refused. Celery's own settings stay Celery's (`lepton_celery.engines.celery.settings`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib import import_module
from pathlib import Path
from typing import Any

from lepton_celery.errors import InputError

LANES = ("interactive", "default", "batch")
"""Queues by urgency, the most urgent first."""

_RESERVED = frozenset({"LEPTON_SETTINGS", "LEPTON_STATE", "LEPTON_MAX", "LEPTON_MIN"})
"""Variables that the launcher and the Procfile read; not settings of the application."""


@dataclass(frozen=True)
class Settings:
    """How client and workers find each other, and how patient they are."""

    broker_url: str = field(default="redis://127.0.0.1:6379/0", repr=False)
    """Celery's broker."""
    result_backend: str = field(default="", repr=False)
    """Where chords are counted, a Redis URL; empty: the broker."""
    ledger_url: str = field(default="", repr=False)
    """Where jobs are recorded, a Redis URL; empty: the result backend."""
    allowed_roots: tuple[str, ...] = ()
    """Directories workers may read from and write to; empty: all. Several are separated by `:` in the environment."""
    allowed_functions: tuple[str, ...] = ()
    """Functions of your own that workers may call, `package.module:function` or a pattern such as `package.module:*`; empty:
    none. Several are separated by commas in the environment."""
    scratch: str = ""
    """Directory for the images that pass between a job's stages, seen by all workers and within `allowed_roots`, such as a
    folder of /dev/shm where there is one machine; empty: beside the job's first output."""
    lease_s: float = 7.5
    """Seconds without a sign of life after which a worker's blocks are given to others."""
    sweep_s: float = 2.0
    """Seconds between a worker's looks for lost work."""
    max_attempts: int = 4
    """Times a block may fail, or take its worker down, before it is given up."""
    most_holes: int = 16
    """Blocks of a stage that may be given up and filled while they are more than half of those done; then the job fails."""
    straggler: float = 3.0
    """Times as long as a batch of its stage takes on average that a batch may take before its blocks are done by another
    worker too, once there is nothing else to do in the stage; the first receipt counts. 0: never."""
    block_limit_s: float = 3600.0
    """Seconds that one block may take; then its worker process is ended, and the block counted as lost. 0: no limit."""
    retention_s: float = 7 * 24 * 3600.0
    """Seconds that an ended job stays in the ledger; until then a failed one keeps its files and can be resumed."""
    max_retries: int = 5
    """Times a batch is tried again after a passing error of a store or the ledger."""
    wave_batches: int = 16
    """Batches of a job that travel in one chord."""
    window_batches: int = 48
    """Batches of a job that may be in the broker at a time; at least two waves, so that no worker idles between waves."""
    visibility_timeout_s: int = 3600
    """Seconds after which Redis hands an unacknowledged message to another worker; a backstop, leases act first."""
    flower_auth: str = field(default="", repr=False)
    """`user:password` for Flower; empty: no password on this machine, one made up at start elsewhere."""
    worker_memory_bytes: int = 1 << 30
    """Arrays that one worker process may hold; larger plans are refused."""
    memory_limit_bytes: int = 3 << 30
    """What a worker process may take in all while it works on a batch, besides what it has when idle; a block that needs
    more is done in smaller pieces. 0: no limit. Linux only."""
    cost_profile: str = "default"
    """Under which name the ledger keeps what work costs on these workers; give other kinds of machine another."""
    kernels: bool = True
    """Whether compiled kernels do the functions that have one, where Numba is installed (the extra `fast`); pixels are the
    same either way. `1` or `0` in the environment."""

    @property
    def backend(self) -> str:
        return self.result_backend or self.broker_url

    @property
    def ledger(self) -> str:
        return self.ledger_url or self.backend


def state_directory() -> Path:
    """Where a folder's local stack and cost model are kept: `LEPTON_STATE`, or `.lepton`."""
    return Path(os.environ.get("LEPTON_STATE", ".lepton")).absolute()


def settings_from(values: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
    """Settings from a `settings/` module's values and the environment, which wins.

    Raises:
        InputError: a name that is no setting, or a value that is not of its type.
    """
    known = {item.name: item for item in fields(Settings)}
    found: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known:
            raise InputError(f"{name!r} is not a setting; there are {', '.join(known)}")
        found[name] = value
    for variable, text in environ.items():
        if not variable.startswith("LEPTON_") or variable in _RESERVED:
            continue
        name = variable.removeprefix("LEPTON_").lower()
        if name not in known:
            raise InputError(
                f"{variable} names no setting; there are {', '.join('LEPTON_' + n.upper() for n in known)}"
            )
        found[name] = _parsed(variable, text, known[name].default, "," if name == "allowed_functions" else os.pathsep)
    return Settings(**found)


def _parsed(variable: str, text: str, like: Any, separator: str) -> Any:
    if isinstance(like, tuple):
        return tuple(part for part in text.split(separator) if part)
    if isinstance(like, bool):
        if text not in _BOOLEANS:
            raise InputError(f"{variable}={text!r} is neither {' nor '.join(_BOOLEANS)}; correct or unset it")
        return _BOOLEANS[text]
    try:
        return type(like)(text)
    except ValueError:
        raise InputError(f"{variable}={text!r} is not {_A[type(like)]}; correct or unset it") from None


_BOOLEANS = {"0": False, "1": True}
_A = {int: "a whole number", float: "a number", str: "text"}


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of the module that `LEPTON_SETTINGS` names under `settings/`, or the defaults, and the environment.

    Raises:
        InputError: there is no such module, or it or the environment has a wrong value.
    """
    environ = os.environ if environ is None else environ
    name = environ.get("LEPTON_SETTINGS", "")
    if not name:
        return settings_from({}, environ)
    if not name.isidentifier():
        raise InputError(f"LEPTON_SETTINGS={name!r} is not the name of a module in settings/; try local or production")
    try:
        module = import_module(f"settings.{name}")
    except ModuleNotFoundError as error:
        raise InputError(
            f"LEPTON_SETTINGS={name!r}: {error}; run in the project's folder, or unset it to use the environment alone"
        ) from None
    return settings_from(module.VALUES, environ)
