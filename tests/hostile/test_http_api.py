"""Requests to the HTTP API of sites and of Flower, made from the OpenAPI document that each serves: every answer is one that
the document tells of.
"""

from __future__ import annotations

import base64
import io
import os
import random
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import schemathesis
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

from lepton_celery import create_app, submit
from lepton_celery import open as open_image
from lepton_celery.config import load_settings, set_configured
from lepton_celery.contrib.flask import Lepton
from lepton_celery.local.stack import LocalStack, Project
from lepton_celery.skimage import filters
from tests.hostile.attacked import COINS, attacked, make_accounts, stored
from tests.server.server import Server, running_server
from tests.stacks import short_lived

EXAMPLES = min(int(os.environ.get("FUZZ_EXAMPLES", "60")) // 5, 400)
"""Requests to each operation, of each kind of data; `make fuzz` sends more."""

fuzzed = settings(
    deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=bool(os.environ.get("CI"))
)
"""In CI the same requests each time."""
URI_TOO_LONG = 414
CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@schemathesis.serializer("application/offset+octet-stream")
def as_bytes(_: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


@dataclass(frozen=True)
class Served:
    """A document where it is served, and what requests made from it may name."""

    document: Any
    base_url: str
    headers: Mapping[str, str]
    """Those of somebody who has logged in."""
    known: Mapping[str, str]
    """Ids of a job and an upload that exist."""
    examples: int


@contextmanager
def in_flask(server: Server, folder: Path) -> Iterator[Served]:
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
        yield Served(found, "http://localhost/lepton", {}, {"job": job, "upload": upload}, EXAMPLES)
    set_configured(None)


@contextmanager
def in_django(server: Server, folder: Path) -> Iterator[Served]:
    """Under gunicorn, with a session and the token against forged requests."""
    (folder / "database").mkdir()
    make_accounts(folder / "database")
    with attacked("django", server.url, folder, folder / "database") as site, site.client("ada") as ada:
        known = {"job": site.sent(ada, "a.png", COINS).json()["job"], "upload": stored(ada)}
        url = f"http://127.0.0.1:{site.port}/lepton"
        found = schemathesis.openapi.from_url(f"{url}/openapi.json", headers=site.headers("ada"))
        yield Served(found, url, site.headers("ada"), known, EXAMPLES // 2)


@contextmanager
def in_flower(server: Server, folder: Path) -> Iterator[Served]:
    """A real process of Flower, with a password, which shows the jobs of everybody."""
    login = "someone:a secret"
    headers = {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}
    project = Project(settings="test", env={"LEPTON_FLOWER_AUTH": login})
    image = folder / "coins.png"
    image.write_bytes(COINS)
    app = create_app(load_settings({"LEPTON_SETTINGS": "test", "LEPTON_BROKER_URL": server.url}))
    with short_lived(LocalStack(folder / "flower", workers=0, broker_url=server.url, project=project)) as stack:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # no worker serves the job
            job = submit({str(folder / "edges.tif"): filters.sobel(open_image(image))}, app=app)
        url = f"{stack.flower_url}/api/lepton/v1"
        found = schemathesis.openapi.from_url(f"{url}/openapi.json", headers=headers)
        yield Served(found, url, headers, {"job": job.id}, EXAMPLES // 2)


SERVERS = {"flask": in_flask, "django": in_django, "flower": in_flower}


@pytest.fixture(scope="module", params=list(SERVERS))
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The document of a server that has a job and an upload, of which some requests name the ids."""
    with (
        running_server(tmp_path_factory.mktemp("server")) as server,
        SERVERS[request.param](server, tmp_path_factory.mktemp("site")) as found,
    ):
        yield found


def fuzz(operation: Any, mode: GenerationMode, served: Served) -> None:
    """Send requests to an operation; those with ids in their path mostly name one that exists."""
    chosen, known = random.Random(0), served.known

    @settings(fuzzed, max_examples=served.examples)
    @given(operation.as_strategy(generation_mode=mode))
    def ask(case: Case[Any]) -> None:
        for name in set(case.path_parameters or {}) & set(known):
            if chosen.random() < 0.7:
                case.path_parameters[name] = known[name]
        if isinstance(case.body, dict) and "upload" in case.body and chosen.random() < 0.7:
            case.body["upload"] = known["upload"]
        answer = case.call(base_url=served.base_url, headers=dict(served.headers))
        if answer.status_code != URI_TOO_LONG:  # the web server's, of which no document tells
            case.validate_response(answer, checks=CHECKS)

    with suppress(Unsatisfiable):  # nothing of it can be wrong
        ask()


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_every_answer_is_one_that_the_document_tells_of(served: Served, mode: GenerationMode) -> None:
    operations = [one.ok() for one in served.document.get_all_operations()]
    assert len(operations) > 15
    wrong = []
    for operation in operations:
        try:
            fuzz(operation, mode, served)
        except (Exception, FailureGroup) as error:
            wrong.append(f"{operation.label}: {type(error).__name__}: {error} {getattr(error, '__notes__', '')}")
    assert not wrong, "\n\n".join(wrong)
