"""A site with the app for Django, in a project whose celery.py knows nothing of jobs, and a real worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from celery import _state

from lepton_celery import config
from lepton_celery.config import Settings, set_configured
from lepton_celery.local.server import RedisServer
from lepton_celery.local.stack import LocalStack, Project

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Site:
    """A site whose Django is set up in this process, once: Django cannot be set up for another one."""

    folder: Path
    environment: dict[str, str]
    app: Any
    """Its Celery application, which is the current one where its tests run."""
    settings: Settings | None
    """Of this process, as the site configured it."""

    @contextmanager
    def current(self) -> Iterator[None]:
        """Run what needs the site; tests of others may run in this process in between."""
        state: Any = _state
        before = state.default_app, getattr(state._tls, "current_app", None), config._configured
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            state.default_app = state._tls.current_app = self.app
            set_configured(self.settings)
            yield
        state.default_app, state._tls.current_app = before[:2]
        set_configured(before[2])


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The site, and its worker, for all tests of this process."""
    folder = tmp_path_factory.mktemp("site")
    with RedisServer(tmp_path_factory.mktemp("server")) as server:
        environment = {
            "LEPTON_BROKER_URL": server.url,
            "TEST_SITE": str(folder),
            "DJANGO_SETTINGS_MODULE": "tests.django_site.settings",
        }
        with Site(folder, environment, None, None).current():
            import django
            from django.core.management import call_command

            django.setup()
            call_command("migrate", verbosity=0)
            from tests.django_site.celery import app

            made = Site(folder, environment, app, config._configured)
            queues = ("lepton.interactive", "lepton.default", "lepton.batch", "celery")
            project = Project(app="tests.django_site", settings="", cwd=ROOT, queues=queues)
            stack = LocalStack(
                tmp_path_factory.mktemp("stack"), workers=1, flower=False, broker_url=server.url, project=project
            )
            stack.start()
        try:
            yield made
        finally:
            from django.db import connections

            connections.close_all()
            stack.kill()


@pytest.fixture(autouse=True)
def folder(site: Site) -> Iterator[Path]:
    """The folder of the site, which is the current one."""
    with site.current():
        yield site.folder


@pytest.fixture(scope="session")
def users(site: Site) -> Any:
    """Makes users, each once, and gives clients that are logged in as they are."""
    from django.contrib.auth import get_user_model

    made: dict[str, Any] = {}

    def user(name: str, **more: Any) -> Any:
        if name not in made:
            model: Any = get_user_model()
            made[name] = model.objects.create_user(name, f"{name}@example.org", "secret", **more)
        return made[name]

    return user


@pytest.fixture(scope="session")
def client_of(users: Any) -> Callable[..., Any]:
    from django.test import Client

    def client(name: str, **options: Any) -> Any:
        made = Client(**options)
        made.force_login(users(name))
        return made

    return client


@pytest.fixture(scope="session")
def jobs(site: Site) -> Any:
    from lepton_celery.contrib.django.models import Job

    return Job.objects


@pytest.fixture(scope="session")
def settings_with(site: Site) -> Any:
    """Overrides options of LEPTON within a `with` block."""
    from django.conf import settings
    from django.test.utils import override_settings

    return lambda **options: override_settings(LEPTON={**settings.LEPTON, **options})
