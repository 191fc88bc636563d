"""Signs what a submitter sends to workers, so that workers do nothing that somebody without the key has written.

A signature is an HMAC with SHA-256 over canonical bytes (RFC 2104). Keys are a list: the first one signs, and every one is
accepted, so that a key can be replaced while jobs run. Without keys nothing is signed and everything is accepted.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any

from lepton_celery.errors import InputError

MIN_KEY_CHARS = 16
"""Shortest key, in characters; `python -c 'import secrets; print(secrets.token_urlsafe(32))'` makes a good one."""

SIGNATURE = "signature"
"""The field of a signed document that has its signature."""

_DIGEST_CHARS = 32
"""Length of a signature in hexadecimal characters: 128 bits of the HMAC."""


def signature_of(content: Any, purpose: str, keys: Sequence[str]) -> str:
    """The signature of a JSON value with the first key; empty without keys. It is valid for one `purpose` only."""
    return _digest(content, purpose, keys[0]) if keys else ""


def is_signed(content: Any, purpose: str, signature: Any, keys: Sequence[str]) -> bool:
    """Whether one of the keys gives this signature, or there are no keys."""
    if not keys:
        return True
    given = signature if isinstance(signature, str) and signature.isascii() else ""
    return any(hmac.compare_digest(_digest(content, purpose, key), given) for key in keys)


def signed(document: Mapping[str, Any], purpose: str, keys: Sequence[str]) -> dict[str, Any]:
    """The document with its signature, or without one if there are no keys."""
    return {**document, SIGNATURE: signature_of(document, purpose, keys)} if keys else dict(document)


def check_signed(document: Mapping[str, Any], purpose: str, keys: Sequence[str], what: str) -> None:
    """Refuse a document that no key has signed. `what` names it in the error.

    Raises:
        InputError: there are keys, and the signature is missing or wrong.
    """
    content = {name: value for name, value in document.items() if name != SIGNATURE}
    if not is_signed(content, purpose, document.get(SIGNATURE), keys):
        found = "has no signature" if SIGNATURE not in document else "was signed with another key, or changed"
        raise InputError(
            f"{what} {found}; give its submitter and all workers the same LEPTON_SECRET_KEY, and submit the job again"
        )


def mark_of(key: str) -> str:
    """A mark by which two processes can tell whether they have the same key. Nobody can tell the key from it."""
    return _digest("", "mark", key)[:8]


def check_keys(keys: Sequence[str], written: str) -> None:
    """Refuse keys that are too short to be secret; `written` is the name of their setting.

    Raises:
        InputError: a key is too short.
    """
    if any(len(key) < MIN_KEY_CHARS for key in keys):
        raise InputError(
            f"{written} has a key of less than {MIN_KEY_CHARS} characters, which can be guessed; make one with "
            "python -c 'import secrets; print(secrets.token_urlsafe(32))', and separate several by commas"
        )


def _digest(content: Any, purpose: str, key: str) -> str:
    canonical = json.dumps([purpose, content], sort_keys=True, separators=(",", ":")).encode()
    return hmac.new(key.encode("utf-8", "surrogatepass"), canonical, hashlib.sha256).hexdigest()[:_DIGEST_CHARS]
