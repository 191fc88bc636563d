"""Entries of jobs in the ledger as an accident or an attacker leaves them."""

from __future__ import annotations

from typing import Any

_FIELDS = {
    "wrong stage": {"stage": "nowhere"},
    "no stages": {"stages": "0"},
    "wrong count": {"dispatched": "many"},
    "huge count": {"dispatched": str(10**12), "total": str(10**12)},
    "infinite count": {"dispatched": "inf", "total": "inf"},
    "wrong state": {"state": "exploded"},
    "wrong lane": {"lane": "motorway"},
    "wrong version": {"version": "3"},
    "wrong time": {"updated": "yesterday"},
    "wrong check": {"check_stage": "0", "check_at": "x", "check_wait": "y"},
}
_MANIFESTS = {
    "no JSON": "{",
    "empty": "{}",
    "null plan": '{"version": 4, "plan": null}',
    "deep": "[" * 10**5,
    "of another release": '{"version": 99}',
}
_LISTS = ("job", "leases", "stats", "manifest", "receipts", "slots")

DAMAGES = (
    *_FIELDS,
    *(f"manifest {kind}" for kind in _MANIFESTS),
    *(f"type of {name}" for name in _LISTS),
    "lease",
    "place of a lease",
    "statistics",
)
"""The kinds of damage."""


def damage(broker: Any, job_id: str, kind: str) -> None:
    """Damage the entry of a running job."""

    def key(name: str) -> str:
        return f"lepton:{{{job_id}}}:{name}"

    if kind in _FIELDS:
        broker.hset(key("job"), mapping=_FIELDS[kind])
    elif kind.startswith("manifest "):
        broker.set(key("manifest"), _MANIFESTS[kind.removeprefix("manifest ")])
    elif kind.startswith("type of "):
        name = kind.removeprefix("type of ")
        broker.delete(key(name))
        broker.rpush(key(name), "a list")
    elif kind == "lease":
        broker.hset(key("leases"), "0", "who knows")
    elif kind == "place of a lease":
        broker.hset(key("leases"), "here", "1.0 call 1.0 owner")
    else:
        broker.hset(key("stats"), "stage when", "x")
