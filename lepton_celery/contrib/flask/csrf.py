"""Flask-WTF's token, asked for when it is known who sends a form and that the form is not too long.

`CSRFProtect` asks for it before any view is called, and reads all of a form to find it. It does so for other addresses; for
those of the extension, `api` has it look.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Flask, current_app, request

_EXEMPT = "lepton_csrf_exempt"
"""The extension of an application that says whether the site itself wants no token for the addresses of the blueprint."""


def ask_later(app: Flask, made: Blueprint) -> None:
    """Have `check_token` look for the token in requests for a blueprint, instead of `CSRFProtect`, if the site has that."""

    def exempt() -> None:
        protection: Any = current_app.extensions.get("csrf")
        if protection is not None and _EXEMPT not in current_app.extensions:
            current_app.extensions[_EXEMPT] = made in protection._exempt_blueprints  # noqa: SLF001 - there is no other way
            protection.exempt(made)

    app.before_request_funcs.setdefault(None, []).insert(0, exempt)  # before that of CSRFProtect


def check_token() -> None:
    """Look for the token in a request, if the site protects its views by default.

    Raises:
        CSRFError: it is missing or wrong.
    """
    protection: Any = current_app.extensions.get("csrf")
    wanted = current_app.config.get("WTF_CSRF_ENABLED") and current_app.config.get("WTF_CSRF_CHECK_DEFAULT")
    if protection is not None and wanted and not current_app.extensions.get(_EXEMPT) and request.endpoint:
        protection.protect()
