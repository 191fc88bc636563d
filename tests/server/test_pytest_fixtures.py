"""The fixtures for the tests of other projects, as far as they need no server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.app import app_or_default
from skimage import data

import lepton_celery as lepton
from lepton_celery.config import set_configured
from lepton_celery.contrib.testing.app import application
from lepton_celery.contrib.testing.stack import StackOptions, options_from, running_stack
from lepton_celery.errors import InputError
from tests.unit.test_layers import run

UNPREPARED: Celery[Any] = Celery("unprepared", broker="redis://127.0.0.1:1/0", set_as_current=False)


@pytest.fixture(scope="module")
def lepton_app() -> Iterator[Celery[Any]]:
    """A project's application that nobody serves."""
    shop: Celery[Any] = Celery("shop", broker="redis://127.0.0.1:1/0", set_as_current=False)
    yield lepton.configure(shop, lepton.Settings())
    set_configured(None)


def test_a_job_runs_inline(lepton_eager: Celery[Any], lepton_app: Celery[Any], tmp_path: Path) -> None:
    assert lepton_eager is lepton_app is app_or_default()
    job = lepton.submit({str(tmp_path / "o.npy"): ~lepton.open(data.coins())})
    assert lepton.get_job(job.id).info().state == "done"


def test_afterwards_the_application_is_as_it_was(lepton_app: Celery[Any]) -> None:
    assert not lepton_app.conf.task_always_eager
    assert not lepton_app.conf.task_eager_propagates
    assert app_or_default() is not lepton_app


@pytest.mark.parametrize(
    ("app", "message"),
    [
        (
            "a_module_that_nobody_has",
            "lepton_app='a_module_that_nobody_has' names no Celery application .No module named",
        ),
        ("tests.server.test_pytest_fixtures:MISSING", "names no Celery application"),
        (
            "tests.server.test_pytest_fixtures:test_a_job_runs_inline",
            "is a function; give a Celery application or its name",
        ),
        ("tests.server.test_pytest_fixtures:UNPREPARED", "'unprepared' was not prepared; call lepton_celery.configure"),
    ],
)
def test_a_wrong_application_is_named(app: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        application(app)


def test_a_wrong_option_is_named(lepton_app: Celery[Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="lepton_stack_options has no option worker; it has workers, concurrency, env"):
        options_from({"worker": 2})
    with pytest.raises(InputError, match="'shop' itself, and workers are processes of their own"):
        running_stack(tmp_path, lepton_app, StackOptions(), tmp_path).__enter__()


def test_pytest_imports_nothing_but_pytest_for_a_project_without_these_fixtures() -> None:
    loaded = set(run("import sys, lepton_celery.contrib.testing.plugin; print(*sys.modules)").split())
    heavy = {"celery", "kombu", "redis", "numpy", "scipy", "skimage", "zarr", "msgspec", "rich"}
    assert not {name.partition(".")[0] for name in loaded} & heavy
    assert {name for name in loaded if name.startswith("lepton_celery")} == {
        "lepton_celery",
        "lepton_celery.contrib",
        "lepton_celery.contrib.testing",
        "lepton_celery.contrib.testing.plugin",
    }
