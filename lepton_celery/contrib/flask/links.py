"""Addresses of results that work without a login, until they expire."""

from __future__ import annotations

import time
from typing import NamedTuple

from flask import Flask
from itsdangerous import BadData, URLSafeSerializer

from lepton_celery.errors import InputError
from lepton_celery.web.refusals import NotFound


class Link(NamedTuple):
    """What an address stands for."""

    owner: str
    job_id: str
    name: str
    """The name of the result."""


def signed(app: Flask, link: Link, expires_s: float) -> str:
    """The signed text of a link.

    Raises:
        InputError: the site has no secret key.
    """
    return str(_serializer(app).dumps([*link, int(time.time() + expires_s)]))


def read(app: Flask, text: str) -> Link:
    """The link that a text stands for.

    Raises:
        NotFound: nobody with the secret key has signed it, or it has expired.
    """
    try:
        *parts, expires = _serializer(app).loads(text)
    except BadData:
        raise NotFound("this address is not one of this site; ask for a new one") from None
    if expires < time.time():
        raise NotFound("this address has expired; ask for a new one")
    return Link(*parts)


def _serializer(app: Flask) -> URLSafeSerializer:
    if not app.secret_key:
        raise InputError("addresses of results are signed, and the site has no key; set app.secret_key")
    keys = [*(app.config.get("SECRET_KEY_FALLBACKS") or []), app.secret_key]
    return URLSafeSerializer(keys, salt="lepton-celery-result")
