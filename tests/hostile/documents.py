"""Manifests, entries of the ledger and journals as an attacker would write them, made of honest ones with a seed."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ANYTHING: list[Any] = [
    *(None, True, -1, 0, 1, 2**31, 2**53, 2**70, 1e308, -1e308, 0.5),
    *("", "x", "x" * 20_000, "\ud800", "\x1b[2J\n[ERROR] forged", "[/red]", "../..", "/", "/etc/passwd", "/dev/zero"),
    *([], [[]], [1] * 5000, [-1, -1], [2**40, 2**40], {}, {"node": 0}, {"array": [1], "dtype": "O"}),
    *("os:system", "lepton.source", "numpy.full_like", "V500000000", "object", "S9999999999", "<f8", "float64"),
]
"""Values of other types, out of range, or with another meaning where they stand."""

FIELDS: dict[str, list[str]] = {
    "state": ["bogus", "", "RUNNING", "done\n", "damaged"],
    "lane": ["", "celery", "x" * 1000, "../..", "\x1b[2J", "interactive"],
    "title": ["[red]x[/blue]", "\x1b[2J\n[ERROR] forged", "\u202egnp", "x" * 100_000, "<script>"],
    "stage": ["-1", "99", "1e3", "nan", "x", "", str(2**70)],
    "stages": ["0", "-1", "1.5", "x", str(2**70)],
    "total": ["-1", "0", str(10**12), str(2**70), "x", "nan"],
    "done": ["-1", str(10**12), "x"],
    "dispatched": ["-1", str(10**12), str(2**70), "x"],
    "created": ["nan", "inf", "1e300", "-1e300", "x", ""],
    "updated": ["nan", "inf", "1e300", "x"],
    "version": ["0", "99", "", "x"],
    "fence": ["x", str(2**70)],
    "merge_fence": ["x", "7"],
    "filled": ["-1", "x"],
}
"""Values of the fields of a job's entry."""


def paths_of(document: Any, begin: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each value of a JSON document."""
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for name, value in items:
        yield (*begin, name)
        yield from paths_of(value, (*begin, name))


def changed(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The document with another value at a path; without it if the value is `...`."""
    result = copy.deepcopy(document)
    at = result
    for name in path[:-1]:
        at = at[name]
    if value is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return result


def mutations(document: dict[str, Any], seed: int, count: int) -> Iterator[tuple[str, Any]]:
    """Documents with one to three changes each, and what was changed."""
    chosen = random.Random(seed)
    for _ in range(count):
        made, what = document, []
        for _ in range(chosen.choice((1, 1, 2, 3))):
            path = chosen.choice(list(paths_of(made)) or [("version",)])
            value = chosen.choice([..., *ANYTHING])
            made = changed(made, path, value)
            what.append(f"{'.'.join(map(str, path))} = {value!r:.30}")
        yield "; ".join(what), made


def elsewhere(document: dict[str, Any], job_id: str, outside: Path) -> Iterator[tuple[str, Any]]:
    """Manifests that name files outside of the allowed folders, and folders that are not the job's."""
    here = json.loads(json.dumps(document).replace(document["job_id"], job_id))
    for folder in (outside, outside / f".lepton-{job_id}", outside.parent, Path("/"), Path(here["workspace"]).parent):
        yield f"workspace {folder}", {**here, "workspace": str(folder)}
        yield f"scratch {folder}", changed(here, ("options", "scratch"), str(folder))
    yield "workspace with ..", {**here, "workspace": f"{here['workspace']}/../../{outside.name}/.lepton-{job_id}"}
    for path in list(paths_of(here)):
        if path[-1] == "path":
            for name in ("kept.npy", "new.npy", "folder", f".lepton-{job_id}"):
                yield (
                    f"output {name}",
                    changed(changed(here, path, str(outside / name)), ("options", "overwrite"), True),
                )
        if path[-1] == "url":
            for url in (
                str(outside / "kept.npy"),
                "/etc/passwd",
                "/dev/zero",
                "file:///proc/self/environ",
                "http://x/y",
            ):
                yield f"input {url}", changed(here, path, url)
    for other in ("../..", "..", "", ".", "a/b", "x\0y", "\x1b[2J", f"{job_id}/../other", "0" * 500):
        yield f"job id {other!r}", {**here, "job_id": other}


def no_documents() -> Iterator[tuple[str, str]]:
    """Texts that are no document of this package."""
    for text in (
        "",
        "{",
        "null",
        "[]",
        "{}",
        "1",
        '"x"',
        "[" * 100_000,
        '{"a":' * 50_000,
        "9" * 5000,
        '{"version": 99}',
    ):
        yield f"text {text[:8]}", text
    yield "NaN", '{"version": NaN}'
    yield "many keys", json.dumps(dict.fromkeys(map(str, range(200_000))))


def journal_lines() -> list[bytes]:
    """Receipts that no worker has written."""
    numbers = [b"-1\n", b"1e9\n", b"0-99999999999\n", b"9" * 30 + b"\n"]
    return [b"1 2 3", b"x\n", b"\xff\xfe\n", b"\0" * 4096, *numbers, b"1 2 3\n"]
