"""The history of a job in the ledger, and the blocks of its open stage."""

from __future__ import annotations

from typing import Any

import pytest

from lepton_celery.ledger import FollowingStage, Ledger
from lepton_celery.ledger.block_record import OpenBlocks
from lepton_celery.ledger.history import Work
from tests.server.ledgers import FIRST, SECOND, claim, new_job, places


def done(ledger: Ledger, *numbers: int, slot: str = "w@h/1", seconds: float = 0.5) -> int:
    """Commit blocks that a slot did."""
    text = ",".join(map(str, numbers))
    work = Work(slot, text, seconds, compute_s=0.25, read_s=0.125, write_s=0.0625, read_bytes=10, write_bytes=20)
    return ledger.commit("j", FIRST, places(*numbers), owner=slot, stats={}, work=work)


def test_the_history_says_what_each_slot_did_when(ledger: Ledger) -> None:
    new_job(ledger)
    now = ledger._connection.now()
    assert done(ledger, 0, 1) == 2
    assert done(ledger, 2, 3, slot="w@h/2", seconds=2) == 2
    fence = ledger.begin_merge("j", FIRST, owner="m", lease_s=60)
    assert fence is not None
    assert ledger.commit_merge(
        "j", FIRST, fence=fence, following=FollowingStage(SECOND, 1), work=Work("w@h/2", "", 0.125)
    )
    first, second, merge = ledger.history("j")
    assert (first.stage, first.slot, first.places) == (FIRST, "w@h/1", "0,1")
    assert first[3:8] == (0.25, 0.125, 0.0625, 10, 20)
    assert first.ended - first.began == pytest.approx(0.5, abs=0.01)
    assert first.ended == pytest.approx(now, abs=1)
    assert second.ended - second.began == pytest.approx(2, abs=0.01)
    assert (merge.slot, merge.places) == ("w@h/2", "")
    ledger.forget("j")
    assert ledger.history("j") == []


def test_work_without_a_first_receipt_is_not_noted(ledger: Ledger) -> None:
    new_job(ledger)
    assert done(ledger, 0) == 1
    assert done(ledger, 0, slot="other/2") == 0
    assert [stretch.slot for stretch in ledger.history("j")] == ["w@h/1"]


def test_a_long_history_notes_longer_stretches(ledger: Ledger, client: Any, prefix: str) -> None:
    new_job(ledger, blocks=100_000, dispatched=100_000)
    for number in range(4):
        done(ledger, number)
    assert len(ledger.history("j")) == 4  # each is longer than a quarter of a second
    key = f"{prefix}{{j}}:history"
    client.rpush(key, *["0 1.0 2.0 0 0 0 0 0 old/1 0"] * (4 * 4096))
    for number in range(10, 20):
        done(ledger, number)
    assert client.llen(key) == 4 + 4 * 4096
    longer = ledger.history("j")[3]
    assert longer.places == "3," + ",".join(map(str, range(10, 20)))
    assert (longer.read_bytes, longer.write_bytes, longer.compute_s) == (110, 220, 2.75)
    client.lset(key, 3, f"0 {longer.began - 10} {longer.ended - 10} 0 0 0 0 0 w@h/1 3")
    done(ledger, 30, seconds=0.01)  # after a pause of about ten seconds
    assert client.llen(key) == 5 + 4 * 4096


@pytest.mark.parametrize("entry", ["", "1", "0 x y 0 0 0 0 0 w@h/1 0", "0 nan inf 0 0 0 0 0 w@h/1 0", "\udcff"])
def test_a_damaged_entry_harms_no_commit(ledger: Ledger, client: Any, prefix: str, entry: str) -> None:
    new_job(ledger)
    client.rpush(f"{prefix}{{j}}:history", entry.encode(errors="surrogateescape"))
    client.hset(f"{prefix}{{j}}:slots", mapping={"w@h/1": 0, "w@h/2": "none"})
    assert done(ledger, 0) == 1
    assert done(ledger, 1, slot="w@h/2") == 1
    assert [stretch.places for stretch in ledger.history("j")] == ["0", "1"]
    client.delete(f"{prefix}{{j}}:history")
    client.set(f"{prefix}{{j}}:history", "no list")
    assert ledger.history("j") == []
    client.delete(f"{prefix}{{j}}:slots")
    client.set(f"{prefix}{{j}}:slots", "no hash")
    assert done(ledger, 2) == 1
    fence = ledger.begin_merge("j", FIRST, owner="m", lease_s=60)
    assert fence is None  # the fourth block is not done
    assert done(ledger, 3) == 1
    fence = ledger.begin_merge("j", FIRST, owner="m", lease_s=60)
    assert fence is not None
    assert ledger.commit_merge("j", FIRST, fence=fence, following=FollowingStage(SECOND, 1), work=Work("m/1", "", 1.0))


def test_tracebacks_of_a_few_blocks_are_kept(ledger: Ledger, client: Any, prefix: str) -> None:
    new_job(ledger, blocks=100)
    for number in range(30):
        ledger.note_traceback("j", FIRST, places(number)[0], f"line {number}")
    ledger.note_traceback("j", FIRST, places(3)[0], "line 3 again")
    ledger.note_traceback("j", SECOND, places(3)[0], "of a stage that is not open")
    client.hset(f"{prefix}{{j}}:tracebacks", "not a place", "x")
    found = ledger.tracebacks("j")
    assert sorted(found) == [(FIRST, number) for number in range(20)]
    assert found[FIRST, places(3)[0]] == "line 3 again"
    ledger.fail("j", "it broke", number=FIRST, place=places(3)[0])
    assert len(ledger.tracebacks("j")) == 20
    assert ledger.resume("j")
    assert ledger.tracebacks("j") == {}
    client.set(f"{prefix}{{j}}:tracebacks", "no hash")
    assert ledger.tracebacks("j") == {}


def test_the_blocks_of_the_open_stage(ledger: Ledger, client: Any, prefix: str) -> None:
    new_job(ledger, blocks=20, dispatched=12)
    done(ledger, 0, 9)
    claim(ledger, "j", [1, 2], owner="me")
    claim(ledger, "j", [3], owner="me")
    ledger.release("j", FIRST, places(3), owner="me", count_attempt=True, reason="it broke")
    client.hset(f"{prefix}{{j}}:leases", "7", "no lease")
    blocks = ledger.open_blocks("j")
    assert blocks.receipts == bytes([0b10000000, 0b01000000])
    assert blocks.leases.keys() == {1, 2}
    assert blocks.leases[places(1)[0]].owner == "me"
    assert 0 < blocks.leases[places(1)[0]].until - blocks.leases[places(1)[0]].since < 100
    assert (blocks.attempts, blocks.reasons) == ({3: 1}, {3: "it broke"})
    assert ledger.open_blocks("unknown") == OpenBlocks(b"", {}, {}, {})
