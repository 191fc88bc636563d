"""Checks with a probe, a small file, whether every worker reads and writes the same files.

    doctor   writes .lepton-probe-TOKEN with random words in it
    worker   reads the file, writes a digest of the words to .lepton-probe-TOKEN.WORKER
    doctor   reads the digest, and removes both files

A worker reads no file of another name, and reveals nothing of the file but the digest.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lepton_celery.doctor.finding import OK, PROBLEM, WARNING, Case, Finding, judge
from lepton_celery.errors import InputError, StoreTimeout
from lepton_celery.stores.paths import local_path
from lepton_celery.stores.roots import check_allowed, roots_of_all
from lepton_celery.stores.stalls import check_answers

GROUP = "files"

_PREFIX = ".lepton-probe-"
_PROBE_BYTES = 256
"""The longest probe that a worker reads."""
_VISIBLE_S = 5.0
"""Seconds in which a network file system must show a new file."""
_ANSWERED_S = 3.0
"""Seconds in which a folder must answer: a worker's main process does nothing else meanwhile."""
_LITTLE_FREE = 0.05
"""Share of a disk that must be free to avoid a warning."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A file that the doctor writes and the workers must find."""

    folder: Path
    token: str
    words: bytes


@contextmanager
def probe(folder: Path) -> Iterator[Probe]:
    """Write a probe to a folder; it and all answers are removed at the end.

    Raises:
        OSError: this process cannot write there; `unwritable` turns the error into a finding.
    """
    check_answers([folder], _ANSWERED_S)
    made = Probe(folder, secrets.token_hex(16), secrets.token_hex(32).encode())
    with (folder / f"{_PREFIX}{made.token}").open("xb") as file:
        file.write(made.words)
    try:
        yield made
    finally:
        for path in folder.glob(f"{_PREFIX}{made.token}*"):
            with suppress(OSError):
                path.unlink()


def unwritable(folder: Path, error: OSError) -> Finding:
    """The finding about a folder that this process cannot write to."""
    found = f"{folder} cannot be written to from here ({error.strerror or error})"
    return Finding(GROUP, "space", PROBLEM, found, "create it, mount it, or let this user write to it")


def answer_probe(folder: str, token: str, worker: str, roots: Sequence[str]) -> dict[str, str]:
    """Answer a probe on a worker: `kind` and `error` say what went wrong, and are empty if nothing did."""
    if not re.fullmatch(r"[0-9a-f]{32}", token):
        return {"error": "this is not a probe of the doctor", "kind": "refused"}
    try:
        path = local_path(folder)
        check_answers([path], _ANSWERED_S)
        check_allowed(path, roots_of_all([Path(root) for root in roots]))
    except InputError:
        return {"error": "it is outside this worker's allowed_roots", "kind": "refused"}
    except StoreTimeout:
        return {"error": f"its file system did not answer for {_ANSWERED_S:g} s", "kind": "dead"}
    try:
        with (path / f"{_PREFIX}{token}").open("rb") as file:
            words = file.read(_PROBE_BYTES)
    except OSError as error:
        return {"error": f"it does not see the file that was written here ({error.strerror})", "kind": "unseen"}
    try:
        with _answer_file(path, token, worker).open("x", encoding="ascii") as answer:
            answer.write(hashlib.sha256(words).hexdigest())
    except OSError as error:
        return {"error": f"it can read but not write there ({error.strerror})", "kind": "unwritable"}
    return {"error": "", "kind": ""}


def _answer_file(folder: Path, token: str, worker: str) -> Path:
    # a digest, because a worker's name may contain any character
    return folder / f"{_PREFIX}{token}.{hashlib.sha256(worker.encode()).hexdigest()[:16]}"


_ADVICE = {
    "refused": "add it to LEPTON_ALLOWED_ROOTS of that worker, or keep images where it may go",
    "unseen": "mount the same file system under the same path on every worker",
    "dead": "check the mount there, and its server",
    "unwritable": "let the worker's user write there: outputs are written by workers",
    "elsewhere": "mount the same file system there: files that this worker writes do not appear here",
}
"""The change that helps, by the kind of a worker's answer."""


def check_folder(made: Probe, answers: Mapping[str, Mapping[str, Any]], roots: Sequence[str]) -> list[Finding]:
    """The findings about one folder.

    `answers` has the answer of each worker by its name, and `roots` are `allowed_roots` of this machine.
    """
    findings = [*_local(made.folder, roots)]
    failed: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for worker, answer in sorted(answers.items()):
        kind, reason = answer.get("kind", "unseen"), answer.get("error", "it did not look for the file")
        if not kind and not _arrived(made, worker):
            kind, reason = "elsewhere", "it reads and writes there, but its file does not appear here"
        if kind:
            failed[kind, reason].append(worker)
    for (kind, reason), workers in failed.items():
        found = f"{made.folder}: {', '.join(workers)}: {reason}"
        findings.append(Finding(GROUP, "shared", PROBLEM, found, _ADVICE[kind]))
    if good := len(answers) - sum(map(len, failed.values())):
        found = f"{made.folder}: {good} of {len(answers)} workers read and write it"
        findings.append(Finding(GROUP, "shared", OK, found))
    return findings


def _local(folder: Path, roots: Sequence[str]) -> Iterator[Finding]:
    try:
        check_allowed(folder, roots_of_all([Path(root) for root in roots]))
    except InputError:
        found = f"{folder} is outside allowed_roots here ({', '.join(roots)})"
        yield Finding(GROUP, "allowed", PROBLEM, found, "add it to LEPTON_ALLOWED_ROOTS, here and on every worker")
    usage = shutil.disk_usage(folder)
    found = f"{folder}: {usage.free / 1e9:,.1f} GB free"
    advice = "free space: results and intermediate images are written there"
    yield judge(GROUP, "space", found, advice, Case(usage.free < _LITTLE_FREE * usage.total, WARNING))


def _arrived(made: Probe, worker: str) -> bool:
    """Whether the file that the worker wrote appears here within a few seconds."""
    file = _answer_file(made.folder, made.token, worker)
    deadline = time.monotonic() + _VISIBLE_S
    while True:
        with suppress(OSError):
            return file.read_text(encoding="ascii") == hashlib.sha256(made.words).hexdigest()
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
