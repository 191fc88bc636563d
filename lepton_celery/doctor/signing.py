"""Whether jobs are signed, and whether the workers accept the signatures of this process."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from lepton_celery.config import Settings
from lepton_celery.doctor.about import KEYS
from lepton_celery.doctor.finding import OK, PROBLEM, WARNING, Case, Finding, judge
from lepton_celery.doctor.workers import Fleet

GROUP = "signing"

_HERE = frozenset({"localhost", "127.0.0.1", "::1", None})
"""Hosts of servers that only this machine reaches; None is a socket."""
_MAKE_ONE = (
    "set LEPTON_SECRET_KEY to the same secret for submitters and workers; "
    "python -c 'import secrets; print(secrets.token_urlsafe(32))' makes one"
)


def check_signing(settings: Settings, fleet: Fleet | None) -> Iterator[Finding]:
    """The findings about signatures; `fleet` is None if no workers were asked."""
    if not settings.secret_key:
        folders = ", ".join(settings.allowed_roots) or "every folder that they may"
        yield judge(
            GROUP,
            "jobs",
            f"nothing is signed: whoever can write to the broker or the ledger can have workers read and write {folders}",
            _MAKE_ONE,
            Case(not _is_local(settings), WARNING),
        )
        return
    keys = len(settings.secret_key)
    yield Finding(GROUP, "jobs", OK, f"signed with {'one key' if keys == 1 else f'the first of {keys} keys'}")
    if fleet is not None and fleet.abouts:
        yield _check_workers(fleet)


def _check_workers(fleet: Fleet) -> Finding:
    """Whether every worker accepts the first key of this process."""
    first = fleet.here.settings[KEYS][0]
    others = {name: list(about.settings.get(KEYS, ())) for name, about in sorted(fleet.abouts.items())}
    without = [name for name, keys in others.items() if not keys]
    refusing = [name for name, keys in others.items() if keys and first not in keys]
    found = "all workers accept the key"
    if refusing:
        found = f"{', '.join(refusing)} refuse what is signed here"
    elif without:
        found = f"{', '.join(without)} have no key, and accept what nobody has signed"
    return judge(
        GROUP,
        "workers",
        found,
        "give them the same LEPTON_SECRET_KEY, and the new key first only when all of them have it",
        Case(refusing, PROBLEM),
        Case(without, WARNING),
    )


def _is_local(settings: Settings) -> bool:
    """Whether broker and ledger are on this machine."""
    try:
        return all(urlsplit(url).hostname in _HERE for url in (settings.broker_url, settings.ledger))
    except ValueError:
        return False
