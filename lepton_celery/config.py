"""Every setting of this package, with its unit and default.

A setting is given by its name in a `settings/` module, or in the environment as `LEPTON_` and its name in capitals, which
wins. Unknown names are refused. Celery's own settings stay Celery's (`lepton_celery.engines.celery.settings`).
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from importlib import import_module
from pathlib import Path
from typing import Any

from lepton_celery.errors import InputError

LANES = ("interactive", "default", "batch")
"""The lanes of jobs, the most urgent first; each has a queue of its own."""

RENAMED = {"most_holes": "max_filled_blocks", "straggler": "duplicate_after"}
"""Old names of settings and their new ones. The old names are accepted until release 0.2."""

_RESERVED = frozenset({"LEPTON_SETTINGS", "LEPTON_STATE", "LEPTON_MAX", "LEPTON_MIN"})
"""Variables that are no settings. The launcher and the Procfile read them."""

_TYPE_NAMES = {int: "a whole number", float: "a number", str: "text"}
"""Types of settings as an error message calls them."""


@dataclass(frozen=True)
class Settings:
    """The settings of clients and workers."""

    broker_url: str = field(default="redis://127.0.0.1:6379/0", repr=False)
    """URL of Celery's broker."""
    result_backend: str = field(default="", repr=False)
    """Redis URL of Celery's result backend, which counts the tasks of a chord. Empty: the broker."""
    ledger_url: str = field(default="", repr=False)
    """Redis URL of the ledger, which records jobs. Empty: the result backend."""
    allowed_roots: tuple[str, ...] = ()
    """Directories that workers may read from and write to. Empty: all. The environment separates them by `:`."""
    allowed_functions: tuple[str, ...] = ()
    """Functions of your own that workers may call: `package.module:function`, or a pattern such as `package.module:*`.
    Empty: none. The environment separates them by commas."""
    scratch: str = ""
    """Directory for the images that pass between the stages of a job, such as one in /dev/shm on a single machine. All
    workers must see it, and it must lie within `allowed_roots`. Empty: beside the job's first output."""
    lease_s: float = 7.5
    """Seconds without a sign of life after which other workers take over a worker's blocks."""
    sweep_s: float = 2.0
    """Seconds between two sweeps of a worker, in which it looks for lost work."""
    max_attempts: int = 4
    """Number of times that a block may fail or take its worker down before it is given up."""
    max_filled_blocks: int = 16
    """Number of blocks of a stage that may be given up and filled while they are more than half of the finished blocks.
    After that the job fails."""
    duplicate_after: float = 3.0
    """When a stage has no work left to send, a second worker takes the blocks of a batch that has run for this many times
    the average of its stage. The receipt that comes first counts. 0: never."""
    block_limit_s: float = 3600.0
    """Seconds after which a block that still runs counts as lost and its worker process is ended. 0: no limit."""
    retention_s: float = 7 * 24 * 3600.0
    """Seconds for which an ended job stays in the ledger. A failed job keeps its files and can be resumed until then."""
    max_retries: int = 5
    """Number of times that a batch is tried again after a temporary error of a store or of the ledger."""
    wave_batches: int = 16
    """Smallest number of batches that are sent as one chord. A job that is planned for many workers sends a third of its
    window at a time if that is more."""
    window_batches: int = 48
    """Smallest number of batches of a job that the broker may hold; four per worker if that is more. With less than two
    waves, workers idle between waves."""
    visibility_timeout_s: int = 3600
    """Seconds after which Redis gives an unacknowledged message to another worker. This is a backstop: leases act first."""
    flower_auth: str = field(default="", repr=False)
    """`user:password` for Flower. Empty: no password on this machine; elsewhere Flower makes one up when it starts."""
    worker_memory_bytes: int = 1 << 30
    """Bytes of arrays that one worker process may hold. A plan that needs more is refused."""
    memory_limit_bytes: int = 3 << 30
    """Bytes that a worker process may take while it works on a batch, beyond what it takes when it is idle. A block that
    needs more is computed in smaller pieces. 0: no limit. Linux only."""
    cost_profile: str = "default"
    """Name under which the ledger keeps the cost model of these workers. Give machines of another kind another name."""
    kernels: bool = True
    """Whether compiled kernels replace the functions they exist for, where Numba is installed (the extra `fast`). The
    pixels are the same. The environment says `1` or `0`."""

    @property
    def backend(self) -> str:
        """URL of the result backend."""
        return self.result_backend or self.broker_url

    @property
    def ledger(self) -> str:
        """URL of the ledger."""
        return self.ledger_url or self.backend


def state_directory() -> Path:
    """The directory of this folder's local stack and cost model: `LEPTON_STATE`, or `.lepton`."""
    return Path(os.environ.get("LEPTON_STATE", ".lepton")).absolute()


def settings_from(values: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
    """Settings from the values of a `settings/` module and the environment, which wins.

    Warns:
        DeprecationWarning: a setting has its old name.

    Raises:
        InputError: a name is no setting, or a value has another type.
    """
    given: dict[str, Any] = {}
    for name, value in values.items():
        given[_current_name(name, str)] = value
    for variable, text in environ.items():
        if variable.startswith("LEPTON_") and variable not in _RESERVED:
            name = _current_name(variable.removeprefix("LEPTON_").lower(), _variable)
            separator = "," if name == "allowed_functions" else os.pathsep
            given[name] = _parsed(variable, text, getattr(Settings, name), separator)
    return Settings(**given)


def _variable(name: str) -> str:
    return f"LEPTON_{name.upper()}"


def _current_name(name: str, written: Callable[[str], str]) -> str:
    """The name that a setting has now; `written` gives a name as the user writes it, for messages."""
    if name in RENAMED:
        change = f"{written(name)} is called {written(RENAMED[name])} since 0.1; the old name goes in 0.2"
        warnings.warn(change, DeprecationWarning, stacklevel=3)
        return RENAMED[name]
    names = [item.name for item in fields(Settings)]
    if name not in names:
        raise InputError(f"{written(name)} is not a setting; there are {', '.join(map(written, names))}")
    return name


def _parsed(variable: str, text: str, default: Any, separator: str) -> Any:
    """The value of a variable, in the type of the setting's default."""
    if isinstance(default, tuple):
        return tuple(item for item in text.split(separator) if item)
    if isinstance(default, bool):
        if text not in ("0", "1"):
            raise InputError(f"{variable}={text!r} is neither 0 nor 1; correct or unset it")
        return text == "1"
    try:
        return type(default)(text)
    except ValueError:
        raise InputError(f"{variable}={text!r} is not {_TYPE_NAMES[type(default)]}; correct or unset it") from None


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings from the environment and from the module of `settings/` that `LEPTON_SETTINGS` names, if it does.

    Raises:
        InputError: there is no such module, or a value is wrong.
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
