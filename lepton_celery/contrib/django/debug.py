"""Django's page about an error, without the passwords of brokers: it shows all settings, variables and the environment."""

from __future__ import annotations

import os
from types import FrameType
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.views.debug import SafeExceptionReporterFilter

from lepton_celery.text import password_of, shown

_CHARS = 4000
"""Longest value on the page, in characters."""


class WithoutPasswords(SafeExceptionReporterFilter):
    """Leaves out users and passwords of URLs. Django hides settings by their names, CELERY_BROKER_URL not among them.

    `DEFAULT_EXCEPTION_REPORTER_FILTER = "lepton_celery.contrib.django.debug.WithoutPasswords"` in the settings turns it on.
    """

    def cleanse_setting(self, key: int | str, value: Any) -> Any:
        """A setting, or a variable of the environment."""
        cleansed = super().cleanse_setting(key, value)
        return _without_passwords(cleansed) if isinstance(cleansed, str) else cleansed

    def get_traceback_frame_variables(self, request: HttpRequest | None, tb_frame: FrameType) -> Any:
        """The variables of a function, as text."""
        return [(name, _Text(value)) for name, value in super().get_traceback_frame_variables(request, tb_frame)]


class _Text:
    """A value that is shown without passwords."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __repr__(self) -> str:
        return _without_passwords(repr(self._value))


def _without_passwords(text: str) -> str:
    """A text without the parts of URLs that are secret, and without the passwords that this site uses."""
    environment = [value for name, value in os.environ.items() if name.startswith("LEPTON_")]
    named = [getattr(settings, name, "") or "" for name in ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND")]
    for password in filter(None, (password_of(url) for url in [*named, *environment] if isinstance(url, str))):
        text = text.replace(password, "***")
    return shown(text, _CHARS)
