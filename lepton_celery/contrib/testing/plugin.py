"""The plugin of pytest: `lepton_stack`, a real broker and workers for a project's tests, and `lepton_eager`, jobs inline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:  # every test session of every project imports this module
    from celery import Celery

    from lepton_celery.local.stack import LocalStack

_STACK = pytest.StashKey["LocalStack"]()
"""Where the configuration of a session keeps its stack."""

_LOG_LINES = 30
"""Number of lines of each log that the report of a failed test shows."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of `pytest.ini` and `pyproject.toml` that names the project's application."""
    parser.addini(
        "lepton_app",
        "the Celery application of lepton_stack and lepton_eager, as for `celery -A`, such as shop.celery",
        default="lepton_celery.app",
    )


@pytest.fixture(scope="session")
def lepton_app(request: pytest.FixtureRequest) -> str | Celery[Any]:
    """The project's Celery application: what `celery -A` takes, or the application itself.

    By default it is the option `lepton_app`, else the application of lepton_celery. Override this fixture to change it.
    """
    return str(request.config.getini("lepton_app"))


@pytest.fixture(scope="session")
def lepton_stack_options() -> Mapping[str, Any]:
    """The options of `lepton_stack`. Override this fixture to change them.

    workers: number of worker processes; 1 by default.
    concurrency: number of pool processes of each worker; 1 by default.
    env: environment variables of the workers, such as {"LEPTON_ALLOWED_FUNCTIONS": "shop.images:*"}.
    queues: names of queues of the project that they serve too; without them the lanes, `task_queues` and the default queue.
    app: the application of the workers, as for `celery -A`; by default `lepton_app`.
    """
    return {}


@pytest.fixture(scope="session")
def lepton_stack(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    lepton_app: str | Celery[Any],
    lepton_stack_options: Mapping[str, Any],
) -> Iterator[LocalStack]:
    """A broker and workers for the project's application, from the first test that uses this until the end of the session.

    In this process the application uses the same broker from now on, so `lepton.submit` sends jobs to these workers, and
    tasks of the project run there too. Each process of pytest-xdist has a stack of its own.
    """
    from lepton_celery.contrib.testing.stack import options_from, running_stack
    from lepton_celery.errors import LeptonError

    folder = tmp_path_factory.mktemp("lepton")
    with ExitStack() as until_the_end:
        try:
            options = options_from(lepton_stack_options)
            stack = until_the_end.enter_context(running_stack(folder, lepton_app, options, request.config.rootpath))
        except (
            LeptonError
        ) as error:  # its message has the end of the log; a traceback through this package says no more
            pytest.fail(f"lepton_stack did not start: {error}", pytrace=False)
        request.config.stash[_STACK] = stack
        yield stack


@pytest.fixture
def lepton_eager(lepton_app: str | Celery[Any]) -> Iterator[Celery[Any]]:
    """The project's application, which runs jobs and tasks inline during a test: without a broker, and errors are raised.

    It is the current application meanwhile.
    """
    from celery.app import app_or_default

    from lepton_celery.contrib.testing.app import application

    app = application(lepton_app)
    current = app_or_default()
    before = {name: app.conf[name] for name in ("task_always_eager", "task_eager_propagates")}
    app.conf.update(dict.fromkeys(before, True))
    app.set_current()
    yield app
    current.set_current()
    app.conf.update(before)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Add the ends of the workers' logs to the report of a test with `lepton_stack` that failed."""
    outcome: Any = yield
    report = outcome.get_result()
    stack = item.config.stash.get(_STACK, None)
    if stack is not None and report.failed and "lepton_stack" in getattr(item, "fixturenames", ()):
        for process in stack.processes:
            report.sections.append((f"log of {process.name}", process.log_tail(_LOG_LINES)))
