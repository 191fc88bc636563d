"""The admin, the commands and the system checks of a Django site."""

from __future__ import annotations

import io
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from tests.worker.django_app.asking import COINS, ended

pytestmark = pytest.mark.worker


def test_the_admin_shows_cancels_and_repairs(folder: Path, client_of: Any, users: Any, jobs: Any) -> None:
    job = ended(jobs.submit(users("ada"), SimpleUploadedFile("coins.png", COINS), "bright", title="<script>x</script>"))
    jobs.filter(pk=job.pk).update(state="running", progress=0.25, finished_at=None, outputs=[])
    users("root", is_staff=True, is_superuser=True)
    root = client_of("root")
    page = root.get("/admin/lepton/job/").content.decode()
    job.refresh_from_db()
    assert job.state == "done" and "<script>x" not in page and f"{job.pk}/thumbnail.png" in page
    picture = root.get(f"/admin/lepton/job/{job.pk}/thumbnail.png")
    assert picture.content[:4] == b"\x89PNG"
    assert root.get(f"/admin/lepton/job/{job.pk}/change/").status_code == 200
    assert root.get("/admin/lepton/job/?state__exact=done&q=script").status_code == 200
    done = root.post("/admin/lepton/job/", {"action": "cancel", "_selected_action": [job.pk]}, follow=True)
    assert "0 jobs are cancelled" in done.content.decode()
    assert client_of("ada").get(f"/admin/lepton/job/{job.pk}/thumbnail.png").status_code == 302


def test_commands_list_and_prune(users: Any, jobs: Any, folder: Path) -> None:
    from django.core.management import CommandError, call_command

    job = ended(jobs.submit(users("dora"), SimpleUploadedFile("coins.png", COINS), "bright"))
    out = io.StringIO()
    call_command("lepton_jobs", user="dora", json=True, stdout=out)
    assert json.loads(out.getvalue())["job"] == job.pk
    out = io.StringIO()
    call_command("lepton_jobs", stdout=out)
    assert "dora" in out.getvalue()
    with pytest.raises(CommandError, match="no user"):
        call_command("lepton_jobs", user="nobody")
    call_command("lepton_prune", rows_days=1, stdout=out)
    assert "0 rows removed" in out.getvalue()
    jobs.filter(pk=job.pk).update(finished_at="2020-01-01T00:00:00Z")
    call_command("lepton_prune", rows_days=1, stdout=out)
    assert not jobs.filter(pk=job.pk).exists()


def test_checks_find_what_is_wrong(folder: Path, settings_with: Any, tmp_path: Path) -> None:
    from django.test.utils import override_settings

    from lepton_celery.contrib.django.checks import check_deployment, check_settings

    assert check_settings() == []
    for wrong, code, word in (
        ({"PIPELINS": {}}, "lepton.E001", "pipelines"),
        ({"STAF_SEES_ALL": True}, "lepton.E001", "STAFF_SEES_ALL"),
        ({"KEEP_S": "long"}, "lepton.E001", "KEEP_S"),
        ({"STAFF_SEES_ALL": 1}, "lepton.E001", "True or False"),
        ({"APP": "no.such.app"}, "lepton.E002", "no.such.app"),
        ({"FOLDER": Path("/etc/hostname/x")}, "lepton.E005", "/etc/hostname"),
        ({"ALLOWED_ROOTS": ["/data"]}, "lepton.E007", "/data"),
        ({"PIPELINES": {"bad": {"steps": ["label"], "outputs": {"a.exe": "x"}}}}, "lepton.E008", "a.exe"),
    ):
        with settings_with(**wrong):
            found = check_settings()
        assert [one.id for one in found] == [code] and word in found[0].msg, found
    with override_settings(LEPTON=["no dict"]):
        assert "dict" in check_settings()[0].msg
    with override_settings(MEDIA_ROOT=str(folder)):
        assert [one.id for one in check_settings()] == ["lepton.E006"]
    assert {one.id for one in check_deployment()} >= {"lepton.W002", "lepton.W004"}
    with settings_with(MAX_OPEN_JOBS_OF_OWNER=0):
        assert "lepton.W003" in {one.id for one in check_deployment()}
    assert os.environ["TEST_SITE"] == str(folder)


def test_checks_find_brokers_and_ledgers_that_workers_do_not_reach(folder: Path, settings_with: Any) -> None:
    from lepton_celery.contrib.django.checks import check_deployment, check_settings
    from tests.django_site import celery_app

    found = celery_app.conf["lepton"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(celery_app.conf, "broker_url", "memory://user:secret@/")
        [told] = check_settings()
        assert told.id == "lepton.E004" and "memory://" in told.msg and "CELERY_BROKER_URL" in str(told.hint)
        assert "secret" not in told.msg
        patch.setitem(celery_app.conf, "task_always_eager", True)
        assert check_settings() == [], "nothing is sent to a broker"
        assert [one.id for one in check_deployment()] == ["lepton.W001"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(celery_app.conf, "lepton", replace(found, ledger_url="redis://:secret@127.0.0.1:1/0"))
        assert check_settings() == [], "`check` asks no server; `check --deploy` does"
        [told] = [one for one in check_deployment() if one.id == "lepton.E009"]
        assert "LEPTON_LEDGER_URL" in str(told.hint) and "127.0.0.1:1" in told.msg and "secret" not in told.msg
    with pytest.MonkeyPatch.context() as patch, settings_with(LEDGER_URL="sqla+sqlite:///x"):
        patch.setitem(celery_app.conf, "lepton", None)
        assert [one.id for one in check_settings()] == ["lepton.E003"]
    assert "lepton.E009" not in {one.id for one in check_deployment()}
