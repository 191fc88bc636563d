"""The ledger and its server: keys, repeated calls, broken connections, and servers that refuse."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from multiprocessing import get_context
from typing import Any

import pytest
import redis

from lepton_celery.errors import BrokerUnreachable, JobError
from lepton_celery.ledger import Ledger, open_ledger
from lepton_celery.ledger.entries import VERSION
from lepton_celery.ledger.info import Description, JobState
from lepton_celery.ledger.remedies import remedy
from tests.server.ledgers import MILLION, claim, commit, merge, new_job
from tests.server.server import Server


@pytest.fixture
def key(prefix: str) -> Callable[[str], str]:
    """One of the keys of job `j`, by its name."""
    return lambda name: f"{prefix}{{j}}:{name}"


def all_keys(client: Any, prefix: str) -> set[str]:
    literal = prefix.replace("[", "\\[").replace("]", "\\]")  # names of parametrized tests have brackets
    return {found.removeprefix(prefix) for found in client.scan_iter(f"{literal}*")}


# ------------------------------------------------------------------------------------------------ keys


@pytest.mark.parametrize("text", ["{", "[1]", ""])
def test_a_damaged_manifest_names_the_job(ledger: Ledger, client: Any, key: Callable[[str], str], text: str) -> None:
    new_job(ledger)
    client.set(key("manifest"), text)
    with pytest.raises(JobError, match="manifest of job 'j' in the ledger is damaged") as caught:
        ledger.manifest("j")
    assert caught.value.job_id == "j"


def test_a_damaged_entry_names_the_job(ledger: Ledger, client: Any, key: Callable[[str], str]) -> None:
    new_job(ledger)
    client.hset(key("job"), "state", "asleep")
    with pytest.raises(JobError, match=r"entry of job 'j' is damaged .*asleep.*`lepton forget` removes it"):
        ledger.info("j")


def test_a_job_of_an_earlier_release_is_refused_and_listed_with_the_reason(
    ledger: Ledger, client: Any, key: Callable[[str], str], prefix: str
) -> None:
    new_job(ledger)
    client.hset(key("job"), "version", VERSION - 1)
    with pytest.raises(JobError, match="entry of job 'j' has version '3', this release reads 4; run one release"):
        ledger.info("j")
    new_job(ledger, "k")
    client.zadd(f"{prefix}jobs", {"j": 1.0})  # so old that an index entry without a job would be pruned
    newest, oldest = ledger.jobs()
    assert (newest.job_id, oldest.job_id, oldest.state, oldest.created_at) == ("k", "j", JobState.DAMAGED, 1.0)
    assert "has version '3'" in oldest.error
    assert client.zscore(f"{prefix}jobs", "j") == 1.0
    ledger.forget("j")
    assert client.zscore(f"{prefix}jobs", "j") is None


DAMAGED: list[tuple[str, dict[str, Any], str]] = [
    ("of a wrong stage", {"stage": -5}, "stage"),
    ("of a stage that is no number", {"stage": "two"}, "stage"),
    ("of 10**12 blocks sent", {"dispatched": 10**12}, "dispatched"),
    ("of no stages", {"stages": 0}, "stages"),
    ("of an unknown state", {"state": "asleep"}, "asleep"),
    ("of a time before the epoch", {"created": -1}, "created"),
]


@pytest.mark.parametrize(("fields", "word"), [row[1:] for row in DAMAGED], ids=[row[0] for row in DAMAGED])
def test_a_damaged_entry_harms_no_other_job(
    ledger: Ledger, client: Any, key: Callable[[str], str], fields: dict[str, Any], word: str
) -> None:
    new_job(ledger, "honest")
    new_job(ledger)
    client.hset(key("job"), mapping=fields)
    states = {info.job_id: info for info in ledger.jobs()}
    assert (states["honest"].state, states["j"].state) == (JobState.RUNNING, JobState.DAMAGED)
    assert word in states["j"].error
    assert "honest" in ledger.active()
    ledger.forget("j")
    assert [info.job_id for info in ledger.jobs()] == ["honest"]


def test_keys_of_another_type_and_ids_of_no_job_harm_no_other_job(
    ledger: Ledger, client: Any, key: Callable[[str], str], prefix: str
) -> None:
    new_job(ledger, "honest")
    new_job(ledger)
    client.delete(key("job"))
    client.set(key("job"), b"\xff\xfe")
    for hostile in ("../..", "[red]x[/blue]", "a\nb", "x" * 1000):
        client.zadd(f"{prefix}jobs", {hostile: 2.0})
        client.zadd(f"{prefix}active", {hostile: 2.0})
        client.hset(f"{prefix}{{{hostile}}}:job", mapping={"state": "running", "version": VERSION})
    assert ledger.active() == ["../..", "[red]x[/blue]", "a\nb", "x" * 1000, "honest"]
    damaged = {info.job_id for info in ledger.jobs() if info.state is JobState.DAMAGED}
    assert damaged == {"j", "../..", "[red]x[/blue]", "a\nb", "x" * 1000}
    for move in (ledger.pause, ledger.cancel):
        with pytest.raises(JobError, match="is damaged"):
            move("j")
    for job_id in damaged:
        ledger.forget(job_id)
    assert ledger.active() == ["honest"]


def test_all_keys_of_a_job_share_its_hash_tag(ledger: Ledger, client: Any, prefix: str) -> None:
    new_job(ledger)
    claim(ledger, "j", [0, 1, 2, 3])
    claim(ledger, "j", [3])
    commit(ledger, "j", [0, 1, 2], seconds=1)
    assert all_keys(client, prefix) - {"jobs", "active"} == {
        f"{{j}}:{name}" for name in ("job", "receipts", "leases", "holdings", "attempts", "stats", "manifest")
    }
    ledger.forget("j")
    assert all_keys(client, prefix) == set()


def test_a_million_receipts_take_a_bit_each(ledger: Ledger, client: Any, key: Callable[[str], str]) -> None:
    new_job(ledger, blocks=MILLION)
    commit(ledger, "j", [MILLION - 1])
    claim(ledger, "j", list(range(1000)))
    sizes = {
        name: int(client.memory_usage(key(name), samples=0) or 0) for name in ("job", "receipts", "leases", "holdings")
    }
    assert sizes["receipts"] < 1.5 * MILLION / 8
    assert sizes["leases"] + sizes["holdings"] < 200 * 1000
    commit(ledger, "j", list(range(1000)))
    assert not client.exists(key("leases"), key("holdings"))


def test_an_interrupted_create_leaves_no_job_behind(ledger: Ledger, client: Any, prefix: str) -> None:
    new_job(ledger)
    for index in ("jobs", "active"):
        client.zadd(prefix + index, {"old": 1.0, "just now": time.time()})
    assert ledger.active() == ["j"]
    assert [info.job_id for info in ledger.jobs(limit=1)] == ["j"]
    for index in ("jobs", "active"):
        assert set(client.zrange(prefix + index, 0, -1)) == {"j", "just now"}


def test_a_job_that_ended_without_leaving_the_index_is_cleaned_up(ledger: Ledger, client: Any, prefix: str) -> None:
    new_job(ledger)
    ledger._run("finish", "j", "cancelled", "", -1, -1, "call")
    assert ledger.active() == []
    assert client.zcard(prefix + "active") == 0
    assert client.zcard(prefix + "ended") == 1


# ------------------------------------------------------------------------------------------------ connections


def test_a_call_sent_twice_by_a_broken_connection_acts_once(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    send = ledger._run

    def send_twice(*call: Any) -> Any:
        send(*call)
        return send(*call)

    monkeypatch.setattr(ledger, "_run", send_twice)
    new_job(ledger, stages=1)
    assert claim(ledger, "j", [0, 1], runs=1).granted == [0, 1]
    commit(ledger, "j", [0, 1, 2, 3], seconds=1)
    assert ledger.info("j").stats == {"seconds": 1}
    assert merge(ledger, "j")
    new_job(ledger, "k")
    assert ledger.fail("k", "why")
    assert ledger.resume("k")
    assert ledger.cancel("k")


def test_the_ledger_survives_dropped_connections(ledger: Ledger, client: Any) -> None:
    new_job(ledger)
    client.client_kill_filter(_type="normal", skipme=True)
    assert ledger.info("j").blocks_total == 4


def test_the_ledger_survives_a_server_that_lost_its_scripts(ledger: Ledger, client: Any) -> None:
    new_job(ledger)
    client.script_flush()
    assert claim(ledger, "j", [0]).granted == [0]


@pytest.mark.parametrize(
    ("setting", "value", "advice"),
    [("maxmemory", 1, "give the server more memory"), ("min-replicas-to-write", 1, "connect its replicas")],
)
def test_a_server_that_refuses_to_write_for_the_time_being_counts_as_unreachable(
    ledger: Ledger, client: Any, setting: str, value: int, advice: str
) -> None:
    new_job(ledger)
    before = client.config_get(setting)[setting]
    client.config_set(setting, value)
    try:
        with pytest.raises(BrokerUnreachable, match=advice):
            claim(ledger, "j", [0])
        assert ledger.info("j").blocks_done == 0
    finally:
        client.config_set(setting, before)
    assert claim(ledger, "j", [0]).granted == [0]


def test_a_server_whose_disk_is_full_counts_as_unreachable() -> None:
    text = "MISCONF Errors writing to the AOF file: No space left on device"
    assert "free its disk" in (remedy(redis.exceptions.ResponseError(text)) or "")


def test_the_ledger_can_be_used_after_a_fork(ledger: Ledger) -> None:
    new_job(ledger)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of forks beside threads
        child = get_context("fork").Process(target=claim, args=(ledger, "j", [0], "child"))
        child.start()
    assert claim(ledger, "j", [1], "parent").granted == [1]
    child.join(10)
    assert child.exitcode == 0
    assert claim(ledger, "j", [0, 1, 2], "parent").leased == [0]


def test_the_ledger_is_opened_through_a_socket(server: Server) -> None:
    ledger = open_ledger(f"redis+socket://{server.socket}?virtual_host=3", prefix="socket:")
    new_job(ledger)
    same = open_ledger(f"unix://{server.socket}?db=3", prefix="socket:")
    assert same.info("j") == ledger.info("j")
    other = open_ledger(f"redis+socket://{server.socket}?virtual_host=4", prefix="socket:")
    assert other.active() == []


# ------------------------------------------------------------------------------------------------ servers that refuse


def test_an_unreachable_server_is_named_without_its_password() -> None:
    ledger = open_ledger("redis://me:s3cret@127.0.0.1:1/0")
    for call in (ledger.ping, lambda: claim(ledger, "j", [0])):
        with pytest.raises(BrokerUnreachable, match="check that a Redis or Valkey server runs there") as caught:
            call()
        assert "redis://***@127.0.0.1:1/0" in str(caught.value)
        assert "s3cret" not in str(caught.value)


def test_a_wrong_password_is_reported(server: Server) -> None:
    ledger = open_ledger(f"redis://me:s3cret@127.0.0.1:{server.port}/0")
    with pytest.raises(BrokerUnreachable, match="check the user name and the password") as caught:
        ledger.ping()
    assert "s3cret" not in str(caught.value)


def test_a_user_without_permission_for_time_is_told_the_missing_rule(server: Server) -> None:
    with redis.Redis(port=server.port) as admin:
        admin.execute_command("ACL", "SETUSER", "timeless", "on", ">pw", "~*", "+@all", "-time")
    ledger = open_ledger(f"redis://timeless:pw@127.0.0.1:{server.port}/0")
    ledger.ping()
    for call in (
        lambda: ledger.create("j", {}, lane="l", description=Description("t"), stages=[1.0], blocks=1),
        lambda: ledger._run("create", "j", "l", "t", 1, 1, "{}", 0, VERSION, "running", "1.0", "call"),
    ):
        with pytest.raises(BrokerUnreachable, match=r"ACL: .*\+time"):
            call()
