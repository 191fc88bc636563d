"""The verdicts of `lepton doctor` on given facts of settings, servers and workers."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from lepton_celery.config import Settings
from lepton_celery.doctor.about import About, Pool, about_this_process
from lepton_celery.doctor.finding import Finding, Verdict
from lepton_celery.doctor.server import ServerFacts, beyond, check_facts, check_server
from lepton_celery.doctor.signing import check_signing
from lepton_celery.doctor.timeouts import check_settings
from lepton_celery.doctor.workers import Answer, Fleet, check_workers
from lepton_celery.priority import CONTROL, LANES
from lepton_celery.stores.documents import from_document, to_document
from tests.unit.test_doctor import not_ok, verdicts

GIB = 1 << 30


# ---------------------------------------------------------------------------------------------------- settings


def test_the_defaults_agree_with_each_other() -> None:
    findings = list(check_settings(Settings()))
    assert not_ok(findings) == {}
    assert len(findings) == 5


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (Settings(lease_s=30, visibility_timeout_s=30), {"visibility timeout": Verdict.PROBLEM}),
        (Settings(visibility_timeout_s=299), {"visibility timeout": Verdict.WARNING}),
        (Settings(lease_s=120, visibility_timeout_s=600), {"visibility timeout": Verdict.WARNING}),
        (Settings(lease_s=1, sweep_s=0.5), {"lease": Verdict.WARNING}),
        (Settings(lease_s=0, sweep_s=0), {"lease": Verdict.PROBLEM, "sweep": Verdict.PROBLEM}),
        (Settings(lease_s=30, sweep_s=31), {"sweep": Verdict.WARNING}),
        (Settings(max_attempts=1), {"attempts": Verdict.WARNING}),
        (Settings(max_attempts=0), {"attempts": Verdict.PROBLEM}),
        (Settings(worker_memory_bytes=4 * GIB), {"limits": Verdict.PROBLEM}),
        (Settings(memory_limit_bytes=0), {"limits": Verdict.WARNING}),
        (Settings(block_limit_s=0), {"limits": Verdict.WARNING}),
        (Settings(broker_url="amqp://host", visibility_timeout_s=1), {}),
    ],
)
def test_settings_that_contradict_each_other_are_found(settings: Settings, expected: dict[str, Verdict]) -> None:
    assert not_ok(list(check_settings(settings))) == expected


# ------------------------------------------------------------------------------------------------------ server


def test_an_unreachable_server_is_a_problem_with_advice() -> None:
    answers, (finding,) = check_server("redis://:s3cret@127.0.0.1:1/0", "broker")
    assert not answers
    assert finding.verdict is Verdict.PROBLEM
    assert finding.advice.startswith("check that a Redis or Valkey server runs there")
    assert "s3cret" not in str(finding)


GOOD = {"redis_version": "7.2.4", "role": "master", "aof_enabled": 1, "maxmemory_policy": "noeviction"}


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (ServerFacts("redis://host", 0.001, 0, GOOD), {}),
        (ServerFacts("redis://host", 0.2, 0, GOOD), {"ledger": Verdict.WARNING}),
        (ServerFacts("redis://host", 0.001, 2.5, GOOD), {"clock": Verdict.WARNING}),
        (ServerFacts("redis://host", 0.001, -2.5, GOOD), {"clock": Verdict.WARNING}),
        (ServerFacts("redis://host", 0.001, 0, {**GOOD, "redis_version": "6.0.16"}), {"version": Verdict.PROBLEM}),
        (ServerFacts("redis://host", 0.001, 0, {**GOOD, "role": "slave"}), {"role": Verdict.PROBLEM}),
        (
            ServerFacts("redis://host", 0.001, 0, {**GOOD, "aof_last_write_status": "err"}),
            {"persistence": Verdict.PROBLEM},
        ),
    ],
)
def test_the_facts_of_a_server_are_judged(facts: ServerFacts, expected: dict[str, Verdict]) -> None:
    assert not_ok(list(check_facts(facts, "ledger"))) == expected


@pytest.mark.parametrize(("moment", "expected"), [(5.0, 0.0), (12.0, 2.0), (1.0, -3.0)])
def test_a_clock_offset_excludes_the_round_trip(moment: float, expected: float) -> None:
    assert beyond(moment, 4.0, 10.0) == expected


# ----------------------------------------------------------------------------------------------------- workers


def sent(about: About, **later: object) -> About:
    """An answer after it was sent as JSON, with fields of a later release."""
    return from_document(json.loads(json.dumps({**to_document(about), **later})), About, "the answer")


def worker(name: str = "one", **changes: object) -> Answer:
    """The answer of a worker like this process, except for `changes`."""
    here = about_this_process(Settings())
    good = replace(
        here,
        pool=Pool("prefork", 2, "fork", 1),
        queues=[f"lepton.{lane}" for lane in (CONTROL, *LANES)],
        soft_shutdown_s=5.0,
        memory_bytes=4 * GIB,
    )
    about = replace(good, **changes)  # type: ignore[arg-type]
    return Answer(name, sent(about), about.time - 0.1, about.time + 0.1)


def checked(*answers: Answer, expected: int | None = None) -> list[Finding]:
    here = about_this_process(Settings())
    return check_workers(Fleet(answers, here, lambda lane: f"lepton.{lane}", 1.0, expected or 0))


def with_version(package: str) -> dict[str, str]:
    return {**about_this_process(Settings()).versions, package: "0.0.1"}


def with_setting(name: str, value: object) -> dict[str, object]:
    return {**about_this_process(Settings()).settings, name: value}


def test_workers_like_each_other_and_like_this_process_are_ok() -> None:
    findings = checked(worker("one"), worker("two"))
    assert not_ok(findings) == {}
    assert set(verdicts(findings)) == {"answers", "lanes", "versions", "settings", "pool", "memory", "clocks"}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (worker(queues=["lepton.batch"]), {"lanes": Verdict.PROBLEM}),
        (worker(versions=with_version("numpy")), {"versions": Verdict.PROBLEM}),
        (worker(versions=with_version("scikit-image")), {"versions": Verdict.PROBLEM}),
        (worker(versions=with_version("lepton-celery")), {"versions": Verdict.PROBLEM}),
        (worker(versions=with_version("python")), {"versions": Verdict.WARNING}),
        (worker(versions={}), {"versions": Verdict.PROBLEM}),
        (worker(settings=with_setting("lease_s", 5.0)), {"settings": Verdict.WARNING}),
        (worker(settings=with_setting("allowed_roots", ["/data"])), {"settings": Verdict.WARNING}),
        (worker(settings=with_setting("ledger", "127.0.0.1:6379/3")), {"ledger": Verdict.PROBLEM}),
        (worker(settings=with_setting("ledger", "redis:6379/0")), {"ledger": Verdict.WARNING}),
        (worker(pool=Pool("threads", 2, "", 5)), {"pool": Verdict.WARNING}),
        (worker(pool=Pool("solo", 1, "", 1)), {"pool": Verdict.WARNING}),
        (worker(pool=Pool("prefork", 2, "fork", 9)), {"fork": Verdict.WARNING}),
        (worker(pool=Pool("prefork", 2, "spawn", 9)), {}),
        (worker(platform="darwin"), {"fork": Verdict.WARNING}),
        (worker(pool=Pool("prefork", 5, "fork", 1)), {"memory": Verdict.PROBLEM}),
        (worker(memory_bytes=0), {"memory": Verdict.WARNING}),
        (worker(soft_shutdown_s=0.0), {"shutdown": Verdict.WARNING}),
        (replace(worker(), asked_at=0.0, received_at=1.0), {"clocks": Verdict.WARNING}),
        (Answer("old", None, 0.0, 1.0), {"prepared": Verdict.PROBLEM}),
    ],
)
def test_problems_of_a_worker_are_found(answer: Answer, expected: dict[str, Verdict]) -> None:
    assert not_ok(checked(answer)) == expected


def test_workers_on_one_machine_share_its_memory() -> None:
    assert not_ok(checked(worker("one"), worker("two"), worker("three"))) == {"memory": Verdict.PROBLEM}
    assert not_ok(checked(worker("one"), worker("two", machine="elsewhere"), worker("three", machine="far"))) == {}


def test_two_workers_with_one_name_are_found() -> None:
    assert not_ok(checked(worker("one"), worker("one"))) == {"names": Verdict.WARNING}


def test_an_answer_of_a_later_release_can_be_read() -> None:
    about = worker().about
    assert about is not None
    assert sent(about, moons=2) == sent(about)


def test_no_worker_is_one_problem() -> None:
    assert not_ok(checked()) == {"answers": Verdict.PROBLEM}


def test_fewer_workers_than_there_should_be_are_a_problem() -> None:
    assert not_ok(checked(worker("one"), expected=2)) == {"answers": Verdict.PROBLEM}
    assert not_ok(checked(worker("one"), worker("two"), expected=2)) == {}


# ---------------------------------------------------------------------------------------------------- signatures

KEYS = ("the key of this year is long", "the key of last year is long")


def signing(
    *keys: tuple[str, ...], here: tuple[str, ...] = KEYS, broker: str = "redis://127.0.0.1:1/0"
) -> dict[str, Verdict]:
    """The verdicts if this process and workers have these keys."""
    settings = Settings(broker_url=broker, secret_key=here)
    answers = [
        worker(f"w{n}", settings=about_this_process(Settings(secret_key=k)).settings) for n, k in enumerate(keys)
    ]
    fleet = Fleet(answers, about_this_process(settings), lambda lane: f"lepton.{lane}", 1.0)
    return verdicts(list(check_signing(settings, fleet)))


def test_keys_of_workers_are_compared_without_being_told() -> None:
    assert signing(KEYS, KEYS[::-1], KEYS[:1]) == {"jobs": Verdict.OK, "workers": Verdict.OK}
    assert signing(KEYS, KEYS[1:]) == {"jobs": Verdict.OK, "workers": Verdict.PROBLEM}
    assert signing(KEYS, ()) == {"jobs": Verdict.OK, "workers": Verdict.WARNING}
    assert signing((), here=()) == {"jobs": Verdict.OK}
    assert signing((), here=(), broker="redis://elsewhere:6379/0") == {"jobs": Verdict.WARNING}
    told = json.dumps(about_this_process(Settings(secret_key=KEYS)).settings)
    assert not any(key in told for key in KEYS)
