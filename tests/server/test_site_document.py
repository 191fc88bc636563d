"""The OpenAPI document of a site: bodies of requests, uploads by tus, and results that are files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import lepton_celery as lepton
from lepton_celery.api.answers import Request
from lepton_celery.config import Settings
from lepton_celery.web.site import Site, SiteOptions


@pytest.fixture(scope="module")
def paths() -> Any:
    site = Site(lepton.create_app(Settings(broker_url="redis://127.0.0.1:1/0")), SiteOptions(Path("/nowhere")))
    found = site.answer(Request("GET", "/openapi.json", owner="ada"))
    document = json.loads(found.body)
    assert (found.status, document["openapi"], document["servers"]) == (200, "3.1.0", [{"url": "."}])
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    assert document["components"]["schemas"]["Submission"]["required"] == ["upload", "pipeline"]
    return document["paths"]


def test_a_submission_is_described(paths: Any) -> None:
    submit = paths["/jobs"]["post"]
    [body] = submit["requestBody"]["content"].values()
    assert body["schema"] == {"$ref": "#/components/schemas/Submission"}
    assert "Location" in submit["responses"]["202"]["headers"] and "200" not in submit["responses"]
    assert {"400", "401", "403", "404", "409", "429", "503"} <= set(submit["responses"])


def test_uploads_by_tus_are_described(paths: Any) -> None:
    begin, part = paths["/uploads"]["post"], paths["/uploads/{upload}"]["patch"]
    headers = {one["name"]: one.get("required") for one in begin["parameters"]}
    assert headers == {"Tus-Resumable": True, "Upload-Length": True, "Upload-Metadata": True}
    assert {"Location", "Upload-Offset"} <= set(begin["responses"]["201"]["headers"])
    assert "content" not in part["responses"]["204"] and "Upload-Offset" in part["responses"]["204"]["headers"]
    assert list(part["requestBody"]["content"]) == ["application/offset+octet-stream"]
    assert {"409", "412", "415", "423"} <= set(part["responses"])
    assert "content" not in paths["/uploads/{upload}"]["head"]["responses"]["404"]


def test_results_are_files_with_ranges(paths: Any) -> None:
    result = paths["/jobs/{job}/results/{name}"]["get"]
    assert {"200", "206", "304", "416"} <= set(result["responses"])
    assert list(result["responses"]["206"]["content"]) == ["application/octet-stream"]
    assert "Range" in {one["name"] for one in result["parameters"] if one["in"] == "header"}


def test_the_fleet_is_no_business_of_users(paths: Any) -> None:
    assert not [path for path in paths if path.startswith("/fleet")]
