"""The views of a Django site, by WSGI and by ASGI."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from tests.waiting import eventually
from tests.worker.django_app.asking import COINS, PIECE, TUS, ended, form, got, posted

pytestmark = pytest.mark.worker


def test_a_large_file_is_sent_in_pieces(folder: Path, client_of: Any, jobs: Any) -> None:
    client = client_of("ada")
    size = {"Upload-Length": str(len(COINS)), "Upload-Metadata": "filename Y29pbnMucG5n"}
    begun = client.post("/lepton/uploads", headers=TUS | size)
    assert begun.status_code == 201, begun.content
    address = begun.headers["Location"]
    for first in (0, 40_000):
        piece = COINS[first : first + 40_000] if first == 0 else COINS[first:]
        sent = client.patch(address, piece, content_type=PIECE, headers=TUS | {"Upload-Offset": str(first)})
        assert sent.status_code == 204, sent.content
    upload = address.rsplit("/", 1)[1]
    assert client.head(address, headers=TUS).headers["Upload-Offset"] == str(len(COINS))
    refused = posted(client, "jobs", {"upload": upload, "pipeline": "bright", "title": "x" * 301}, 400)
    assert "title has 301 characters; give at most 300" in refused["error"]["message"]
    row = posted(client, "jobs", {"upload": upload, "pipeline": "bright"}, 202)
    job = ended(jobs.get(pk=row["job"]))
    assert job.state == "done" and job.pipeline == "bright"
    assert got(client, f"jobs/{job.pk}")["summary"]["state"] == "done"
    assert got(client, f"jobs/{job.pk}/blocks")["counts"]["done"] >= 1
    assert "output-1" in json.dumps(got(client, f"jobs/{job.pk}/pictures"))
    assert "/jobs/{job}/results" in got(client, "openapi.json")["paths"]


def test_nobody_does_what_he_may_not(folder: Path, client_of: Any, users: Any, jobs: Any) -> None:
    from django.test import Client

    job = ended(jobs.submit(users("ada"), SimpleUploadedFile("coins.png", COINS), "bright"))
    users("root", is_staff=True, is_superuser=True)
    bob, stranger = client_of("bob"), Client()
    for path in (
        f"jobs/{job.pk}",
        f"jobs/{job.pk}/results",
        f"jobs/{job.pk}/blocks",
        f"jobs/{job.pk}/results/result.tif",
    ):
        assert got(bob, path, 404)["error"]["status"] == 404
        assert stranger.get(f"/lepton/{path}").status_code == 401
        assert client_of("root").get(f"/lepton/{path}").status_code == 200
    for action in ("cancel", "retry", "pause", "results/result.tif/link"):
        posted(bob, f"jobs/{job.pk}/{action}", None, 404)
    assert got(bob, "jobs")["jobs"] == []
    page = stranger.get("/lepton/jobs", headers={"Accept": "text/html"})
    assert (page.status_code, page.headers["Location"]) == (302, "/accounts/login/?next=/lepton/jobs")
    strict = client_of("ada", enforce_csrf_checks=True)
    assert strict.post("/lepton/submit", form()).status_code == 403
    assert strict.post(f"/lepton/jobs/{job.pk}/cancel").status_code == 403
    assert strict.post("/lepton/uploads", headers=TUS).status_code == 403
    for path in ("scripts/../settings.py", "scripts/%2e%2e/settings.py", "scripts/nothing.js"):
        assert bob.get(f"/lepton/{path}").status_code == 404
    from lepton_celery.contrib.django.models import Job

    assert list(Job.objects.of(users("bob"))) == [] and job in Job.objects.of(users("root"))


def test_an_address_opens_a_result_until_it_expires(client_of: Any, users: Any, jobs: Any, settings_with: Any) -> None:
    from django.test import Client

    job = ended(jobs.submit(users("ada"), SimpleUploadedFile("coins.png", COINS), "bright"))
    given = posted(client_of("ada"), f"jobs/{job.pk}/results/result.tif/link", None, 201)
    assert given["expires_s"] == 86400
    whole: Any = Client().get(given["url"])
    assert whole.status_code == 200 and len(b"".join(whole.streaming_content)) == job.outputs[0]["bytes"]
    token = given["url"].split("/")[3]
    for url in (given["url"].replace(token, token[:-1] + "x"), given["url"].replace("result.tif", "other.tif")):
        assert Client().get(url).status_code == 404
    with settings_with(LINK_S=0.0):
        time.sleep(1.1)  # signatures have whole seconds
        assert Client().get(given["url"]).status_code == 410


@pytest.mark.parametrize(
    ("wrong", "field", "word"),
    [
        ({"image": None}, "image", "required"),
        ({"image": SimpleUploadedFile("a.exe", b"MZ")}, "image", ".png"),
        ({"image": SimpleUploadedFile("a.png", b"no picture")}, "image", "a.png"),
        ({"image": SimpleUploadedFile("a.png", b"")}, "image", "empty"),
        ({"pipeline_choice": "nothing"}, "pipeline", "no pipeline nothing; choose one of cells, bright"),
        ({"pipeline_choice": "", "pipeline_own": "label\n" * 20_000}, "pipeline", "at most 65,536"),
        ({"pipeline_choice": "", "pipeline_own": ""}, "pipeline", "required"),
        ({"pipeline_choice": "", "pipeline_own": "gausian:sigma=2"}, "pipeline", "gaussian"),
        ({"pipeline_choice": "", "pipeline_own": '{"steps": ["gaussian"], '}, "pipeline", "JSON"),
        ({"pipeline_choice": "", "pipeline_own": '{"version": 1, "steps": ["gaussian"], "outputs": {"../a.tif": "image"}}'},
         "pipeline", "plain file name"),
        ({"title": "x" * 400}, "title", "300"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_told_with_its_field(client_of: Any, jobs: Any, wrong: Any, field: str, word: str) -> None:
    before = jobs.count()
    answer = client_of("eve").post("/lepton/submit", form(**wrong))
    assert answer.status_code == 400, answer.content
    told = answer.json()["error"]
    assert list(told["fields"]) == [field] and word in " ".join(told["fields"][field]), told
    assert jobs.count() == before


def test_own_steps_are_taken_and_a_page_comes_next(client_of: Any, jobs: Any) -> None:
    steps = {"pipeline_choice": "", "pipeline_own": "smooth=gaussian:sigma=1\nthreshold:otsu\nlabel\nregionprops_table"}
    answer = client_of("ada").post("/lepton/submit", form(**steps, next="/page/JOB"))
    assert answer.status_code == 303
    job = ended(jobs.get(pk=answer.headers["Location"].removeprefix("/page/")))
    assert job.state == "done" and [one["name"] for one in job.outputs] == ["result.csv"]
    elsewhere = client_of("ada").post("/lepton/submit", form(next="https://evil.example/"))
    assert elsewhere.status_code == 202
    ended(jobs.get(pk=elsewhere.json()["job"]))


def test_asgi_answers_streams_and_watches(folder: Path, users: Any, jobs: Any) -> None:
    from django.test import AsyncClient

    from lepton_celery.contrib.django.connecting import live

    ada = users("ada")

    async def main() -> None:
        client: Any = AsyncClient()
        await client.aforce_login(ada)
        watching = await client.get("/lepton/changes")
        events = aiter(watching.streaming_content)
        assert watching.headers["Content-Type"].startswith("text/event-stream")
        assert b"hello" in await anext(events)
        told = asyncio.ensure_future(anext(events))
        await asyncio.sleep(1.5)
        answer = await client.post("/lepton/submit", form())
        assert answer.status_code == 202, answer.content
        job = answer.json()["job"]
        changed = json.loads((await asyncio.wait_for(told, 30)).removeprefix(b"data: "))["jobs"]
        assert changed[job]["owner"] == str(ada.pk)
        while True:
            found = await client.get(f"/lepton/jobs/{job}")
            if found.json()["summary"]["state"] == "done":
                break
            await asyncio.sleep(0.1)
        result = await client.get(f"/lepton/jobs/{job}/results/cells.csv")
        content = b"".join([piece async for piece in result.streaming_content])
        assert result.status_code == 200 and content.startswith(b"label,")
        assert (await client.get("/lepton/jobs/nothing")).status_code == 404
        await events.aclose()

    asyncio.run(main())
    eventually(lambda: live().listeners == 0, "nobody listens")


def test_wsgi_watches_too(client_of: Any, jobs: Any, users: Any) -> None:
    watching = client_of("bob").get("/lepton/changes")
    events = iter(watching.streaming_content)
    assert b"hello" in next(events)
    watching.close()


def test_what_is_too_long_is_refused_before_it_is_read(client_of: Any, settings_with: Any) -> None:
    with settings_with(FILE_BYTES=1000):
        answer = client_of("ada").post("/lepton/submit", form(), headers={"Content-Length": str(3 << 20)})
        assert (answer.status_code, list(answer.json()["error"]["fields"])) == (413, ["image"])
        answer = client_of("ada").post("/lepton/submit", form())
        assert (answer.status_code, list(answer.json()["error"]["fields"])) == (400, ["image"])
        size = {"Upload-Length": "2000", "Upload-Metadata": "filename Y29pbnMucG5n"}
        assert client_of("ada").post("/lepton/uploads", headers=TUS | size).status_code == 413
    answer = client_of("ada").post("/lepton/jobs", b"[" * (3 << 20), content_type="application/json")
    assert answer.status_code == 413 and "tus" in answer.json()["error"]["message"]


def test_a_model_keeps_pipelines_that_are_understood(folder: Path) -> None:
    from django.core.exceptions import ValidationError

    from lepton_celery.contrib.django.fields import PipelineField, PipelineFormField

    field: Any = PipelineField()
    own = {"version": 1, "steps": ["a=gaussian"], "outputs": {"a.tif": "a"}}
    for right in ("cells", own):
        assert field.clean(right, None) == right
    refused: tuple[Any, ...] = (
        "nothing",
        {"steps": []},
        3,
        {"version": 1, "steps": ["open:/etc/passwd"], "outputs": {"a.tif": "x"}},
    )
    for wrong in refused:
        with pytest.raises(ValidationError):
            field.clean(wrong, None)
    of_form: Any = field.formfield()
    assert of_form.__class__.__name__ == PipelineFormField.__name__
    assert of_form.widget.decompress(own)[1].startswith("{") and "Count cells" in str(of_form.widget.render("p", None))


def test_refusals_are_lines_of_the_log_without_paths(
    folder: Path, client_of: Any, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = SimpleUploadedFile("no\nline.png", b"no picture")
    assert client_of("eve").post("/lepton/submit", form(image=wrong)).status_code == 400
    assert client_of("eve").get("/lepton/jobs/nothing").status_code == 404
    told = [one.getMessage() for one in caplog.records if one.name.startswith("lepton")]
    assert len(told) == 2 and all("refused" in one and "\n" not in one and str(folder) not in one for one in told), told


def test_too_many_streams_of_a_user_are_refused_before_they_begin(
    client_of: Any, users: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.test import AsyncClient

    from lepton_celery.contrib.django.connecting import live

    monkeypatch.setattr(live(), "_most_of_owner", 0)
    assert client_of("fred").get("/lepton/changes").status_code == 429

    async def main() -> int:
        client = AsyncClient()
        await client.aforce_login(users("fred"))
        return int((await client.get("/lepton/changes")).status_code)

    assert asyncio.run(main()) == 429
