"""The configuration of a site, as its framework has it (`LEPTON` of Django and Flask), and the environment, which wins.

Options of the site have variables that begin with `LEPTON_SITE_`, settings of jobs those of `lepton_celery.config`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_type_hints

from lepton_celery.config import SITE_PREFIX, Settings, settings_from
from lepton_celery.errors import InputError
from lepton_celery.planning.options import Limits
from lepton_celery.text import quoted
from lepton_celery.web.pipelines import Pipeline
from lepton_celery.web.site import SiteOptions
from lepton_celery.web.uploads import UploadLimits

_SITE = tuple(one.name for one in fields(SiteOptions) if one.name not in ("uploads", "limits"))
_UPLOADS = tuple(one.name for one in fields(UploadLimits))
_LIMITS = tuple(one.name for one in fields(Limits) if one.name != "worker_memory_bytes")  # that is a setting of workers
OPTIONS = tuple(dict.fromkeys((*_SITE, *_UPLOADS, *_LIMITS)))
"""The options of a site; `keep_s` holds for uploads and for results."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """What the configuration of a site says."""

    options: SiteOptions
    settings: Settings
    """The settings of jobs."""


def configuration_from(
    given: Mapping[str, Any], environ: Mapping[str, str], *, folder: Path, where: str = "LEPTON"
) -> Configuration:
    """The configuration of a site.

    Args:
        given: options and settings by their names, in small or capital letters.
        environ: the environment.
        folder: where uploads and results are kept unless the configuration says where.
        where: what people call `given`, for messages.

    Raises:
        InputError: a name is unknown, or a value is wrong; the message says what would be right.
    """
    options: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    names = [one.name for one in fields(Settings)]
    for written, value in given.items():
        name = str(written).lower()
        if name not in OPTIONS and name not in names:
            raise _unknown(f"{where} has {quoted(written)}", name, [*OPTIONS, *names], "")
        if name in OPTIONS:
            options[name] = _checked(name, value, f"{where}[{quoted(written)}]")
        else:
            settings[name] = tuple(value) if isinstance(value, list) else value
    for variable, text in environ.items():
        if not variable.startswith(SITE_PREFIX) or not text:
            continue
        name = variable.removeprefix(SITE_PREFIX).lower()
        if name not in OPTIONS or name == "pipelines":
            known = [one for one in OPTIONS if one != "pipelines"]
            raise _unknown(f"the environment has {variable}", name, known, SITE_PREFIX)
        options[name] = _checked(name, _parsed(name, text), variable)
    found = settings_from(settings, environ)
    return Configuration(_site_options({"folder": folder, **options}, Limits.of(found)), found)


def _unknown(what: str, name: str, known: Sequence[str], prefix: str) -> InputError:
    written = {one: f"{prefix}{one.upper()}" if prefix else one for one in known}
    if close := get_close_matches(name, known, n=1):
        return InputError(f"{what}, which is no option; did you mean {written[close[0]]}?")
    return InputError(f"{what}, which is no option; there are {', '.join(written.values())}")


def _site_options(given: Mapping[str, Any], of_jobs: Limits) -> SiteOptions:
    """The options; limits that are not given are those of a site, or of all jobs if these are lower."""
    site = SiteOptions(Path()).limits
    lower = {name: min(getattr(site, name), getattr(of_jobs, name)) for name in _LIMITS}
    return SiteOptions(
        **{name: given[name] for name in _SITE if name in given},
        uploads=UploadLimits(**{name: given[name] for name in _UPLOADS if name in given}),
        limits=replace(of_jobs, **lower | {name: given[name] for name in _LIMITS if name in given}),
    )


def _types() -> dict[str, type]:
    return get_type_hints(Limits) | get_type_hints(UploadLimits) | get_type_hints(SiteOptions)


def _parsed(name: str, text: str) -> Any:
    """The value of a variable; a text that does not have the option's type is refused as such."""
    kind = _types()[name]
    if kind is bool:
        return {"0": False, "1": True}.get(text, text)
    if kind not in (int, float):
        return text
    try:
        return kind(text)
    except ValueError:
        return text


def _checked(name: str, value: Any, written: str) -> Any:
    """The value of an option in its type."""
    if name == "pipelines":
        return _pipelines(value, written)
    kind = _types()[name]
    if kind is Path and isinstance(value, str | Path) and str(value):
        return Path(value).absolute()
    if kind is bool and isinstance(value, bool):
        return value
    if kind is str and isinstance(value, str):
        return value
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind in (int, float) and is_number and 0 <= value < math.inf and kind(value) == value:
        return kind(value)
    wanted = {Path: "a folder", bool: "True or False (1 or 0 in the environment)", str: "a text"}.get(
        kind, "a number from 0" if kind is float else "a whole number from 0"
    )
    raise InputError(f"{written} is {quoted(value)}; give {wanted}")


def _pipelines(value: Any, written: str) -> dict[str, Pipeline]:
    """Pipelines by their names: objects, mappings with `title`, `steps` and `outputs`, or lists of steps."""
    example = '{"cells": {"title": "Count cells", "steps": ["gaussian:sigma=2", "threshold:otsu", "label"]}}'
    if not isinstance(value, Mapping):
        raise InputError(f"{written} is {quoted(value)}; give pipelines by their names, such as {example}")
    return {name: _pipeline(name, one, f"{written}[{quoted(name)}]", example) for name, one in value.items()}


def _pipeline(name: object, value: Any, written: str, example: str) -> Pipeline:
    if isinstance(value, Pipeline):
        return value
    if isinstance(value, list | tuple):
        value = {"steps": value}
    known = [one.name for one in fields(Pipeline)]
    if not isinstance(value, Mapping) or not set(value) <= set(known) or not isinstance(name, str):
        raise InputError(f"{written} is {quoted(value)}; give {', '.join(known)}, such as {example}")
    steps, outputs = value.get("steps"), value.get("outputs", {})
    if not isinstance(steps, list | tuple) or not steps or not all(isinstance(step, str) for step in steps):
        raise InputError(f"{written} has the steps {quoted(steps)}; give a list of texts, such as {example}")
    if not isinstance(outputs, Mapping):
        raise InputError(f'{written} has the outputs {quoted(outputs)}; give {{"labels.tif": "labels"}}, or none')
    as_gray = value.get("as_gray", False)
    if not isinstance(as_gray, bool):
        raise InputError(f"{written} has as_gray {quoted(as_gray)}; give True or False")
    return Pipeline(str(value.get("title") or name), tuple(steps), dict(outputs), as_gray)
