"""The warnings of a call of a lazy function, which name the caller's line."""

from __future__ import annotations

import warnings
from typing import Any

from lepton_celery.catalogue.arrays import Arguments
from lepton_celery.catalogue.entries import Entry
from lepton_celery.catalogue.promise import Exactness
from lepton_celery.catalogue.source_warnings import refuse_both, renamed, source_warnings
from lepton_celery.errors import NotExactWarning

_CALLER = 4
"""The caller of a lazy function, from here: over `apply` and the lazy function."""


def warn(entry: Entry, arguments: Arguments) -> None:
    """Warn of what scikit-image warns of, and if the result may differ from scikit-image's."""
    for warning in source_warnings(entry.name, entry.complete(arguments)):
        warnings.warn(warning, stacklevel=_CALLER)
    promise = entry.promised(arguments)
    if promise.exactness is not Exactness.IDENTICAL:
        warnings.warn(
            f"{entry.name} is {promise} and not identical to the whole-image result: {promise.reason}",
            NotExactWarning,
            stacklevel=_CALLER,
        )


def with_new_names(entry: Entry, arguments: Arguments) -> dict[str, Any]:
    """The arguments with the new names of deprecated parameters, of which the caller is warned."""
    given, warning = renamed(entry.name, arguments)
    if warning is not None:
        warnings.warn(warning, stacklevel=_CALLER)
        refuse_both(entry.name, arguments)
    return given
