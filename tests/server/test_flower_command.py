"""`lepton flower`: the celery command that it runs, and the password without which Flower is for this machine only."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lepton_celery.cli import lepton as lepton_command
from lepton_celery.cli import start_flower
from lepton_celery.flower.guard import close
from lepton_celery.local import flower_command
from lepton_celery.local.stack import LocalStack, Project

SHIPPED = Path(__file__).parents[2] / "settings" / "flower.py"


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    monkeypatch.setattr(os, "execve", lambda path, argv, env: found.update(argv=argv, env=env))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LEPTON_SETTINGS", raising=False)
    monkeypatch.setenv("LEPTON_BROKER_URL", "redis://127.0.0.1:1/0")
    return found


def start(*arguments: str) -> Result:
    return CliRunner().invoke(lepton_command, ["flower", *arguments])


def test_it_starts_flower_with_our_configuration(ran: dict[str, Any]) -> None:
    done = start("--app", "mine.app", "--port", "5001", "--address", "10.0.0.1", "--", "--url_prefix=f", "--debug")
    assert done.exit_code == 0, done.output
    expected = f"-A mine.app flower --address=10.0.0.1 --port=5001 --conf={SHIPPED} --url_prefix=f --debug"
    assert " ".join(ran["argv"][1:]) == f"-m celery {expected}"
    assert done.stderr == f"celery {expected}\n"


def test_it_runs_the_application_of_the_folder_with_its_configuration(ran: dict[str, Any]) -> None:
    for name in ("workers/app.py", "settings/flower.py"):
        Path(name).parent.mkdir()
        Path(name).touch()
    assert start().exit_code == 0
    assert ran["argv"][3:] == ["-A", "workers.app", "flower", f"--conf={Path.cwd() / 'settings' / 'flower.py'}"]


def test_another_configuration_wins(ran: dict[str, Any]) -> None:
    assert start("--", "--conf=mine.py").exit_code == 0
    assert ran["argv"][-2:] == ["flower", "--conf=mine.py"]
    Path("flowerconfig.py").touch()  # which Flower reads
    assert start().exit_code == 0
    assert ran["argv"][-1] == "flower"


def test_it_repeats_no_password(ran: dict[str, Any]) -> None:
    given = [
        "--basic_auth=me:hunter2",
        "--oauth2-secret=hunter2",
        "--cookie_secret=hunter2",
        "-broker_api=http://a:hunter2@b",
    ]
    done = start("--", *given, "--port=1")
    assert ran["argv"][-5:] == [*given, "--port=1"]
    assert (
        "hunter2" not in done.output
        and "--basic_auth=... --oauth2-secret=..." in done.stderr
        and "--port=1" in done.stderr
    )


def test_without_flower_or_a_broker_it_says_what_to_do(ran: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEPTON_BROKER_URL")
    done = start()
    assert done.exit_code == 4 and "no broker is configured; set LEPTON_BROKER_URL" in done.stderr
    monkeypatch.setattr(start_flower, "find_spec", lambda name: None)
    done = start()
    assert (done.exit_code, done.stderr) == (2, "Error: Flower is not installed; pip install 'lepton-celery[flower]'\n")
    assert ran == {}


def test_the_local_stack_starts_it_in_the_same_way(tmp_path: Path) -> None:
    stack = LocalStack(tmp_path, broker_url="redis://127.0.0.1:6379/0", project=Project(app="mine.app"))
    made = stack._make_flower(5001)
    assert made.argv[3:] == flower_command.flower_command("mine.app", address="127.0.0.1", port=5001)[0:]
    assert f"--conf={SHIPPED}" in made.argv
    assert find_spec("settings.flower")


def options(**given: Any) -> Any:
    return SimpleNamespace(**{"basic_auth": [], "auth": "", "unix_socket": "", "address": ""} | given)


@pytest.mark.parametrize(
    "given",
    [{}, {"address": "127.0.0.1"}, {"address": "::1"}, {"address": "localhost"}, {"unix_socket": "/run/flower"}],
    ids=str,
)
def test_without_a_password_flower_is_for_this_machine_only(
    given: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    found = options(**given)
    close(found, "")
    assert found.basic_auth == []
    assert found.unix_socket or found.address == given.get("address", "127.0.0.1")
    assert ("for this machine only" in capsys.readouterr().err) == (not given)


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "10.0.0.1", "flower.example"])
def test_an_open_address_without_a_password_gets_one_that_is_told_once(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found, other = options(address=address), options(address=address)
    close(found, "")
    told = capsys.readouterr()
    close(other, "")
    [auth] = found.basic_auth
    user, _, password = auth.partition(":")
    assert (user, len(password), found.address) == ("lepton", 24, address)
    assert told.err.count(password) == 1 and told.out == ""
    assert other.basic_auth != found.basic_auth


def test_a_password_that_is_given_is_used_at_any_address(capsys: pytest.CaptureFixture[str]) -> None:
    found = options()
    close(found, "me:it's a; secret, really")
    assert (found.basic_auth, found.address) == (["me:it's a; secret, really"], "")
    for own in ({"basic_auth": ["a:b"]}, {"auth": ".*@example.com"}):
        found = options(**own)
        close(found, "me:secret")
        assert found == options(**own)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("auth", "why"), [("secretword", "no colon; give user:password"), ("me:gehéim", "not ASCII")])
def test_a_password_that_flower_cannot_check_is_refused(auth: str, why: str) -> None:
    with pytest.raises(SystemExit, match=f"LEPTON_FLOWER_AUTH has .*{why}") as refusal:
        close(options(), auth)
    assert auth.removeprefix("me:") not in str(refusal.value)
