"""A site with the app for Django, in a project whose celery.py knows nothing of jobs, and a real worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import _state

from lepton_celery.config import set_configured
from lepton_celery.local.server import RedisServer
from lepton_celery.local.stack import LocalStack, Project
from tests.stacks import short_lived

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the site, whose Django is set up in this process, and whose worker runs."""
    folder = tmp_path_factory.mktemp("site")
    state: Any = _state
    before, current = state.default_app, getattr(state._tls, "current_app", None)
    with RedisServer(tmp_path_factory.mktemp("server")) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEPTON_BROKER_URL", server.url)
        patch.setenv("TEST_SITE", str(folder))
        patch.setenv("DJANGO_SETTINGS_MODULE", "tests.django_site.settings")
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        queues = ("lepton.interactive", "lepton.default", "lepton.batch", "celery")
        project = Project(app="tests.django_site", settings="", cwd=ROOT, queues=queues)
        stack = LocalStack(
            tmp_path_factory.mktemp("stack"), workers=1, flower=False, broker_url=server.url, project=project
        )
        with short_lived(stack):
            yield folder
        from django.db import connections

        connections.close_all()
    set_configured(None)
    state.default_app = before
    state._tls.current_app = current


@pytest.fixture(scope="package")
def users(folder: Path) -> Any:
    """Makes users, each once, and gives clients that are logged in as they are."""
    from django.contrib.auth import get_user_model

    made: dict[str, Any] = {}

    def user(name: str, **more: Any) -> Any:
        if name not in made:
            model: Any = get_user_model()
            made[name] = model.objects.create_user(name, f"{name}@example.org", "secret", **more)
        return made[name]

    return user


@pytest.fixture(scope="package")
def client_of(users: Any) -> Callable[..., Any]:
    from django.test import Client

    def client(name: str, **options: Any) -> Any:
        made = Client(**options)
        made.force_login(users(name))
        return made

    return client


@pytest.fixture(scope="package")
def jobs(folder: Path) -> Any:
    from lepton_celery.contrib.django.models import Job

    return Job.objects


@pytest.fixture(scope="package")
def settings_with(folder: Path) -> Any:
    """Overrides options of LEPTON within a `with` block."""
    from django.conf import settings
    from django.test.utils import override_settings

    return lambda **options: override_settings(LEPTON={**settings.LEPTON, **options})
