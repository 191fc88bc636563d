"""Why a site refuses what a user asks for."""

from __future__ import annotations

from lepton_celery.errors import InputError


class NotFound(InputError, LookupError):
    """There is no such file, or it is another user's."""

    http_status = 404


class FileRefused(InputError):
    """A file of a user is no image that can be worked on."""


class QuotaExceeded(InputError):
    """A limit of the user or of the site would be exceeded."""

    http_status = 413


class OffsetConflict(InputError):
    """The client and the site do not agree on how much has been received."""

    http_status = 409


class Busy(InputError):
    """Another request changes the same thing now."""

    http_status = 423


class NotLoggedIn(InputError):
    """Only users who have logged in may do that."""

    http_status = 401
