"""`configure` changes no setting of a project's Celery application, and refuses those with which jobs cannot run."""

from __future__ import annotations

from typing import Any, cast

import pytest
from celery import Celery
from celery.app.defaults import NAMESPACES, flatten
from hypothesis import given
from hypothesis import strategies as st
from kombu import Queue

import lepton_celery
from lepton_celery.config import Settings, load_settings
from lepton_celery.engines.celery.app import settings_of
from lepton_celery.engines.celery.sending.publisher import publisher_of
from lepton_celery.errors import InputError

REDIS = "redis://127.0.0.1:1/0"
CELERY: dict[str, Any] = dict(flatten(NAMESPACES))
"""Every setting of Celery, with its type and default."""

REFUSED = {"accept_content", "task_create_missing_queues", "task_default_rate_limit", "result_backend"}
"""Settings of which some values are refused."""


def project(**settings: Any) -> Celery[Any]:
    app: Celery[Any] = Celery("project", broker=REDIS, set_as_current=False)
    app.conf.update(settings)
    return app


def kind_of(name: str) -> Any:
    """The type of a setting's values."""
    default = CELERY[name].default
    return CELERY[name].type if default is None else type(default)


def other_values(name: str) -> st.SearchStrategy[Any]:
    """Values of a setting that are not its default."""
    default, kind = CELERY[name].default, kind_of(name)
    if kind is bool:
        return st.just(not default)
    if kind in (int, float):
        return st.integers(1, 99).map(kind).filter(lambda value: value != default)
    if kind is dict:
        return st.just({"of_the_project": 1})
    if kind in (list, tuple, set, frozenset):
        return st.just(kind(["of_the_project"]))
    return st.just("of_the_project")


PROJECTS = st.sets(st.sampled_from(sorted(CELERY.keys() - REFUSED - {"task_annotations"})), max_size=12).flatmap(
    lambda names: st.fixed_dictionaries({name: other_values(name) for name in sorted(names)})
)


def values(app: Celery[Any]) -> dict[str, Any]:
    return {name: app.conf[name] for name in CELERY}


@given(PROJECTS)
def test_no_setting_of_a_project_changes(own: dict[str, Any]) -> None:
    app = project(**own)
    before = values(app)
    lepton_celery.configure(app, Settings(ledger_url=REDIS))
    assert values(app) == before
    assert {name: app.conf[name] for name in own} == own


@pytest.mark.parametrize("name", sorted(CELERY.keys() - REFUSED - {"task_annotations"}))
def test_each_setting_alone_keeps_its_value(name: str) -> None:
    default = CELERY[name].default
    value = {bool: not default, int: 77, float: 77.5, dict: {"a": 1}, list: ["a"], tuple: ("a",)}.get(
        kind_of(name), "x"
    )
    app = project(**{name: value})
    before = values(app)
    lepton_celery.configure(app, Settings(ledger_url=REDIS))
    assert values(app) == before
    assert app.conf[name] == value


def test_tasks_of_jobs_have_their_own_options_and_tasks_of_the_project_keep_theirs() -> None:
    hostile = {
        "task_serializer": "yaml",
        "task_time_limit": 5,
        "task_soft_time_limit": 4,
        "task_acks_on_failure_or_timeout": False,
        "task_acks_on_timeout": False,
        "task_track_started": True,
        "task_retry_on_worker_lost": True,
        "task_store_errors_even_if_ignored": True,
        "task_annotations": {"*": {"acks_late": False, "max_retries": 0, "ignore_result": False, "time_limit": 3}},
        "result_backend_transport_options": {"global_keyprefix": "proj_"},
        "result_backend": REDIS,
    }
    app = lepton_celery.configure(project(**hostile), Settings())

    @app.task(name="project.own")
    def own() -> None: ...

    app.loader.import_default_modules()
    task, theirs = cast("Any", app.tasks["lepton.process"]), cast("Any", app.tasks["project.own"])
    assert (task.acks_late, task.ignore_result, task.reject_on_worker_lost, task.max_retries) == (
        True,
        True,
        True,
        None,
    )
    assert (task.serializer, task.track_started, task.acks_on_failure, task.acks_on_timeout) == (
        "json",
        False,
        True,
        True,
    )
    assert task.time_limit > 1e6
    assert task.soft_time_limit > 1e6
    assert task.backend is publisher_of(app).backend
    backend, their_backend = cast("Any", task.backend), cast("Any", app.backend)
    assert backend.get_key_for_group("g") == b"celery-taskset-meta-g"
    assert (theirs.acks_late, theirs.ignore_result, theirs.max_retries, theirs.time_limit) == (False, False, 0, 3)
    assert theirs.backend is app.backend
    assert their_backend.get_key_for_group("g") == b"proj_celery-taskset-meta-g"


def test_configuring_twice_is_configuring_once() -> None:
    app = lepton_celery.configure(lepton_celery.configure(project(), Settings()), Settings())
    assert settings_of(app).ledger == REDIS


def test_messages_go_to_the_broker_that_was_configured_last() -> None:
    app = lepton_celery.configure(project(), Settings())
    assert publisher_of(app) is publisher_of(app)
    assert publisher_of(app).conf.broker_url == REDIS
    app.conf.update(broker_url="redis://later:1/5")
    lepton_celery.configure(app, Settings(ledger_url=REDIS))
    assert publisher_of(app).conf.broker_url == "redis://later:1/5"


# ------------------------------------------------------------------------------------------------ the ledger's server


def test_settings_that_the_project_loads_later_are_read_again() -> None:
    app = Celery("late", set_as_current=False)
    lepton_celery.configure(app, Settings(ledger_url=REDIS, retention_s=77))
    app.config_from_object({"broker_url": "redis://b:1/5", "result_backend": "rpc://"})
    settings = settings_of(app)
    assert (settings.broker_url, settings.ledger, settings.retention_s) == ("redis://b:1/5", REDIS, 77)


@pytest.mark.parametrize(
    "backend", ["db+sqlite:///x.db", "rpc://", "django-db", "cache+memory://", "cache", "file:///x"]
)
def test_a_backend_that_cannot_count_is_refused_without_a_ledger_and_served_with_one(backend: str) -> None:
    with pytest.raises(InputError, match="LEPTON_LEDGER_URL"):
        lepton_celery.configure(project(result_backend=backend), load_settings({}))
    app = lepton_celery.configure(project(result_backend=backend), load_settings({"LEPTON_LEDGER_URL": REDIS + "1"}))
    assert settings_of(app).ledger == settings_of(app).backend == REDIS + "1"
    assert app.conf.result_backend == backend
    assert publisher_of(app).backend.as_uri().endswith(":1/01")


@pytest.mark.parametrize("broker", ["amqp://127.0.0.1//", "sentinel://127.0.0.1:1", "sqs://", "memory://"])
def test_a_broker_that_is_not_redis_needs_a_ledger(broker: str) -> None:
    app: Celery[Any] = Celery("p", broker=broker, set_as_current=False)
    with pytest.raises(InputError, match="LEPTON_LEDGER_URL"):
        lepton_celery.configure(app, Settings())


def test_the_ledger_is_the_projects_result_backend_or_else_its_broker() -> None:
    assert settings_of(lepton_celery.configure(project(), Settings())).ledger == REDIS
    assert (
        settings_of(lepton_celery.configure(project(broker_url=f"{REDIS};redis://b:1/0"), Settings())).ledger == REDIS
    )
    with_backend = project(result_backend="redis://127.0.0.1:1/7")
    assert settings_of(lepton_celery.configure(with_backend, Settings())).ledger.endswith("/7")


def test_tls_options_of_the_project_hold_for_the_ledger() -> None:
    import ssl

    options = {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_ca_certs": "/etc/ssl/redis ca.pem"}
    for own in ({"broker_use_ssl": options}, {"redis_backend_use_ssl": options, "result_backend": REDIS}):
        ledger = settings_of(lepton_celery.configure(project(**own), Settings())).ledger
        assert ledger == "rediss://127.0.0.1:1/0?ssl_cert_reqs=CERT_REQUIRED&ssl_ca_certs=%2Fetc%2Fssl%2Fredis%20ca.pem"


@pytest.mark.parametrize("url", ["redis+socket:///run/redis.sock?virtual_host=3", "unix:///run/redis.sock?db=3"])
def test_chords_are_counted_through_a_socket(url: str) -> None:
    app = lepton_celery.configure(project(), Settings(ledger_url=url))
    found = cast("Any", publisher_of(app).backend).connparams
    assert (found["path"], found["db"]) == ("/run/redis.sock", 3)


# ------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("own", "remedy"),
    [
        ({"accept_content": ["pickle"]}, "accept_content is .*add 'json'"),
        ({"accept_content": ["auth"]}, "accept_content"),
        (
            {"task_create_missing_queues": False},
            "lepton.control, lepton.interactive, lepton.default, lepton.batch; declare",
        ),
        (
            {"task_create_missing_queues": False, "task_queues": [Queue("lepton.default")]},
            r"declare lepton.control, lepton.interactive, lepton.batch;",
        ),
        ({"task_default_rate_limit": "10/s"}, "task_default_rate_limit is '10/s'"),
        ({"task_annotations": {"*": {"rate_limit": "10/s"}}}, r"task_annotations limits .*\('\*'\)"),
        ({"task_annotations": [{"a.b": {"rate_limit": 1}}, {"*": {"rate_limit": "1/m"}}]}, "task_annotations"),
        ({"broker_url": "amqp://127.0.0.1//", "worker_detect_quorum_queues": False}, "worker_detect_quorum_queues"),
    ],
)
def test_settings_with_which_jobs_cannot_run_are_refused(own: dict[str, Any], remedy: str) -> None:
    app = project(**own)
    with pytest.raises(InputError, match=remedy):
        lepton_celery.configure(app, Settings(ledger_url=REDIS))
    assert "lepton" not in app.conf


@pytest.mark.parametrize(
    "own",
    [
        {"accept_content": ["application/json", "pickle"]},
        {
            "task_create_missing_queues": False,
            "task_queues": [Queue(f"lepton.{n}") for n in ("control", "interactive", "default", "batch")],
        },
        {"task_annotations": {"project.own": {"rate_limit": "10/s"}}},
    ],
)
def test_like_settings_with_which_jobs_run_are_accepted(own: dict[str, Any]) -> None:
    app = project(**own)
    lepton_celery.configure(app, Settings())
    assert {"lepton.process", "lepton.close"} <= set(app.tasks)
    assert {name: app.conf[name] for name in own} == own
