"""The findings of `lepton doctor` on this process and on folders."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from lepton_celery.config import Settings
from lepton_celery.doctor.about import about_this_process, address_of, count_threads, memory_bytes
from lepton_celery.doctor.finding import Finding, Verdict
from lepton_celery.doctor.folders import answer_probe, check_folder, probe, unwritable
from lepton_celery.stores.documents import to_document


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


def test_the_facts_of_a_process_contain_no_password() -> None:
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


def test_memory_is_limited_by_control_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "user.slice" / "job.scope"
    folder.mkdir(parents=True)
    (folder / "memory.max").write_text("max\n")
    (folder.parent / "memory.max").write_text("12345678\n")
    own = tmp_path / "own"
    own.write_text("1:name=systemd:/\n0::/user.slice/job.scope\n")
    monkeypatch.setattr("lepton_celery.doctor.about._CGROUP", tmp_path)
    monkeypatch.setattr("lepton_celery.doctor.about._OWN_CGROUPS", own)
    assert memory_bytes() == 12345678


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


def test_a_worker_reads_no_other_files_and_stays_within_its_roots(tmp_path: Path) -> None:
    (tmp_path / ".lepton-probe-secret").write_text("secret")
    assert answer_probe(str(tmp_path), "secret", "one", ())["kind"] == "refused"
    assert answer_probe(str(tmp_path), "../" + "0" * 29, "one", ())["kind"] == "refused"
    with probe(tmp_path) as made:
        assert answer_probe(str(tmp_path), made.token, "one", ["/elsewhere"])["kind"] == "refused"
        answer = answer_probe(str(tmp_path), made.token, "one", [str(tmp_path)])
        assert answer["kind"] == ""
        assert made.words.decode() not in json.dumps(answer)
        assert answer_probe(str(tmp_path), made.token, "one", ())["kind"] == "unwritable"  # its answer exists already


def test_a_folder_outside_the_roots_here_is_a_problem(tmp_path: Path) -> None:
    with probe(tmp_path) as made:
        assert not_ok(check_folder(made, {}, ["/elsewhere"])) == {"allowed": Verdict.PROBLEM}


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, probe(tmp_path / "missing"):
        pass
    finding = unwritable(tmp_path / "missing", caught.value)
    assert finding.verdict is Verdict.PROBLEM
    assert "missing cannot be written to from here (No such file" in finding.found
