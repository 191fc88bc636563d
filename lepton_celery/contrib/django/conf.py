"""What settings.py says in LEPTON: settings of jobs, options of the site, and those of this app."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from django.conf import settings as django_settings

from lepton_celery.config import Settings
from lepton_celery.errors import InputError
from lepton_celery.text import quoted
from lepton_celery.web.configuration import OPTIONS, configuration_from
from lepton_celery.web.site import SiteOptions


@dataclass(frozen=True, slots=True)
class AppOptions:
    """Options of this app."""

    app: str = ""
    """The Celery application, as for `celery -A`; empty for the project's current one."""
    staff_sees_all: bool = False
    """Whether members of the staff may see, cancel and retry the jobs of all users in the views, and fetch their results."""
    link_s: float = 24 * 3600.0
    """Seconds for which the address of a download is valid that needs no login."""


_APP_OPTIONS: Mapping[str, tuple[Any, str]] = {
    "app": (str, "a text"),
    "staff_sees_all": (bool, "True or False"),
    "link_s": ((int, float), "a number"),
}


@dataclass(frozen=True, slots=True)
class Conf:
    """All that LEPTON says."""

    settings: Settings
    site: SiteOptions
    app: AppOptions
    has_settings: bool
    """Whether it has settings of jobs, rather than only options of the site and of this app."""


def read_conf(given: Any = None, environ: Mapping[str, str] | None = None) -> Conf:
    """What LEPTON says. The environment (`LEPTON_…`) takes precedence.

    Raises:
        InputError: a name is unknown, or a value is wrong; the message says which, and what would be right.
    """
    given = getattr(django_settings, "LEPTON", {}) if given is None else given
    if not isinstance(given, Mapping):
        raise InputError(f'LEPTON is {quoted(given)}; give a dict, such as {{"FOLDER": BASE_DIR / "lepton_files"}}')
    app, rest = {}, {}
    for written, value in given.items():
        name = str(written).lower()
        if name not in _APP_OPTIONS:
            if (
                name not in OPTIONS
                and not hasattr(Settings, name)
                and (near := get_close_matches(name, _APP_OPTIONS, 1))
            ):
                raise InputError(f"LEPTON has {quoted(written)}, which is no option; did you mean {near[0].upper()}?")
            rest[written] = value
            continue
        kind, wanted = _APP_OPTIONS[name]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise InputError(f"LEPTON[{quoted(written)}] is {quoted(value)}; give {wanted}")
        app[name] = value
    found = configuration_from(rest, os.environ if environ is None else environ, folder=_folder())
    has_settings = any(str(name).lower() not in OPTIONS for name in rest)
    return Conf(found.settings, found.options, AppOptions(**app), has_settings)


def _folder() -> Path:
    """The default folder of uploads and results: beside the project, and not in MEDIA_ROOT, which is served to everybody."""
    return Path(getattr(django_settings, "BASE_DIR", Path.cwd())) / "lepton_files"
