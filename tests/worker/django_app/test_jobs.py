"""Jobs of a Django site: rows, transactions, signals, and repairs."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from celery import chain, group
from django.core.files.uploadedfile import SimpleUploadedFile
from skimage import data, filters, measure

from lepton_celery.errors import InputError, QueueFull
from tests.waiting import eventually
from tests.worker.django_app.asking import COINS, ended, form, lines, posted
from tests.worker.django_app.conftest import ROOT

pytestmark = pytest.mark.worker


LONG = {"version": 1, "steps": ["a=gaussian:sigma=20", "b=median:footprint=disk(9)"], "outputs": {"b.tif": "b"}}


def large() -> SimpleUploadedFile:
    """An image on which LONG takes some seconds."""
    content = io.BytesIO()
    np.save(content, np.tile(data.coins(), (5, 5)))
    return SimpleUploadedFile("large.npy", content.getvalue())


def test_a_form_becomes_results_and_the_site_is_told_once(folder: Path, client_of: Any, jobs: Any, users: Any) -> None:
    answer = client_of("ada").post("/lepton/submit", form(title="my <b>coins</b>"))
    assert answer.status_code == 202, answer.content
    job = ended(jobs.get(pk=answer.json()["job"]))
    assert job.state == "done", job.error
    assert (job.state, job.progress, job.owner, job.title) == ("done", 1.0, users("ada"), "my <b>coins</b>")
    assert [one["name"] for one in job.outputs] == ["labels.tif", "cells.csv"] and job.finished_at > job.created_at
    assert str(job) == "my <b>coins</b> (done)"
    path = f"jobs/{job.pk}/results/labels.tif"
    whole = client_of("ada").get(f"/lepton/{path}")
    content = b"".join(whole.streaming_content)
    smooth = filters.gaussian(data.coins(), sigma=2)
    assert (tifffile.imread(io.BytesIO(content)) == measure.label(smooth > filters.threshold_otsu(smooth))).all()
    part = client_of("ada").get(job.result_url("labels.tif"), headers={"Range": "bytes=5-14"})
    assert (part.status_code, b"".join(part.streaming_content)) == (206, content[5:15])
    from lepton_celery.contrib.django.tasks import job_ended

    for _ in range(3):
        job_ended(job.pk, "done")  # as messages that come again
    assert [line for line in lines(folder / "signals.txt") if job.pk in line] == [f"{job.pk} done labels.tif"]
    element = shown(job)
    assert f'<lepton-job job="{job.pk}" api="/lepton"' in element and "<b>" not in element
    [script] = re.findall(r'src="([^"]+)"', element)
    assert b"customElements" in b"".join(client_of("ada").get(script))


def shown(job: Any) -> str:
    from django.template import Context, Template
    from django.test import RequestFactory

    template = Template("{% load lepton %}{% lepton_job job %}")
    return template.render(Context({"job": job, "request": RequestFactory().get("/")}))


def test_a_job_is_sent_when_the_transaction_commits(folder: Path, users: Any, jobs: Any) -> None:
    from django.db import transaction

    from lepton_celery.contrib.django.connecting import site
    from tests.django_site.shop.tasks import after, notify

    ada = users("ada")
    upload = site().uploads.add(str(ada.pk), "coins.png", len(COINS), io.BytesIO(COINS))
    with transaction.atomic():
        job = jobs.submit(ada, upload, "cells", on_done=chain(notify.s(7), after.s()))
        assert job.pk not in site().api.rows()
    assert job.pk in site().api.rows()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        gone = jobs.submit(ada, upload, "cells")
        1 / 0  # noqa: B018
    gone_id = gone.pk or gone.id
    assert not jobs.filter(pk=gone_id).exists() and gone_id not in site().api.rows()
    folders = set(site().uploads.root_of(str(ada.pk)).glob("jobs/*"))
    assert all(any(one.iterdir()) for one in folders), "no empty folder is left"
    other = jobs.submit(ada, upload, "bright", on_done=group(notify.si("x", "y", 8), notify.s(9)))
    ended(job)
    ended(other)
    wanted = {f"{job.pk} done 7", "after 7", "x y 8", f"{other.pk} done 9"}
    eventually(lambda: wanted <= set(lines(folder / "notified.txt")), "the tasks")
    assert len(lines(folder / "notified.txt")) == 4


def test_what_was_missed_is_repaired(folder: Path, users: Any, jobs: Any) -> None:
    from django.core.management import call_command
    from django.utils import timezone

    from lepton_celery.contrib.django import mirror

    missed = ended(jobs.submit(users("ada"), SimpleUploadedFile("coins.png", COINS), "bright"))
    jobs.filter(pk=missed.pk).update(state="running", progress=0.25, finished_at=None, outputs=[])
    lost = jobs.create(id="neversent", owner=users("ada"), title="lost", pipeline="bright")
    old = timezone.now() - 2 * mirror.UNKNOWN_AFTER
    call_command("lepton_sync", stdout=io.StringIO())
    lost.refresh_from_db()
    assert lost.state == "running", "it may be in a transaction"
    jobs.filter(pk=lost.pk).update(created_at=old)
    before = len(lines(folder / "signals.txt"))
    for _ in range(2):
        call_command("lepton_sync", stdout=io.StringIO())
    lost.refresh_from_db()
    missed.refresh_from_db()
    assert (lost.state, lost.error) == ("failed", mirror.GONE)
    assert (missed.state, missed.progress) == ("done", 1.0)
    assert len(lines(folder / "signals.txt")) == before + 1


def test_rows_are_written_when_jobs_begin_and_end_and_not_for_blocks(users: Any, jobs: Any) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from lepton_celery.contrib.django import mirror

    users("ada")
    with CaptureQueriesContext(connection) as begun:
        many = [jobs.submit(users("ada"), SimpleUploadedFile("coins.png", COINS), "bright") for _ in range(3)]
    writes = [query["sql"] for query in begun if query["sql"].startswith(("INSERT", "UPDATE", "DELETE"))]
    assert len(writes) == 3
    for job in many:
        ended(job)
    with CaptureQueriesContext(connection) as idle:
        assert mirror.refresh(many) == 0
    assert [query for query in idle if query["sql"].startswith(("INSERT", "UPDATE", "DELETE"))] == [], "nothing changed"


def test_a_user_has_no_more_open_jobs_than_are_allowed(
    folder: Path, client_of: Any, users: Any, jobs: Any, settings_with: Any
) -> None:
    from lepton_celery.contrib.django.connecting import application, conf
    from lepton_celery.engines.celery.app import configure

    with settings_with(MAX_OPEN_JOBS_OF_OWNER=1):
        configure(application(conf()), conf().settings)
        first = jobs.submit(users("carl"), large(), LONG)
        with pytest.raises(QueueFull):
            jobs.submit(users("carl"), SimpleUploadedFile("coins.png", COINS), "cells")
        assert jobs.filter(owner=users("carl")).count() == 1
        first.cancel()
    configure(application(conf()), conf().settings)


def test_jobs_are_cancelled_and_tried_again(client_of: Any, users: Any, jobs: Any) -> None:
    job = jobs.submit(users("ada"), large(), LONG)
    assert posted(client_of("ada"), f"jobs/{job.pk}/cancel")["state"] == "cancelled"
    job.refresh_from_db()
    assert job.state == "cancelled" and job.finished_at
    again = posted(client_of("ada"), f"jobs/{job.pk}/retry")
    row = jobs.get(pk=again["job"])
    assert row.pk != job.pk and row.owner == job.owner and row.title == job.title
    assert row.cancel() and row.state == "cancelled"
    assert not row.cancel()


def test_a_broker_that_is_gone_is_told_and_nothing_is_kept(folder: Path, client_of: Any, jobs: Any, users: Any) -> None:
    from lepton_celery.contrib.django.connecting import site
    from lepton_celery.errors import BrokerUnreachable

    def gone(*_: Any, **__: Any) -> Any:
        raise BrokerUnreachable("no broker answers")

    before = jobs.count()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lepton_celery.web.user_job.PreparedJob.send", gone)
        answer = client_of("ada").post("/lepton/submit", form())
        assert (answer.status_code, jobs.count()) == (503, before)
        from django.db import transaction

        with transaction.atomic():
            job = jobs.submit(users("ada"), SimpleUploadedFile("coins.png", COINS), "bright")
        job.refresh_from_db()
        assert (job.state, job.error) == ("failed", "no broker answers")
    assert site() is not None
    with pytest.raises(InputError, match=r"notify\.s"):
        jobs.submit(users("ada"), SimpleUploadedFile("coins.png", COINS), "bright", on_done="notify")


def test_a_receiver_that_fails_is_called_again_and_the_row_waits_for_it(folder: Path, users: Any, jobs: Any) -> None:
    job = jobs.submit(users("ada"), SimpleUploadedFile("coins.png", COINS), "bright", title="the receiver fails")
    eventually((folder / f"{job.pk}.failed").exists, "the first call", 60)
    ended(job)
    assert [line for line in lines(folder / "signals.txt") if job.pk in line] == [f"{job.pk} done result.tif"]


def test_two_processes_that_see_an_end_send_one_signal(folder: Path, users: Any, jobs: Any) -> None:
    from lepton_celery.contrib.django import mirror

    job = ended(jobs.submit(users("ada"), SimpleUploadedFile("coins.png", COINS), "bright"))
    jobs.filter(pk=job.pk).update(state="running", finished_at=None)
    before = len(lines(folder / "signals.txt"))
    both = [jobs.get(pk=job.pk), jobs.get(pk=job.pk)]  # as each of them has read the row
    assert [mirror.refresh([row]) for row in both] == [1, 0]
    assert len(lines(folder / "signals.txt")) == before + 1


def test_with_eager_tasks_a_job_has_ended_when_submit_returns(folder: Path, users: Any, jobs: Any) -> None:
    from tests.django_site import celery_app

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(celery_app.conf, "task_always_eager", True)
        job = jobs.submit(users("ada"), SimpleUploadedFile("coins.png", COINS), "bright")
        job.refresh_from_db()
        assert (job.state, job.progress, job.outputs[0]["name"]) == ("done", 1.0, "result.tif")
    assert [line for line in lines(folder / "signals.txt") if job.pk in line] == [f"{job.pk} done result.tif"]


def test_celery_beat_repairs_rows_and_prunes(folder: Path, users: Any, jobs: Any) -> None:
    """A real beat: it sends the task that the settings schedule, and the worker of the site runs it."""
    from lepton_celery.contrib.django.tasks import prune

    job = ended(jobs.submit(users("ada"), SimpleUploadedFile("coins.png", COINS), "bright"))
    jobs.filter(pk=job.pk).update(state="running", finished_at=None)
    command = [sys.executable, "-m", "celery", "-A", "tests.django_site", "beat", f"--schedule={folder / 'schedule'}"]
    environ = {**os.environ, "TEST_SYNC_S": "0.2"}
    with (folder / "beat.log").open("wb") as log:
        beat = subprocess.Popen([*command, "--pidfile="], cwd=ROOT, env=environ, stdout=log, stderr=log)
    try:
        assert ended(job).state == "done", (folder / "beat.log").read_text()
    finally:
        beat.terminate()
        beat.wait(60)
    jobs.filter(pk=job.pk).update(finished_at="2020-01-01T00:00:00Z")
    prune(rows_days=1)
    assert not jobs.filter(pk=job.pk).exists()
