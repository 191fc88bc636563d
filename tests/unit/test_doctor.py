"""What each check of `lepton doctor` makes of what it sees."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from lepton_celery.config import LANES, Settings
from lepton_celery.doctor.about import About, Pool, about_this_process, address_of, count_threads, memory_bytes
from lepton_celery.doctor.finding import Finding, Verdict
from lepton_celery.doctor.folders import answer_probe, check_folder, probe, unwritable
from lepton_celery.doctor.server import ServerFacts, beyond, check_facts, check_server
from lepton_celery.doctor.timeouts import check_settings
from lepton_celery.doctor.workers import Answer, Fleet, check_workers
from lepton_celery.stores.documents import from_document, to_document

GIB = 1 << 30


def verdicts(findings: list[Finding]) -> dict[str, Verdict]:
    """The worst verdict of each check."""
    order = list(Verdict)
    found: dict[str, Verdict] = {}
    for finding in findings:
        found[finding.name] = max(found.get(finding.name, Verdict.OK), finding.verdict, key=order.index)
    return found


def not_ok(findings: list[Finding]) -> dict[str, Verdict]:
    for finding in findings:
        assert bool(finding.advice) == (finding.verdict is not Verdict.OK), finding
    return {name: verdict for name, verdict in verdicts(findings).items() if verdict is not Verdict.OK}


# ---------------------------------------------------------------------------------------------------- settings


def test_the_defaults_agree_with_each_other() -> None:
    findings = check_settings(Settings())
    assert not_ok(findings) == {}
    assert len(findings) == 6


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (Settings(lease_s=30, visibility_timeout_s=30), {"visibility timeout": Verdict.PROBLEM}),
        (Settings(visibility_timeout_s=299), {"visibility timeout": Verdict.WARNING}),
        (Settings(lease_s=120, visibility_timeout_s=600), {"visibility timeout": Verdict.WARNING}),
        (Settings(lease_s=1, sweep_s=0.5), {"lease": Verdict.WARNING}),
        (Settings(lease_s=0, sweep_s=0), {"lease": Verdict.PROBLEM, "sweep": Verdict.PROBLEM}),
        (Settings(lease_s=30, sweep_s=31), {"sweep": Verdict.WARNING}),
        (Settings(window_batches=31), {"window": Verdict.WARNING}),
        (Settings(wave_batches=0), {"window": Verdict.PROBLEM}),
        (Settings(max_attempts=1), {"attempts": Verdict.WARNING}),
        (Settings(max_attempts=0), {"attempts": Verdict.PROBLEM}),
        (Settings(worker_memory_bytes=4 * GIB), {"limits": Verdict.PROBLEM}),
        (Settings(memory_limit_bytes=0), {"limits": Verdict.WARNING}),
        (Settings(block_limit_s=0), {"limits": Verdict.WARNING}),
        (Settings(broker_url="amqp://host", visibility_timeout_s=1), {}),
    ],
)
def test_settings_that_contradict_each_other_are_found(settings: Settings, expected: dict[str, Verdict]) -> None:
    assert not_ok(check_settings(settings)) == expected


# ------------------------------------------------------------------------------------------------------ server


def test_nobody_there_is_a_problem_with_a_remedy() -> None:
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
def test_what_a_server_says_is_judged(facts: ServerFacts, expected: dict[str, Verdict]) -> None:
    assert not_ok(check_facts(facts, "ledger")) == expected


@pytest.mark.parametrize(("moment", "expected"), [(5.0, 0.0), (12.0, 2.0), (1.0, -3.0)])
def test_a_clock_is_off_by_what_the_round_trip_does_not_explain(moment: float, expected: float) -> None:
    assert beyond(moment, 4.0, 10.0) == expected


# ----------------------------------------------------------------------------------------------------- workers


def sent(about: About, **later: object) -> About:
    """What arrives of an answer."""
    return from_document(json.loads(json.dumps({**to_document(about), **later})), About, "the answer")


def worker(name: str = "one", **changes: object) -> Answer:
    """The answer of a worker that is like this process, but for what is given."""
    here = about_this_process(Settings())
    good = replace(
        here,
        pool=Pool("prefork", 2, "fork", 1),
        queues=[f"lepton.{lane}" for lane in LANES],
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


def test_workers_that_are_alike_and_like_here_are_well() -> None:
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
def test_what_is_wrong_with_a_worker_is_found(answer: Answer, expected: dict[str, Verdict]) -> None:
    assert not_ok(checked(answer)) == expected


def test_workers_on_one_machine_share_its_memory() -> None:
    assert not_ok(checked(worker("one"), worker("two"), worker("three"))) == {"memory": Verdict.PROBLEM}
    assert not_ok(checked(worker("one"), worker("two", machine="elsewhere"), worker("three", machine="far"))) == {}


def test_two_workers_of_one_name_are_said() -> None:
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


def test_what_a_process_says_holds_no_password() -> None:
    secret = Settings(broker_url="redis://me:s3cret@host:1/2", flower_auth="admin:s3cret")
    text = json.dumps(to_document(about_this_process(secret)))
    assert "s3cret" not in text
    assert "host:1/2" in text
    assert len(text) < 2000


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://me:s3cret@host:1/2", "host:1/2"),
        ("rediss://host?ssl_ca_certs=/ca.pem", "host:6379/0"),
        ("redis+socket:///tmp/s?password=s3cret", "/tmp/s"),
        ("redis://[::1", "?"),
    ],
)
def test_an_address_is_a_url_without_secrets(url: str, expected: str) -> None:
    assert address_of(url) == expected


def test_memory_is_no_more_than_the_machine_has() -> None:
    assert 0 < memory_bytes() <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert count_threads() >= 1


def test_memory_is_what_the_groups_around_this_process_allow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "user.slice" / "job.scope"
    folder.mkdir(parents=True)
    (folder / "memory.max").write_text("max\n")
    (folder.parent / "memory.max").write_text("12345678\n")
    own = tmp_path / "own"
    own.write_text("1:name=systemd:/\n0::/user.slice/job.scope\n")
    monkeypatch.setattr("lepton_celery.doctor.about._CGROUP", tmp_path)
    monkeypatch.setattr("lepton_celery.doctor.about._OWN_CGROUPS", own)
    assert memory_bytes() == 12345678


# ------------------------------------------------------------------------------------------------------- files


def test_a_probe_is_read_answered_and_removed(tmp_path: Path) -> None:
    with probe(tmp_path) as made:
        answers = {name: answer_probe(str(tmp_path), made.token, name, ()) for name in ("one@a", "two/../@b")}
        assert len(list(tmp_path.iterdir())) == 3
        findings = check_folder(made, answers, ())
    assert not_ok(findings) == {}
    assert "2 of 2 workers" in findings[-1].found
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_does_not_see_the_folder_is_named(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with probe(tmp_path) as made:
        unseen = answer_probe(str(other), made.token, "far", ())
        seen = answer_probe(str(tmp_path), made.token, "near", ())
        findings = check_folder(made, {"far": unseen, "near": seen}, ())
    assert not_ok(findings) == {"shared": Verdict.PROBLEM}
    (finding,) = [finding for finding in findings if finding.verdict is Verdict.PROBLEM]
    assert "far" in finding.found
    assert "near" not in finding.found.removeprefix(str(tmp_path))
    assert "mount the same file system" in finding.advice


def test_a_worker_that_writes_elsewhere_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lepton_celery.doctor.folders._VISIBLE_S", 0.0)
    with probe(tmp_path) as made:
        findings = check_folder(made, {"far": {"error": "", "kind": ""}}, ())
    assert not_ok(findings) == {"shared": Verdict.PROBLEM}


def test_a_worker_reads_no_other_files_and_leaves_its_roots_not(tmp_path: Path) -> None:
    (tmp_path / ".lepton-probe-secret").write_text("secret")
    assert answer_probe(str(tmp_path), "secret", "one", ())["kind"] == "refused"
    assert answer_probe(str(tmp_path), "../" + "0" * 29, "one", ())["kind"] == "refused"
    with probe(tmp_path) as made:
        assert answer_probe(str(tmp_path), made.token, "one", ["/elsewhere"])["kind"] == "refused"
        answer = answer_probe(str(tmp_path), made.token, "one", [str(tmp_path)])
        assert answer["kind"] == ""
        assert made.words.decode() not in json.dumps(answer)
        assert answer_probe(str(tmp_path), made.token, "one", ())["kind"] == "unwritable"  # its file is there already


def test_a_folder_outside_the_roots_here_is_a_problem(tmp_path: Path) -> None:
    with probe(tmp_path) as made:
        assert not_ok(check_folder(made, {}, ["/elsewhere"])) == {"allowed": Verdict.PROBLEM}


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, probe(tmp_path / "missing"):
        pass
    finding = unwritable(tmp_path / "missing", caught.value)
    assert finding.verdict is Verdict.PROBLEM
    assert "missing cannot be written to from here (No such file" in finding.found
