"""The files of the deployment, as far as they can be checked without a container engine."""

from __future__ import annotations

import fnmatch
import os
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import redis
import yaml
from click.testing import CliRunner
from redis.backoff import NoBackoff
from redis.retry import Retry

from lepton_celery.cli import lepton as lepton_command
from lepton_celery.config import Settings, settings_from
from lepton_celery.engines.celery.sending.queues import JOB_QUEUES
from lepton_celery.errors import InputError
from lepton_celery.local.guard import Guard
from lepton_celery.local.process import ManagedProcess
from lepton_celery.local.server import find_binary, free_port

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "compose"
FILES = [
    *("Procfile", ".env.example", "Makefile", "docs/deployment.md", "settings/flower.py"),
    *(str(path.relative_to(ROOT)) for path in sorted(COMPOSE.rglob("*")) if path.is_file()),
]
LAUNCHER = {"LEPTON_SETTINGS", "LEPTON_STATE", "LEPTON_MAX", "LEPTON_MIN"}
PASSWORD = "letters0and9digits"


def filled(value: str) -> str:
    """Replace each variable of the compose file by its default, or by the password if it has none."""
    return re.sub(r"\$\{\w+(?::([-?])([^}]*))?\}", lambda m: m[2] if m[1] == "-" else PASSWORD, value)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((COMPOSE / "compose.yaml").read_text())
    return found


def procfile() -> dict[str, str]:
    lines = (ROOT / "Procfile").read_text().splitlines()
    return dict(line.split(": ", 1) for line in lines if line and not line.startswith("#"))


def ran_by(words: list[str]) -> list[str]:
    """The celery command that `lepton worker` or `lepton flower` runs with these words; others stay."""
    if words[:2] not in (["lepton", "worker"], ["lepton", "flower"]):
        return words
    with patch("os.execve") as execve:
        done = CliRunner(env={"LEPTON_BROKER_URL": "redis://127.0.0.1:1/0"}).invoke(lepton_command, words[1:])
    assert done.exit_code == 0, done.output
    _, argv, environ = execve.call_args.args
    assert words[1] == "flower" or environ["REMAP_SIGTERM"] == "SIGQUIT", "a stop takes a limited time"
    return list(argv[2:])


def commands() -> list[tuple[str, list[str]]]:
    """The celery commands of the deployment's files, each with its source."""
    found = [(f"Procfile {name}", shlex.split(filled(line))) for name, line in procfile().items()]
    services = yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"]
    found += [
        (f"compose {name}", [filled(part) for part in service["command"]])
        for name, service in services.items()
        if service["command"][0] in ("celery", "lepton")
    ]
    image = re.findall(r"^CMD (\[.*\])$", (COMPOSE / "Dockerfile").read_text(), flags=re.MULTILINE)
    found += [("Dockerfile", yaml.safe_load(line)) for line in image]
    text = (ROOT / "docs" / "deployment.md").read_text()
    lines = re.findall(
        r"^(?:celery|lepton (?:worker|flower)) .*|(?<=^ExecStart=/srv/lepton/\.venv/bin/).*", text, re.MULTILINE
    )
    found += [("deployment.md", shlex.split(filled(line), comments=True)) for line in lines]
    return [(where, ran_by(words[words[0] == "exec" :])) for where, words in found]


def test_workers_are_started_as_the_pages_say(compose: dict[str, Any]) -> None:
    assert all(procfile()[name].startswith("exec lepton worker ") for name in ("worker", "interactive"))
    assert all(compose["services"][name]["command"][:2] == ["lepton", "worker"] for name in ("worker", "interactive"))
    assert sum(command[2:4] == ["workers.app", "worker"] for _, command in commands()) == 9


def test_the_compose_file_follows_the_specification() -> None:
    checker = Path(sys.executable).with_name("check-jsonschema")
    done = subprocess.run(
        [checker, "--builtin-schema", "vendor.compose-spec", COMPOSE / "compose.yaml"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("where", "command"), commands(), ids=[where for where, _ in commands()])
def test_every_celery_command_has_options_that_exist(where: str, command: list[str]) -> None:
    from celery.bin.celery import celery as group
    from celery.bin.worker import worker

    assert command[:3] == ["celery", "-A", "workers.app"]
    assert (ROOT / "workers" / "app.py").exists()
    own, _, settings = " ".join(command[4:]).partition(" -- ")
    options = own.split()
    if command[3] == "worker":
        # parsed by Celery, except for checks of values that need the application
        context = worker.make_context("worker", list(options), resilient_parsing=True)
        assert context.args == []
        for option in options:
            name = option.partition("=")[0]
            assert name in {known for parameter in worker.params for known in parameter.opts}, name
        queues = dict(option.split("=", 1) for option in options if "=" in option).get("--queues", "")
        assert {queue for queue in queues.split(",") if queue} <= set(JOB_QUEUES)
        scale = context.params["autoscale"]
        assert scale is None or scale[0] >= scale[1] >= 0
        from lepton_celery import create_app

        app = create_app(Settings())
        app.config_from_cmdline(settings.split(), namespace="worker")
        assert isinstance(app.conf.worker_soft_shutdown_timeout, float)
        assert 0 < app.conf.worker_soft_shutdown_timeout <= 20
    elif command[3] == "flower":
        import flower.options

        for option in options:
            name, _, value = option.removeprefix("--").partition("=")
            assert name.replace("-", "_") in flower.options.options, name
            assert name != "conf" or (ROOT / value).exists()
    else:
        assert command[3] in {*group.commands, "lepton"}


def test_every_variable_named_anywhere_is_a_setting() -> None:
    known = LAUNCHER | {f"LEPTON_{field.name.upper()}" for field in fields(Settings)}
    for name in FILES:
        for variable in re.findall(r"\bLEPTON_[A-Z_]*[A-Z]\b", (ROOT / name).read_text()):
            assert variable in known, f"{name}: {variable}"


def test_the_example_environment_is_valid() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    values = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    with pytest.raises(InputError, match="of an example"):
        settings_from({}, values)
    assert values["REDIS_PASSWORD"] == "", "compose starts nothing before it is chosen"
    settings = settings_from({}, {name: value.replace("change-me", PASSWORD) for name, value in values.items()})
    assert settings.allowed_roots == ("/data",)
    needed = set(re.findall(r"\$\{(\w+):\?", (COMPOSE / "compose.yaml").read_text()))
    assert needed == {"REDIS_PASSWORD", "LEPTON_FLOWER_AUTH"} <= set(values)


def test_the_image_copies_files_that_exist_and_are_not_ignored() -> None:
    patterns = (COMPOSE / "Dockerfile.dockerignore").read_text().split()
    allowed = [pattern.removeprefix("!") for pattern in patterns if pattern.startswith("!")]
    assert patterns[0] == "*"
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", (COMPOSE / "Dockerfile").read_text(), flags=re.MULTILINE)
    sources = [source for line in copied for source in line.split()]
    assert len(sources) >= 7
    for source in sources:
        assert (ROOT / source).exists(), source
        assert any(source == name or source.startswith(f"{name}/") for name in allowed), source
        assert not any(fnmatch.fnmatch(source, pattern) for pattern in patterns[1:] if not pattern.startswith("!"))


def test_the_image_installs_extras_that_exist_and_runs_unprivileged() -> None:
    import tomllib

    text = (COMPOSE / "Dockerfile").read_text()
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = re.findall(r"--extra (\w+)", text)
    assert named
    assert set(named) <= set(extras)
    assert "--constraint requirements.lock" in text
    last = text.rpartition("\nFROM ")[2]
    assert re.search(r"^USER lepton$", last, flags=re.MULTILINE)
    [image_uv] = re.findall(r"uv==([\d.]+)", text)
    assert f"uv=={image_uv}" in (ROOT / "Makefile").read_text()


def test_services_build_from_files_that_exist_and_wait_for_the_broker(compose: dict[str, Any]) -> None:
    for name in ("worker", "interactive", "flower", "example"):
        service = compose["services"][name]
        context = COMPOSE / service["build"]["context"]
        assert (context / service["build"]["dockerfile"]).is_file()
        assert service["depends_on"] == {"redis": {"condition": "service_healthy"}}
        assert service["volumes"] == ["data:/data"]
        url = filled(service["environment"]["LEPTON_BROKER_URL"])
        assert settings_from({}, {"LEPTON_BROKER_URL": url}).broker_url == f"redis://:{PASSWORD}@redis:6379/0"
    assert "healthcheck" in compose["services"]["redis"]


def test_services_have_no_privileges_and_limits_of_what_they_take(compose: dict[str, Any]) -> None:
    def mebibytes(text: str) -> int:
        number, unit = re.fullmatch(r"(\d+)([mg])", filled(text)).groups()  # type: ignore[union-attr]
        return int(number) * (1024 if unit == "g" else 1)

    for name, service in compose["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["read_only"] is True, name
        assert 64 <= service["pids_limit"] <= 1024, name
        assert 512 <= mebibytes(service["mem_limit"]) <= 16 * 1024, name
        assert "privileged" not in service and "cap_add" not in service, name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
    redis = compose["services"]["redis"]
    assert redis["user"] == "valkey", "the image's own user; as root its start script needs capabilities"
    [largest] = re.findall(r"^maxmemory (\d+)mb$", compose["configs"]["valkey"]["content"], flags=re.MULTILINE)
    assert 2 * int(largest) < mebibytes(redis["mem_limit"])
    processes, planned = 4, Settings().worker_memory_bytes >> 20
    assert mebibytes(compose["services"]["worker"]["mem_limit"]) >= 2 * processes * planned


def test_a_worker_is_given_the_time_that_it_takes_to_stop(compose: dict[str, Any]) -> None:
    from lepton_celery.engines.celery.settings import celery_settings

    for name in ("worker", "interactive"):
        service = compose["services"][name]
        assert "REMAP_SIGTERM" not in service["environment"], "lepton worker sets it"
        grace = int(service["stop_grace_period"].removesuffix("s"))
        assert grace >= celery_settings(Settings())["worker_soft_shutdown_timeout"] + 10
    for name in ("worker", "interactive"):
        # honcho kills the other processes 5 s after the first one has ended, and signals pool processes too
        line = procfile()[name]
        assert line.startswith("exec lepton worker ")
        assert 0 < float(re.findall(r"worker_soft_shutdown_timeout=(\S+)", line)[0]) < 5


def test_the_broker_uses_its_configuration(compose: dict[str, Any], tmp_path: Path) -> None:
    """A real server takes the configuration, asks for the password and writes the append-only file."""
    port = free_port()
    text = filled(compose["configs"]["valkey"]["content"]).replace("dir /data", f"dir {tmp_path}")
    assert str(tmp_path) in text
    (tmp_path / "valkey.conf").write_text(f"{text}\nport {port}\nbind 127.0.0.1\n")
    guard = Guard()
    server = ManagedProcess(
        "server", [str(find_binary()), "valkey.conf"], log=tmp_path / "log", guard=guard, cwd=tmp_path
    )
    server.start()
    try:
        server.wait_for_line("Ready to accept connections", 10)
        once = Retry(NoBackoff(), 0)  # the default retries a refused login for seconds
        with redis.Redis(port=port, retry=once) as nobody, pytest.raises(redis.AuthenticationError):
            nobody.ping()
        with redis.Redis(port=port, password=PASSWORD) as client:
            found: Any = client.config_get("maxmemory-policy", "append*", "save")
            assert found["maxmemory-policy"] == "noeviction"
            assert (found["appendonly"], found["appendfsync"], found["save"]) == ("yes", "everysec", "")
        assert (tmp_path / "appendonlydir").is_dir()
    finally:
        server.stop(5)
        guard.close()


def test_scripts_are_executable_and_parse() -> None:
    for script in (COMPOSE / "example" / "start", ROOT / ".ci" / "run"):
        assert os.access(script, os.X_OK), script
        shell = script.read_text().splitlines()[0].split("/")[-1].split()[-1]
        subprocess.run([shell, "-n", script], check=True)


def test_ci_runs_the_command_that_the_readme_gives() -> None:
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == "make test"
    assert "`make test`" in (ROOT / "README.md").read_text()
