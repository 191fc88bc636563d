"""Every setting of this package, with its unit and default.

A setting is given by its name in a `settings/` module, or by an environment variable, `LEPTON_` and the name in capitals,
which takes precedence unless it is empty. Unknown names are refused. `lepton_celery.engines.celery.settings` has Celery's
own settings.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from importlib import import_module
from pathlib import Path
from typing import Any

from lepton_celery.errors import InputError
from lepton_celery.limits import MAX_NODES
from lepton_celery.signing import check_keys
from lepton_celery.tenants import terms_of
from lepton_celery.text import password_of

PLACEHOLDERS = frozenset({"change-me", "changeme", "replace-me", "your-password", "example", "todo", "xxx"})
"""Passwords of example files, which are refused."""

LOG_FORMATS = ("text", "json")

RENAMED = {"most_holes": "max_filled_blocks", "straggler": "duplicate_after"}
"""Old names of settings and their new ones. The old names are accepted until release 0.2."""

REMOVED = frozenset({"wave_batches", "window_batches"})
"""Old settings without an effect, which are accepted until release 0.2: the slots of a lane give the size of its waves."""

SITE_PREFIX = "LEPTON_SITE_"
"""What variables of a web site's options begin with; see `lepton_celery.web.configuration`. They are no settings."""

_RESERVED = frozenset({"LEPTON_SETTINGS", "LEPTON_STATE", "LEPTON_MAX", "LEPTON_MIN"})
"""Environment variables that begin with `LEPTON_` and are not settings."""

_TYPE_NAMES = {int: "a whole number", float: "a number"}
"""Names of the types of settings in error messages."""


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
    """Directories that clients and workers may read from and write to. `{tenant}` in one, as in `/data/{tenant}`, stands for
    the tenant of a job, which may use the directories of no other. Empty: all. The environment separates them by `:`."""
    allowed_functions: tuple[str, ...] = ()
    """Functions of your own that workers may call: `package.module:function`, or a pattern such as `package.module:*`.
    Empty: none. The environment separates them by commas."""
    tenants: tuple[str, ...] = ()
    """What tenants are entitled to: `name:weight` or `name:weight:slots` of each. Tenants share a lane by weight (1 unless
    given), and their jobs occupy up to `slots` slots of a lane at a time (any number if 0 or not given). The name `*` stands
    for all others. The environment separates them by commas."""
    max_open_jobs: int = 10_000
    """Largest number of jobs of a tenant in a lane that have not ended; a submission beyond it is refused. 0: no limit."""
    max_open_jobs_of_owner: int = 0
    """Largest number of jobs of an owner (`submit(owner=…)`) that have not ended, in all lanes together; a submission beyond
    it is refused. 0: no limit."""
    target_wait: tuple[str, ...] = ()
    """For autoscaling: `lane=time` of each lane whose work shall wait for less time than that, such as `interactive=2s`.
    Lanes that are not named have 2 s, 1 min and 15 min, from `interactive` to `batch`, and 2 s in the pool of one worker.
    The environment separates them by commas."""
    secret_key: tuple[str, ...] = field(default=(), repr=False)
    """Secret keys with which submitters sign jobs and messages. Workers that have a key refuse everything that none of their
    keys has signed. The first one signs; more of them let you replace a key while jobs run. Empty: nothing is signed. The
    environment separates them by commas."""
    scratch: str = ""
    """Directory for the images that pass between the stages of a job, such as one in /dev/shm on a single machine. All
    workers must see it, and it must lie within `allowed_roots`. Empty: beside the job's first output."""
    alive_file: str = ""
    """File that a worker touches with each sweep, for probes of an orchestrator, such as /tmp/alive. Empty: none."""
    lease_s: float = 7.5
    """Seconds without a sign of life after which other workers take over a worker's blocks."""
    sweep_s: float = 2.0
    """Seconds between two sweeps of a worker, in which it looks for lost work."""
    max_attempts: int = 4
    """Number of times that a block may fail or end its worker process before it is given up."""
    max_filled_blocks: int = 16
    """The job fails when this many blocks of a stage are filled and they are more than half of its finished blocks."""
    duplicate_after: float = 3.0
    """Once all blocks of a stage are sent, a batch that has run longer than this many times the stage's average is sent to a
    second worker too. The first receipt of each block counts. 0: never."""
    block_limit_s: float = 3600.0
    """Seconds after which a running block counts as lost and its worker process is ended. 0: no limit."""
    store_timeout_s: float = 60.0
    """Seconds after which a file system counts as dead that does not answer: reading, opening or writing a file made no
    progress for so long. Clients raise `StoreTimeout`. On workers a block counts as lost and its worker process is ended,
    on Linux only. 0: no limit."""
    retention_s: float = 7 * 24 * 3600.0
    """Seconds for which an ended job stays in the ledger. A failed job keeps its files and can be resumed until then."""
    max_retries: int = 5
    """Number of times that a batch is retried after a temporary error of a store or of the ledger."""
    visibility_timeout_s: int = 3600
    """Seconds after which Redis gives an unacknowledged message to another worker. This is a backstop: leases act first."""
    flower_auth: str = field(default="", repr=False)
    """`user:password` for Flower. Empty: no password, and Flower listens on this machine only; with an `--address` that
    others reach, it generates a password when it starts."""
    task_events: bool = False
    """Whether Celery's events tell of each batch of blocks, so that Flower's page Tasks lists them. A large job has many
    thousands, which push your own tasks out of that page; the ledger tells of all blocks without them. In the environment:
    `1` or `0`."""
    worker_memory_bytes: int = 1 << 30
    """Bytes of arrays that one worker process may hold. A plan that needs more is refused."""
    max_pixels: int = 1 << 42
    """Largest number of pixels of an image of a job that is submitted without `limits`, and so for the next ones. What comes
    from users of a site needs lower ones."""
    max_blocks: int = 10_000_000
    """Largest number of blocks of a stage."""
    max_output_bytes: int = 1 << 50
    """Largest number of bytes of all output images of a job together, uncompressed."""
    max_workspace_bytes: int = 1 << 50
    """Largest number of bytes of a job's intermediate images and copies of arrays together."""
    max_nodes: int = MAX_NODES
    """Largest number of nodes of a graph; a function may be made of several."""
    max_depth: int = 10_000
    """Largest number of nodes of a graph that are computed one from the other."""
    memory_limit_bytes: int = 3 << 30
    """Bytes of memory that a worker process may use for a batch, in addition to its memory when idle. A block that needs
    more is computed in smaller pieces. 0: no limit. Linux only."""
    cost_profile: str = "default"
    """Name under which the ledger keeps the cost model of these workers. Give each kind of machine its own."""
    log_format: str = "text"
    """How workers, Flower and commands write their logs: `text`, or `json` for one JSON object a line."""
    tracing: bool = True
    """Whether jobs are traced with OpenTelemetry where the program has configured it (the extra `otel`). In the environment:
    `1` or `0`."""
    kernels: bool = True
    """Whether compiled kernels replace the functions they exist for, where Numba is installed (the extra `fast`). The
    pixels are the same. In the environment: `1` or `0`."""

    @property
    def roots(self) -> tuple[Path, ...]:
        """`allowed_roots` as paths."""
        return tuple(map(Path, self.allowed_roots))

    @property
    def max_killers(self) -> int:
        """The job fails when this many blocks of a stage have ended worker processes and they are more than half of its
        finished blocks."""
        return 4 * self.max_attempts

    @property
    def backend(self) -> str:
        """URL of the result backend."""
        return self.result_backend or self.broker_url

    @property
    def ledger(self) -> str:
        """URL of the ledger."""
        return self.ledger_url or self.backend


def state_directory() -> Path:
    """The directory of the local stack and the cost model: `LEPTON_STATE`, or `.lepton` in the current directory."""
    return Path(os.environ.get("LEPTON_STATE", ".lepton")).absolute()


def settings_from(values: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
    """Settings from the values of a `settings/` module and from the environment, which takes precedence.

    Warns:
        DeprecationWarning: a setting is given by its old name.

    Raises:
        InputError: a name is not a setting, or a value has the wrong type.
    """
    given: dict[str, Any] = {}
    for name, value in values.items():
        if name in REMOVED:
            _warn_of_removed(name)
        else:
            given[_current_name(name, str)] = value
    for variable, text in environ.items():
        if (
            variable.startswith("LEPTON_")
            and not variable.startswith(SITE_PREFIX)
            and variable not in _RESERVED
            and text
        ):
            if variable.removeprefix("LEPTON_").lower() in REMOVED:
                _warn_of_removed(variable)
                continue
            name = _current_name(variable.removeprefix("LEPTON_").lower(), lambda name: f"LEPTON_{name.upper()}")
            separator = "," if name in ("allowed_functions", "secret_key", "target_wait", "tenants") else os.pathsep
            given[name] = _parsed(variable, text, getattr(Settings, name), separator)
    check_keys(given.get("secret_key", ()), "LEPTON_SECRET_KEY")
    terms_of(given.get("tenants", ()))
    if given.get("log_format", "text") not in LOG_FORMATS:
        raise InputError(f"LEPTON_LOG_FORMAT is {given['log_format']!r}; give {' or '.join(LOG_FORMATS)}")
    settings = Settings(**given)
    check_passwords(settings)
    return settings


def check_passwords(settings: Settings) -> None:
    """Refuse the passwords of examples, which everybody knows.

    Raises:
        InputError: a URL, or the password of Flower, has one; the message says which and how to make another.
    """
    urls = {name: getattr(settings, name) for name in ("broker_url", "result_backend", "ledger_url")}
    passwords = {name: password_of(url) for name, url in urls.items()}
    passwords["flower_auth"] = settings.flower_auth.partition(":")[2]
    for name, password in passwords.items():
        if password.lower().replace("_", "-") in PLACEHOLDERS:
            raise InputError(
                f"LEPTON_{name.upper()} has the password {password!r} of an example, which everybody knows; choose another, "
                "such as that of `openssl rand -hex 16`, for the server too"
            )


def _warn_of_removed(written: str) -> None:
    warnings.warn(f"{written} has no effect since 0.1; remove it", DeprecationWarning, stacklevel=3)


def _current_name(name: str, written: Callable[[str], str]) -> str:
    """The current name of a setting; `written` converts a name to the form in which the user gave it, for messages."""
    if name in RENAMED:
        change = f"{written(name)} is called {written(RENAMED[name])} since 0.1; release 0.2 removes the old name"
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
    if isinstance(default, str):
        return text
    try:
        number = type(default)(text)
    except ValueError:
        raise InputError(f"{variable}={text!r} is not {_TYPE_NAMES[type(default)]}; correct or unset it") from None
    if not 0 <= number < math.inf:
        raise InputError(f"{variable}={text!r} is not possible; give a number from 0, or unset it")
    return number


_configured: Settings | None = None


def configured() -> Settings:
    """The settings of this process: those that `lepton_celery.configure` was given last, else those of the environment."""
    return _configured or load_settings()


def set_configured(settings: Settings | None) -> None:
    """Make these the settings of this process; None for those of the environment, as it is whenever they are asked for."""
    global _configured
    _configured = settings


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings from the environment and, if `LEPTON_SETTINGS` names one, from a module of `settings/`.

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
