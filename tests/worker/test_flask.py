"""A Flask site with the extension, on real workers: uploads, jobs, results, events, signed addresses and refusals."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flask_login
import numpy as np
import pytest
import skimage
import tifffile
from celery import Celery
from flask import Flask, render_template_string, request
from flask.testing import FlaskClient
from flask_wtf.csrf import CSRFProtect
from skimage import data, filters, measure

from lepton_celery.config import set_configured
from lepton_celery.contrib.flask import Lepton
from lepton_celery.errors import InputError
from lepton_celery.local.stack import LocalStack
from tests.waiting import eventually

pytestmark = pytest.mark.worker

COINS = (Path(skimage.__file__).parent / "data" / "coins.png").read_bytes()
PIPELINES = {
    "cells": {
        "title": "Count cells",
        "steps": ["smooth=gaussian:sigma=2", "mask=threshold:otsu", "labels=label"],
        "outputs": {"labels.tif": "labels", "mask.npy": "mask"},
    }
}
TUS = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}


@pytest.fixture(scope="module", autouse=True)
def no_settings_stay() -> Iterator[None]:
    yield
    set_configured(None)


def made(stack: LocalStack, folder: Path, **config: Any) -> tuple[Flask, Lepton]:
    """A site whose users log in by a header."""
    app = Flask("shop", instance_path=str(folder))
    app.config.update(
        SECRET_KEY="a key of the tests",
        CELERY={"broker_url": stack.broker_url, "result_backend": stack.broker_url},
        LEPTON={"pipelines": PIPELINES, "folder": folder / "media", **config},
    )
    lepton = Lepton()
    lepton.owner_loader(lambda: request.headers.get("X-User"))
    lepton.init_app(app)
    return app, lepton


@pytest.fixture(scope="module")
def site(workers: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> tuple[Flask, Lepton]:
    app, lepton = made(workers, tmp_path_factory.mktemp("site"))

    @app.post("/photos")
    def photos() -> Any:
        job = lepton.submit(lepton.store(request.files["image"]), "cells", title=request.form.get("title", ""))
        return render_template_string("{{ lepton_job(job) }}", job=job)

    @app.get("/links/<job>/<name>")
    def link(job: str, name: str) -> Any:
        return lepton.result_url(job, name, expires_s=float(request.args.get("seconds", 60)), external=True)

    return app, lepton


@pytest.fixture
def ada(site: tuple[Flask, Lepton]) -> FlaskClient:
    return client_of(site[0], "ada")


def client_of(app: Flask, user: str) -> FlaskClient:
    client = app.test_client()
    client.environ_base["HTTP_X_USER"] = user
    return client


def ended(client: FlaskClient, job: str) -> dict[str, Any]:
    def state() -> str:
        return str(client.get(f"/lepton/jobs/{job}").json["summary"]["state"])  # type: ignore[index]

    eventually(lambda: state() != "running", "the end", 60)
    found: dict[str, Any] = client.get(f"/lepton/jobs/{job}").json  # type: ignore[assignment]
    return found


def test_a_form_becomes_a_job_and_its_results_come_in_ranges(ada: FlaskClient) -> None:
    answer = ada.post("/lepton/uploads", data={"image": (io.BytesIO(COINS), "coins.png"), "pipeline": "cells"})
    assert answer.status_code == 202, answer.text
    assert answer.headers["Location"] == f"/lepton/jobs/{answer.json['job']}"  # type: ignore[index]
    job = answer.json["job"]  # type: ignore[index]
    assert ended(ada, job)["summary"]["title"] == "Count cells: coins.png"
    smooth = filters.gaussian(data.coins(), sigma=2)
    expected = measure.label(smooth > filters.threshold_otsu(smooth))
    whole = ada.get(f"/lepton/jobs/{job}/results/labels.tif")
    assert (tifffile.imread(io.BytesIO(whole.data)) == expected).all()
    part = ada.get(f"/lepton/jobs/{job}/results/labels.tif", headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.data) == (206, whole.data[10:20])
    head = ada.head(f"/lepton/jobs/{job}/results/labels.tif")
    assert (head.status_code, head.content_length, head.data) == (200, len(whole.data), b"")


def test_tus_sends_in_pieces_and_goes_on(ada: FlaskClient) -> None:
    name = base64.b64encode("Ärger.png".encode()).decode()
    about = {"Upload-Length": str(len(COINS)), "Upload-Metadata": f"filename {name}"}
    begun = ada.post("/lepton/uploads", headers={**TUS, **about}, data=COINS[:1000])
    assert (begun.status_code, begun.headers["Upload-Offset"]) == (201, "1000")
    path = begun.headers["Location"]
    sent = ada.patch(path, headers={**TUS, "Upload-Offset": "1000"}, data=COINS[1000:])
    assert (sent.status_code, sent.headers["Upload-Offset"]) == (204, str(len(COINS)))
    assert ada.head(path, headers=TUS).headers["Upload-Length"] == str(len(COINS))
    assert ada.options("/lepton/uploads").headers["Tus-Version"] == "1.0.0"
    [mine] = [one for one in ada.get("/lepton/uploads").json["uploads"] if one["name"] == "Ärger.png"]  # type: ignore[index]
    submitted = ada.post("/lepton/jobs", json={"upload": mine["id"], "pipeline": "cells"})
    assert submitted.status_code == 202, submitted.text
    job = submitted.json["job"]  # type: ignore[index]
    assert ended(ada, job)["summary"]["state"] == "done"
    assert ada.post(f"/lepton/jobs/{job}/cancel").status_code == 409
    assert ada.post(f"/lepton/jobs/{job}/retry").status_code in (200, 409)
    assert ada.delete(path, headers=TUS).status_code == 204


def test_a_view_submits_and_a_template_shows_the_job(ada: FlaskClient, site: tuple[Flask, Lepton]) -> None:
    evil = "<img src=x onerror=alert(1)>.png"
    page = ada.post("/photos", data={"image": (io.BytesIO(COINS), evil), "title": evil})
    assert page.status_code == 200, page.text
    assert '<lepton-job job="' in page.text and 'src="/lepton/static/job.js"' in page.text
    assert "onerror" not in page.text and "style=" not in page.text
    for name, kind in (("job.js", "text/javascript"), ("job.css", "text/css"), ("upload.js", "text/javascript")):
        file = client_of(site[0], "").get(f"/lepton/static/{name}")
        assert (file.status_code, file.mimetype) == (200, kind)
        file.close()
    refused = ada.post("/photos", data={"image": (io.BytesIO(b"no picture"), "x.png")})
    assert refused.status_code == 400 and "Traceback" not in refused.text
    assert client_of(site[0], "").post("/photos", data={"image": (io.BytesIO(COINS), "a.png")}).status_code == 401


def test_events_tell_a_user_of_his_jobs_alone(site: tuple[Flask, Lepton]) -> None:
    app, _ = site
    answer = client_of(app, "eva").get("/lepton/changes")
    assert answer.mimetype == "text/event-stream"
    events = iter(answer.response)
    assert b"hello" in bytes(next(events))  # type: ignore[arg-type]
    found: list[Any] = []
    reading = threading.Thread(target=lambda: found.append(next(events)), daemon=True)
    reading.start()
    live = app.extensions["lepton"].live
    eventually(lambda: live.listeners >= 1, "somebody listens")
    time.sleep(1.5)  # its first reading
    for user in ("bob", "eva"):
        data = {"image": (io.BytesIO(COINS), "coins.png"), "pipeline": "cells", "title": user}
        assert client_of(app, user).post("/lepton/uploads", data=data).status_code == 202
    reading.join(60)
    told = json.loads(bytes(found[0]).removeprefix(b"data: "))["jobs"]
    assert {row["owner"] for row in told.values()} == {"eva"}
    answer.close()
    assert client_of(app, "").get("/lepton/changes").status_code == 401


def test_signed_addresses_work_without_a_login_until_they_expire(ada: FlaskClient, site: tuple[Flask, Lepton]) -> None:
    answer = ada.post("/lepton/uploads", data={"image": (io.BytesIO(COINS), "coins.png"), "pipeline": "cells"})
    job = answer.json["job"]  # type: ignore[index]
    ended(ada, job)
    address = ada.get(f"/links/{job}/mask.npy").text
    assert address.startswith("http://localhost/lepton/signed/")
    nobody = client_of(site[0], "")
    found = nobody.get(address, headers={"Range": "bytes=0-5"})
    assert (found.status_code, found.data) == (206, b"\x93NUMPY")
    assert np.load(io.BytesIO(nobody.get(address).data)).shape == data.coins().shape
    for wrong in (address[:-1], address.replace("/signed/", "/signed/x"), "/lepton/signed/e30.e30"):
        assert nobody.get(wrong).status_code == 404
    late = nobody.get(ada.get(f"/links/{job}/mask.npy?seconds=-1").text)
    assert (late.status_code, b"expired" in late.data) == (404, True)
    assert client_of(site[0], "bob").get(f"/links/{job}/mask.npy").status_code == 404
    assert nobody.get(ada.get(f"/links/{job}/..").text).status_code == 404


def test_strangers_and_other_sites_pages_are_refused(ada: FlaskClient, site: tuple[Flask, Lepton]) -> None:
    nobody, bob = client_of(site[0], ""), client_of(site[0], "bob")
    for method, path in (("GET", "/lepton/jobs"), ("POST", "/lepton/uploads"), ("GET", "/lepton/openapi.json")):
        assert nobody.open(path, method=method).status_code == 401, path
    upload = ada.post("/lepton/uploads", data={"image": (io.BytesIO(COINS), "coins.png")})
    assert upload.status_code == 201, upload.text
    theirs = {"upload": upload.json["id"], "pipeline": "cells"}  # type: ignore[index]
    assert bob.post("/lepton/jobs", json=theirs).status_code == 404
    for headers in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
    ):
        refused = ada.post("/lepton/jobs", json=theirs, headers=headers)
        assert (refused.status_code, b"another site" in refused.data) == (403, True)
    assert ada.post("/lepton/jobs", json=theirs, headers={"Origin": "http://localhost"}).status_code == 202


@pytest.mark.parametrize(
    ("fields", "status", "word"),
    [
        ({}, 400, "no file"),
        ({"image": (io.BytesIO(b"<svg/>"), "a.svg")}, 400, "suffix"),
        ({"image": (io.BytesIO(b""), "a.png")}, 400, "0 bytes"),
        ({"image": (io.BytesIO(COINS), "a.png"), "pipeline": "nonsense"}, 400, "choose one of cells"),
        ({"image": (io.BytesIO(COINS), "a.png"), "pipeline": "{}"}, 400, "outputs"),
        ({"image": (io.BytesIO(COINS), "a.png"), "pipelnie": "cells"}, 400, "pipelnie"),
        ({"image": (io.BytesIO(COINS), "a.png"), "pipeline": "cells", "title": "x" * 301}, 400, "title has 301"),
        ({"image": (io.BytesIO(b"no picture"), "a.png"), "pipeline": "cells"}, 400, "a.png"),
    ],
)
def test_a_wrong_form_is_told_what_is_wrong_and_leaves_nothing(
    site: tuple[Flask, Lepton], fields: dict[str, Any], status: int, word: str
) -> None:
    client = client_of(site[0], "wrong")
    answer = client.post("/lepton/uploads", data=fields, content_type="multipart/form-data")
    assert answer.status_code == status, answer.text
    root = site[0].extensions["lepton"].site.uploads.root_of("wrong")
    assert word in answer.text and str(root) not in answer.text
    plain = client.post("/lepton/uploads", data={"pipeline": "cells"})
    assert (plain.status_code, "no file" in plain.text) == (400, True)
    assert [*root.glob("[!.]*/*"), *root.glob("jobs/*")] == []


def test_the_projects_own_celery_application_is_used(workers: LocalStack, tmp_path: Path) -> None:
    app = Flask("own", instance_path=str(tmp_path))
    own: Celery[Any] = Celery("own", broker=workers.broker_url, set_as_current=False)
    app.extensions["celery"] = own
    Lepton(app)
    assert app.extensions["lepton"].site.app is own and own.conf["lepton"].broker_url == workers.broker_url
    assert app.extensions["lepton"].site.options.folder == tmp_path / "lepton"
    app.extensions["celery"] = "something"
    with pytest.raises(InputError, match=r"is a str; put the Celery application there"):
        Lepton(app)


def test_what_is_wrong_in_the_configuration_is_said(workers: LocalStack, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r'app.config\["LEPTON"\] has .fodler., .*did you mean folder'):
        made(workers, tmp_path, fodler="x")
    app = Flask("shop")
    app.config["LEPTON_FODLER"] = "x"
    with pytest.raises(InputError, match="did you mean folder"):
        Lepton(app)
    app = Flask("shop")
    app.config["LEPTON"] = "folder"
    with pytest.raises(InputError, match="give a dictionary"):
        Lepton(app)


def test_a_site_without_an_owner_loader_says_what_to_do(workers: LocalStack, tmp_path: Path) -> None:
    app, lepton = made(workers, tmp_path)
    lepton.load_owner = None
    assert "owner_loader" in app.test_client().get("/lepton/jobs").text


def test_flask_login_and_flask_wtf_are_used_when_they_are_there(workers: LocalStack, tmp_path: Path) -> None:
    app, lepton = made(workers, tmp_path)
    lepton.load_owner = None
    manager = flask_login.LoginManager(app)

    class User(flask_login.UserMixin):  # type: ignore[misc]
        id = "ada"

    manager.user_loader(lambda _: User())
    CSRFProtect(app)

    @app.get("/login")
    def login() -> str:
        flask_login.login_user(User())
        return render_template_string("{{ lepton_job('abc') }}")

    client = app.test_client()
    assert client.get("/lepton/uploads").status_code == 401
    token = client.get("/login").text.partition('csrf="')[2].partition('"')[0]
    assert client.get("/lepton/uploads").json == {"uploads": []}
    refused = client.post("/lepton/uploads", data={"image": (io.BytesIO(COINS), "a.png")})
    assert (refused.status_code, "CSRF" in refused.text) == (400, True)
    with client.session_transaction() as kept:
        assert "csrf_token" in kept
    form = {"image": (io.BytesIO(COINS), "a.png")}
    assert client.post("/lepton/uploads", data=form, headers={"X-CSRFToken": token}).status_code == 201
    read: list[int] = []

    class Unread(io.BytesIO):
        """A form that nobody has to read."""

        def read(self, *size: int | None) -> bytes:
            read.append(1)
            return b""

    def long(length: int) -> dict[str, Any]:
        return {
            "content_type": "multipart/form-data; boundary=b",
            "environ_overrides": {"CONTENT_LENGTH": str(length), "wsgi.input": Unread()},
        }

    assert app.test_client().post("/lepton/uploads", **long(9000)).status_code == 401
    assert client.post("/lepton/uploads", **long(1 << 40)).status_code == 413
    assert read == [], "a form of a stranger, or that is too long, is not read to find the token in it"
    assert client.post("/lepton/jobs", json={}).status_code == 400
    assert "CSRF" in client.post("/lepton/jobs", json={}).text
    assert "CSRF" in client.delete("/lepton/uploads/x", headers=TUS).text
    exempt, theirs = made(workers, tmp_path / "exempt")
    theirs.load_owner = lambda: "ada"
    CSRFProtect(exempt).exempt(exempt.blueprints["lepton"])
    assert "CSRF" not in exempt.test_client().post("/lepton/jobs", json={}).text


def test_a_worker_of_the_site_serves_the_lanes_and_its_own_queue(
    site: tuple[Flask, Lepton], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []
    monkeypatch.setattr("os.execve", lambda path, command, environ: started.append((command, environ)))
    monkeypatch.setenv("CELERY_WORKER_QUEUES", "")
    monkeypatch.delenv("CELERY_WORKER_QUEUES")
    site[0].test_cli_runner().invoke(args=["lepton", "worker", "--concurrency", "1"])
    [(command, environ)] = started
    assert command[2:6] == ["celery", "-A", "lepton_celery.contrib.flask.worker", "worker"]
    assert environ["CELERY_WORKER_QUEUES"] == "lepton.interactive,lepton.default,lepton.batch,celery"


def test_the_commands_work_for_the_site(site: tuple[Flask, Lepton]) -> None:
    app, _ = site
    runner = app.test_cli_runner()
    listed = runner.invoke(args=["lepton", "jobs", "--json", "--limit", "3"])
    assert listed.exit_code == 0, listed.output
    assert set(json.loads(listed.output)[0]) >= {"job", "state", "owner"}
    assert runner.invoke(args=["lepton", "prune"]).output == "removed 0 uploads and folders of results\n"
    helped = runner.invoke(args=["lepton", "--help"]).output
    assert all(word in helped for word in ("jobs", "worker", "doctor", "prune"))
    checked = runner.invoke(args=["lepton", "doctor", "--json"])
    assert "findings" in checked.output
