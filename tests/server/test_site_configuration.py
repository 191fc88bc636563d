"""The configuration of a site: options and settings by their names, the environment, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lepton_celery.config import settings_from
from lepton_celery.errors import InputError
from lepton_celery.web.configuration import OPTIONS, configuration_from
from lepton_celery.web.origin import is_foreign
from lepton_celery.web.pipelines import Pipeline

HERE = Path("/srv/site")


def test_options_and_settings_are_told_apart_and_the_environment_wins() -> None:
    given = {
        "FOLDER": "/data",
        "pipelines": {"cells": {"title": "Count", "steps": ["label"]}, "edges": ["sobel"]},
        "pixels": 1 << 20,
        "keep_s": 60,
        "max_open_jobs": 7,
        "allowed_roots": ["/data"],
    }
    environ = {"LEPTON_SITE_KEEP_S": "90", "LEPTON_MAX_OPEN_JOBS": "9", "LEPTON_SITE_MAY_COMPOSE": "0", "PATH": "/bin"}
    found = configuration_from(given, environ, folder=HERE)
    options = found.options
    assert (options.folder, options.limits.pixels, options.limits.blocks) == (Path("/data"), 1 << 20, 100_000)
    assert configuration_from({"max_blocks": 7}, {}, folder=HERE).options.limits.blocks == 7
    assert configuration_from({"worker_memory_bytes": 7}, {}, folder=HERE).options.limits.worker_memory_bytes == 7
    assert (options.keep_s, options.uploads.keep_s, options.may_compose) == (90.0, 90.0, False)
    assert options.pipelines == {"cells": Pipeline("Count", ("label",)), "edges": Pipeline("edges", ("sobel",))}
    assert (found.settings.max_open_jobs, found.settings.allowed_roots) == (9, ("/data",))
    assert settings_from({}, environ).max_open_jobs == 9, "variables of a site do not disturb workers"
    assert configuration_from({}, {}, folder=HERE).options.folder == HERE
    assert {"folder", "pipelines", "file_bytes", "request_s", "pixels"} <= set(OPTIONS)


@pytest.mark.parametrize(
    ("given", "environ", "words"),
    [
        ({"fodler": "/x"}, {}, "did you mean folder?"),
        ({"max_open_job": 1}, {}, "did you mean max_open_jobs?"),
        ({"zzzzzzzz": 1}, {}, "there are folder, pipelines"),
        ({}, {"LEPTON_SITE_FILE_BITES": "1"}, "did you mean LEPTON_SITE_FILE_BYTES?"),
        ({}, {"LEPTON_SITE_PIPELINES": "x"}, "no option"),
        ({}, {"LEPTON_SITE_PIXELS": "many"}, "LEPTON_SITE_PIXELS is 'many'; give a whole number"),
        ({}, {"LEPTON_SITE_MAY_COMPOSE": "yes"}, "1 or 0"),
        ({}, {"LEPTON_BROKER": "x"}, "LEPTON_BROKER is not a setting"),
        ({"keep_s": -1}, {}, "a number from 0"),
        ({"pixels": 1.5}, {}, "a whole number"),
        ({"pixels": True}, {}, "a whole number"),
        ({"folder": ""}, {}, "give a folder"),
        ({"priority": 3}, {}, "give a text"),
        ({"pipelines": ["label"]}, {}, "by their names"),
        ({"pipelines": {"a": {"steps": []}}}, {}, "a list of texts"),
        ({"pipelines": {"a": {"step": ["label"]}}}, {}, "title, steps, outputs"),
        ({"pipelines": {"a": {"steps": ["label"], "outputs": "x.tif"}}}, {}, "labels.tif"),
    ],
)
def test_what_is_wrong_is_refused_with_what_would_be_right(
    given: dict[str, Any], environ: dict[str, str], words: str
) -> None:
    with pytest.raises(InputError) as caught:
        configuration_from(given, environ, folder=HERE)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, False),
        ({"origin": "https://shop.example"}, False),
        ({"origin": "http://SHOP.example", "sec-fetch-site": "same-origin"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"sec-fetch-site": "cross-site"}, True),
        ({"sec-fetch-site": "same-site"}, True),
        ({"origin": "null"}, True),
        ({"origin": "https://evil.example"}, True),
        ({"origin": "https://shop.example.evil.example"}, True),
        ({"origin": "https://shop.example:8000"}, True),
    ],
)
def test_requests_of_other_sites_pages_are_told_apart(headers: dict[str, str], expected: bool) -> None:
    assert is_foreign(headers, "shop.example") is expected
