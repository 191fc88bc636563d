"""Requests to a site's HTTP API, made from its own OpenAPI document: every answer is one that the document tells of."""

from __future__ import annotations

import io
import os
import random
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import skimage
from flask import Flask, request
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from lepton_celery.config import set_configured
from lepton_celery.contrib.flask import Lepton
from tests.server.server import running_server

EXAMPLES = min(int(os.environ.get("FUZZ_EXAMPLES", "60")) // 2, 400)
"""Requests to each operation, of each kind of data; `make fuzz` sends more."""

fuzzed = settings(
    deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=bool(os.environ.get("CI"))
)
"""In CI the same requests each time."""
CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
COINS = (Path(skimage.__file__).parent / "data" / "coins.png").read_bytes()


@schemathesis.serializer("application/offset+octet-stream")
def as_bytes(_: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The document of a site that has a job and an upload, of which some requests name the ids."""
    folder = tmp_path_factory.mktemp("site")
    with running_server(tmp_path_factory.mktemp("server")) as server:
        app = Flask("shop", instance_path=str(folder))
        app.config["CELERY"] = {"broker_url": server.url}
        app.config["LEPTON"] = {"pipelines": {"edges": ["sobel"]}, "owner_files": 50, "max_open_jobs": 20}
        lepton = Lepton(app)
        lepton.owner_loader(lambda: request.headers.get("X-User", "ada"))
        client = app.test_client()
        form = {"image": (io.BytesIO(COINS), "coins.png"), "pipeline": "edges"}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # no worker serves the jobs
            job = client.post("/lepton/uploads", data=form).json["job"]  # type: ignore[index]
            found = schemathesis.openapi.from_wsgi("/lepton/openapi.json", app)
            [upload] = [one["id"] for one in client.get("/lepton/uploads").json["uploads"]]  # type: ignore[index]
            yield found, {"job": job, "upload": upload}
    set_configured(None)


def fuzz(operation: Any, mode: GenerationMode, known: dict[str, str]) -> None:
    """Send requests to an operation; those with ids in their path mostly name one that exists."""
    chosen = random.Random(0)

    @settings(fuzzed, max_examples=EXAMPLES)
    @given(operation.as_strategy(generation_mode=mode))
    def ask(case: Case[Any]) -> None:
        for name in set(case.path_parameters or {}) & set(known):
            if chosen.random() < 0.7:
                case.path_parameters[name] = known[name]
        if isinstance(case.body, dict) and "upload" in case.body and chosen.random() < 0.7:
            case.body["upload"] = known["upload"]
        case.validate_response(case.call(base_url="http://localhost/lepton"), checks=CHECKS)

    with suppress(Unsatisfiable):  # nothing of it can be wrong
        ask()


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_every_answer_is_one_that_the_document_tells_of(
    schema: tuple[Any, dict[str, str]], mode: GenerationMode
) -> None:
    document, known = schema
    operations = [one.ok() for one in document.get_all_operations()]
    assert len(operations) > 20
    wrong = []
    for operation in operations:
        try:
            fuzz(operation, mode, known)
        except (Exception, FailureGroup) as error:
            wrong.append(f"{operation.label}: {type(error).__name__}: {error} {getattr(error, '__notes__', '')}")
    assert not wrong, "\n\n".join(wrong)
