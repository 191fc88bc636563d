"""System checks: settings with which jobs would not run, would be lost, or would be seen by others."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from celery import Celery
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Warning

from lepton_celery.contrib.django.conf import Conf, read_conf
from lepton_celery.contrib.django.connecting import application
from lepton_celery.engines.celery.app import configure
from lepton_celery.errors import BrokerUnreachable, InputError
from lepton_celery.ledger import open_ledger
from lepton_celery.text import masked
from lepton_celery.web.pipelines import check_pipeline


def check_settings(app_configs: Sequence[Any] | None = None, **_: Any) -> list[CheckMessage]:
    """What is wrong in LEPTON, in the Celery application and in the folder of uploads."""
    try:
        conf = read_conf()
    except InputError as error:
        return [Error(str(error), hint="docs/django.md lists the options.", id="lepton.E001")]
    return [*_celery(conf), *_folder(conf), *_pipelines(conf)]


def _celery(conf: Conf) -> Iterator[CheckMessage]:
    try:
        app = application(conf)
    except InputError as error:
        yield Error(str(error), id="lepton.E002")
        return
    try:
        if app.conf.get("lepton") is None:
            configure(app, conf.settings)
    except InputError as error:
        yield Error(str(error), hint="Jobs are recorded on a Redis server.", id="lepton.E003")
        return
    broker = str(app.conf.broker_write_url or app.conf.broker_url or "")
    if broker.startswith(("memory:", "filesystem:")) and not app.conf.task_always_eager:
        hint = "Set CELERY_BROKER_URL to a Redis server or to RabbitMQ."
        yield Error(
            f"the broker is {masked(broker)}, which workers in other processes cannot reach",
            hint=hint,
            id="lepton.E004",
        )


def _folder(conf: Conf) -> Iterator[CheckMessage]:
    folder, roots = conf.site.folder, conf.settings.roots
    first = next(one for one in (folder, *folder.parents) if one.exists())
    if not first.is_dir() or not os.access(first, os.W_OK | os.X_OK):
        hint = "Give this user the right to write there, or name another folder in LEPTON['FOLDER']."
        yield Error(f"the folder of uploads and results, {folder}, cannot be written", hint=hint, id="lepton.E005")
    for name in ("MEDIA_ROOT", "STATIC_ROOT"):
        public = getattr(django_settings, name, None)
        if public and _lies_in(folder, Path(public)):
            hint = "Name a folder outside in LEPTON['FOLDER']; results are served by the views, to their owners only."
            yield Error(f"{folder} lies in {name}, whose files everybody can fetch", hint=hint, id="lepton.E006")
    if roots and not any(_lies_in(folder, Path(root)) for root in roots):
        hint = "Add it to LEPTON['ALLOWED_ROOTS'], for the workers too."
        yield Error(
            f"{folder} lies outside the allowed roots {', '.join(map(str, roots))}", hint=hint, id="lepton.E007"
        )


def _lies_in(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(Path(folder).resolve())


def _pipelines(conf: Conf) -> Iterator[CheckMessage]:
    for name, pipeline in conf.site.pipelines.items():
        try:
            check_pipeline(pipeline.document)
        except InputError as error:
            yield Error(f"LEPTON['PIPELINES'][{name!r}]: {error}", id="lepton.E008")


def check_deployment(app_configs: Sequence[Any] | None = None, **_: Any) -> list[CheckMessage]:
    """What is wrong for a site that others use; run by `manage.py check --deploy`."""
    try:
        conf = read_conf()
        app = application(conf)
    except InputError:
        return []  # told by the other check
    return [*_deployed(conf, app)]


def _deployed(conf: Conf, app: Celery[Any]) -> Iterator[CheckMessage]:
    if app.conf.task_always_eager:
        yield Warning("CELERY_TASK_ALWAYS_EAGER is set: each request would run its job itself", id="lepton.W001")
        return
    if not conf.settings.allowed_roots:
        hint = f"Set LEPTON['ALLOWED_ROOTS'] to [{str(conf.site.folder)!r}], and LEPTON_ALLOWED_ROOTS for the workers."
        yield Warning("jobs may read and write every file that the workers can", hint=hint, id="lepton.W002")
    if not conf.settings.max_open_jobs_of_owner:
        hint = "Set LEPTON['MAX_OPEN_JOBS_OF_OWNER'], such as 100."
        yield Warning("a user may have any number of jobs at a time", hint=hint, id="lepton.W003")
    if not conf.settings.secret_key:
        hint = "Set LEPTON_SECRET_KEY for the site and the workers; see docs/security.md."
        yield Warning(
            "workers take jobs from anybody who reaches the broker: they are not signed", hint=hint, id="lepton.W004"
        )
    found = app.conf.get("lepton")
    if found is not None:
        try:
            open_ledger(found.ledger).newest(1)
        except BrokerUnreachable as error:
            yield Error(
                f"the ledger does not answer: {error}", hint="Start it, or correct LEPTON_LEDGER_URL.", id="lepton.E009"
            )
