"""Who asks: as the site's own callback says, or Flask-Login."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from flask import current_app

from lepton_celery.errors import InputError
from lepton_celery.tenants import check_owner

OwnerLoader = Callable[[], object]


def owner_by(load: OwnerLoader | None) -> str | None:
    """The owner of the files and jobs of the caller; None for somebody who has not logged in.

    Raises:
        InputError: nobody said how to find him, or what was found is no name.
    """
    if load is None:
        load = _by_flask_login if hasattr(current_app, "login_manager") else None
    if load is None:
        raise InputError(
            "lepton does not know whose files these are; give it a function with @lepton.owner_loader that returns a text "
            "for the user who has logged in, such as session.get('user'), and None for others; or use Flask-Login"
        )
    found = load()
    return check_owner(str(found)) if found not in (None, "", False) else None


def _by_flask_login() -> Any:
    user = import_module("flask_login").current_user
    return user.get_id() if user.is_authenticated else None
