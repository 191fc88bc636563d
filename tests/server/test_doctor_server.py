"""The findings of `lepton doctor` on a real server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from lepton_celery.doctor.finding import Verdict
from lepton_celery.doctor.server import check_server, server_warnings
from tests.server.server import Server, running_server
from tests.server.test_doctor import GIB
from tests.unit.test_doctor import not_ok, verdicts


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("server")) as server:
        yield server


def test_only_a_server_without_persistence_gives_a_warning(server: Server) -> None:
    (said,) = server_warnings(server.url)
    assert said.startswith("persistence: appendonly no")
    assert "set appendonly yes" in said
    with redis.Redis(port=server.port) as client:
        client.config_set("appendonly", "yes")
        assert server_warnings(server.url) == []
        client.config_set("appendonly", "no")


def test_eviction_is_a_problem_on_a_server_with_a_memory_limit(server: Server) -> None:
    with redis.Redis(port=server.port) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        assert verdicts(check_server(server.url, "broker")[1])["memory"] is Verdict.WARNING
        client.config_set("maxmemory", str(GIB))
        assert verdicts(check_server(server.url, "broker")[1])["memory"] is Verdict.PROBLEM
        client.config_set("maxmemory-policy", "noeviction")
        assert verdicts(check_server(server.url, "broker")[1])["memory"] is Verdict.OK
        used = client.info("memory")["used_memory"]
        client.config_set("maxmemory", str(int(used * 1.1)))
        assert verdicts(check_server(server.url, "broker")[1])["memory"] is Verdict.WARNING
        client.config_set("maxmemory", "0")


def test_a_user_without_permission_for_info_gets_a_warning(server: Server) -> None:
    with redis.Redis(port=server.port) as client:
        client.execute_command("ACL", "SETUSER", "few", "on", ">s3cret", "~*", "+@all", "-info")
    findings = check_server(f"redis://few:s3cret@127.0.0.1:{server.port}/0", "ledger")[1]
    assert not_ok(findings) == {"configuration": Verdict.WARNING}
    assert "s3cret" not in str(findings)
