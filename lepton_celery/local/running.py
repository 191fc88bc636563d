"""The state folder of a stack: the file by which other processes find the stack, and the lock that prevents a second."""

from __future__ import annotations

import json
import os
from pathlib import Path

from lepton_celery.jobs.local_stack import STACK_FILE, StackInfo
from lepton_celery.local.process import StackError
from lepton_celery.stores.documents import to_document, write_atomically
from lepton_celery.stores.publish import wait_for_lock


def write_running(directory: Path, info: StackInfo) -> None:
    """Write the file by which other processes of this user find the stack."""
    # the file holds the broker's password, so no other user may read it at any moment
    write_atomically(directory / STACK_FILE, json.dumps(to_document(info), indent=2).encode(), mode=0o600)


def claim(directory: Path) -> int:
    """Make this process the owner of the stack on `directory`, until it dies or closes the descriptor that is returned.

    Raises:
        StackError: another process owns a stack there; the message names it.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = directory / "stack.lock"
    lock = take_lock(file)
    if lock is None:
        raise StackError(
            f"a stack runs on {directory} already, owned by process {file.read_text() or 'unknown'}; stop that one first "
            "(Ctrl-C in its terminal) or give another folder"
        )
    os.truncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    return lock


def take_lock(file: Path, *, timeout_s: float = 0.0) -> int | None:
    """The descriptor of a file that this process has locked; None if another process holds it until the time is up."""
    lock = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    is_ours = False
    try:
        is_ours = wait_for_lock(lock, timeout_s)
    finally:
        if not is_ours:
            os.close(lock)
    return lock if is_ours else None
