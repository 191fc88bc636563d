"""The project's Celery application, prepared for jobs, and the site that its users work with."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import Any

from celery import Celery, signals
from celery.app import app_or_default
from celery.app.utils import find_app
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import request_started, setting_changed

from lepton_celery.contrib.django.conf import Conf, read_conf
from lepton_celery.engines.celery.app import WORKER, configure
from lepton_celery.errors import InputError
from lepton_celery.text import logger
from lepton_celery.web.live import Live
from lepton_celery.web.preload import preload
from lepton_celery.web.site import Site

log = logger(__name__)

NO_APP = (
    "the project has no Celery application that Django knows; write celery.py as in Celery's guide for Django, and import "
    "its app in the __init__.py of the project, or name it in LEPTON['APP'], such as 'mysite.celery'"
)

_DEFAULT = "default"
"""The name of the application that Celery makes itself where a project has none."""


def connect() -> None:
    """Prepare the project's Celery application, unless its celery.py did; what is wrong is logged, and told by the checks.

    In a worker Django is set up while Celery imports modules of tasks, and a module that is to be imported from then on
    would be missed; so those of the lanes are imported when the worker has its name.
    """
    signals.celeryd_init.connect(_import_tasks, weak=False, dispatch_uid="lepton_celery.contrib.django")
    setting_changed.connect(_forget, dispatch_uid="lepton_celery.contrib.django")
    request_started.connect(_preload, dispatch_uid="lepton_celery.contrib.django")
    import_module("lepton_celery.contrib.django.tasks")
    try:
        conf = read_conf()
        app = application(conf)
        if conf.has_settings or app.conf.get("lepton") is None:
            configure(app, conf.settings)
    except InputError as error:
        log.error("image jobs are not available: %s", error)


def _import_tasks(**_: Any) -> None:
    import_module(f"{WORKER}.tasks")


def _preload(**_: Any) -> None:
    request_started.disconnect(dispatch_uid="lepton_celery.contrib.django")
    with suppress(ImproperlyConfigured):  # the views tell
        preload(site().options.pipelines.values())


def application(conf: Conf) -> Celery[Any]:
    """The project's Celery application.

    Raises:
        InputError: there is none.
    """
    name = conf.app.app
    if not name:
        app: Any = app_or_default()
        if app.main in (None, _DEFAULT):
            raise InputError(NO_APP)
        return app  # type: ignore[no-any-return]
    try:
        found = find_app(name)
    except (ImportError, AttributeError) as error:
        raise InputError(f"LEPTON['APP'] is {name!r}, which names no Celery application ({error})") from error
    if not isinstance(found, Celery):
        raise InputError(f"LEPTON['APP'] is {name!r}, which is a {type(found).__name__}; name a Celery application")
    return found


@cache
def conf() -> Conf:
    """What LEPTON says, read once.

    Raises:
        ImproperlyConfigured: something is wrong in it.
    """
    try:
        return read_conf()
    except InputError as error:
        raise ImproperlyConfigured(str(error)) from error


@cache
def site() -> Site:
    """What this project offers to its users.

    Raises:
        ImproperlyConfigured: LEPTON is wrong, or there is no Celery application that jobs can run in.
    """
    try:
        app = application(conf())
        if app.conf.get("lepton") is None:
            configure(app, conf().settings)
    except InputError as error:
        raise ImproperlyConfigured(str(error)) from error
    return Site(app, conf().site)


@cache
def live() -> Live:
    """Answers and events for those who watch, found once for all of them."""
    return Live(site())


def _forget(*, setting: str, **_: Any) -> None:
    """Read LEPTON again when a test has overridden it."""
    if setting == "LEPTON":
        for one in (conf, site, live):
            one.cache_clear()
