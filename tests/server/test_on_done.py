"""What `on_done` takes, and that an end of a job is told once, whoever ended it and whatever failed then."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from celery import Celery, chord, group

import lepton_celery as lepton
from lepton_celery.config import Settings
from lepton_celery.engines.celery.sending import notices
from lepton_celery.engines.celery.sending.on_done import on_done_of
from lepton_celery.engines.celery.worker.failures import fail_job
from lepton_celery.engines.celery.worker.sweeper import Sweeper
from lepton_celery.errors import BrokerUnreachable, InputError
from lepton_celery.jobs.resume import go_on
from lepton_celery.ledger import Ledger, open_ledger
from lepton_celery.ledger.index import JobIndex
from lepton_celery.ledger.info import JobState
from tests.server.ledgers import FIRST
from tests.server.server import Server

KEY = "a key of sixteen characters"


@dataclass
class Site:
    """A project's application, and the server on which its jobs and messages are."""

    app: Celery[Any]
    ledger: Ledger
    broker: Any
    records: Any
    """The ledger's database of Redis."""
    settings: Settings
    folder: Path
    called: list[tuple[Any, ...]]

    def submit(self, on_done: Any, **options: Any) -> lepton.Job:
        image = lepton.open(np.zeros((9, 9), np.uint8))
        return lepton.submit({str(self.folder / "o.npy"): ~image}, app=self.app, on_done=on_done, **options)

    def sweep(self) -> None:
        """Sweep, long after whatever was to be sent by others."""
        for job_id in self.records.zrange("lepton:notices", 0, -1):
            self.records.zadd("lepton:notices", {job_id: 1.0})
        Sweeper(self.app, self.ledger, self.settings).sweep()

    def sent(self, queue: str = "mail") -> list[tuple[str, str, list[Any]]]:
        """The messages that wait in a queue, the oldest first: the task, its id and its arguments."""
        messages = [json.loads(text) for text in reversed(self.broker.lrange(queue, 0, -1))]
        headers = [message["headers"] for message in messages]
        bodies = [json.loads(message["body"]) for message in messages]
        return [(head["task"], head["id"], body[0]) for head, body in zip(headers, bodies, strict=True)]


def new_site(url: str, folder: Path, *, ledger_url: str = "", **options: Any) -> Site:
    called: list[tuple[Any, ...]] = []
    app: Celery[Any] = Celery("site", broker=url, set_as_current=False)
    app.conf.update(task_routes={"site.*": {"queue": "mail"}}, task_serializer="yaml", **options)
    ledger_url = ledger_url or url
    settings = Settings(ledger_url=ledger_url, secret_key=(KEY,))
    lepton.configure(app, settings)

    @app.task(name="site.tell", shared=False)
    def tell(job_id: str, state: str, *more: Any, **named: Any) -> str:
        called.append((job_id, state, *more, *named.items()))
        return f"told of {job_id}"

    @app.task(name="site.clean", shared=False)
    def clean(*given: Any) -> None:
        called.append(given)

    @app.task(name="site.strict", shared=False)
    def strict(job_id: str) -> None: ...

    broker, records = (redis.Redis.from_url(one, decode_responses=True) for one in (url, ledger_url))
    return Site(app, open_ledger(ledger_url), broker, records, app.conf["lepton"], folder, called)


@pytest.fixture
def site(server: Server, tmp_path: Path) -> Iterator[Site]:
    yield from used(new_site(f"redis://127.0.0.1:{server.port}/8", tmp_path), server)


@pytest.fixture
def apart(server: Server, tmp_path: Path) -> Iterator[Site]:
    """A project whose jobs are recorded in another database than the one of its messages."""
    url = f"redis://127.0.0.1:{server.port}"
    yield from used(new_site(f"{url}/8", tmp_path, ledger_url=f"{url}/7"), server)


def used(site: Site, server: Server) -> Iterator[Site]:
    for database in (site.broker, site.records):
        database.flushdb()
    yield site
    for database in (site.broker, site.records):
        database.flushdb()
        database.close()
    lepton.configure(Celery("none", broker=server.url, set_as_current=False), None)


@pytest.fixture
def eager(tmp_path: Path) -> Site:
    return new_site("redis://127.0.0.1:1/0", tmp_path, task_always_eager=True)


def task(site: Site, name: str, *args: Any, **options: Any) -> Any:
    return site.app.tasks[f"site.{name}"].s(*args).set(**options)


# ------------------------------------------------------------------------------------------------ what it takes


def test_what_cannot_be_sent_later_is_refused(site: Site) -> None:
    tell, clean = site.app.tasks["site.tell"], site.app.tasks["site.clean"]
    frozen = tell.s()
    frozen.freeze()
    refused = {
        "give a Celery signature, such as task.s()": tell,
        "on_done is 3; give a Celery signature, such as notify.s()": 3,
        "on_done is a chord": chord([clean.s()], clean.s()),
        "has a group within a chain or a group": tell.s() | group(clean.s(), clean.s()),
        "cannot be sent as JSON": tell.s(object()),
        "70,1[0-9]+ bytes as JSON, and at most 65,536": tell.s("x" * 70_000),
        "would go to the queue lepton.default": tell.s().set(queue="lepton.default"),
        "would go to the queue lepton.batch": tell.s().set(exchange="", routing_key="lepton.batch"),
        "has the serializer 'pickle'; it is sent as JSON": tell.s().set(serializer="pickle"),
        "none of your own": site.app.signature("lepton.process"),
        "has the option reply_to, task_id": frozen,
        "does not take these arguments": site.app.tasks["site.strict"].s(),
        "give 1 to 100": group(),
    }
    for words, signature in refused.items():
        with pytest.raises(InputError, match=words):
            site.submit(signature)
    assert site.ledger.jobs() == []
    assert list(site.folder.iterdir()) == []


def test_it_takes_a_task_a_chain_and_a_group(site: Site) -> None:
    tell, clean = site.app.tasks["site.tell"], site.app.tasks["site.clean"]
    errors = clean.s("error")
    chained = on_done_of((tell.s(1).set(countdown=3) | clean.s(2)).on_error(errors), site.app)
    assert chained.is_chain
    assert [(one.name, one.args) for one in chained.tasks] == [("site.tell", [1]), ("site.clean", [2])]
    assert [one.options["link_error"][0]["args"] for one in chained.tasks] == [["error"]] * 2
    assert [one.options.get("countdown") for one in chained.tasks] == [3, None]
    grouped = on_done_of(group(tell.s(1), clean.si(2)), site.app)
    assert (grouped.is_chain, [one.immutable for one in grouped.tasks]) == (False, [False, True])
    assert {one.options["queue"] for one in (*chained.tasks, *grouped.tasks)} == {"mail"}


# ------------------------------------------------------------------------------------------------ when it is sent


def test_the_process_that_ends_a_job_tells_it_at_once_as_the_project_sends_it(site: Site) -> None:
    day = datetime.date(2030, 1, 2)
    job = site.submit(task(site, "tell", day))
    assert site.sent() == []
    job.cancel()
    [(name, _, args)] = site.sent()
    day_as_json = {"__type__": "date", "__value__": "2030-01-02"}
    assert (name, args) == ("site.tell", [job.id, "cancelled", day_as_json])
    message = json.loads(site.broker.lindex("mail", 0))
    assert message["content-type"] == "application/json"  # the project's own serializer is another
    assert site.broker.zcard("lepton:notices") == 0
    site.sweep()
    assert len(site.sent()) == 1


def test_a_failure_is_told_and_so_is_the_end_after_the_job_was_resumed(site: Site) -> None:
    job = site.submit(task(site, "tell").set(immutable=False))
    fail_job(site.app, site.ledger, job.id, FIRST, "a bright pixel")
    fail_job(site.app, site.ledger, job.id, FIRST, "again")
    lepton.resume(job.id, app=site.app)
    assert job.cancel()
    (_, first, failed), (_, second, cancelled) = site.sent()
    assert (failed, cancelled) == ([job.id, "failed"], [job.id, "cancelled"])
    assert first != second


def test_an_immutable_signature_gets_its_own_arguments_only(site: Site) -> None:
    job = site.submit(group(site.app.tasks["site.clean"].si(5), site.app.tasks["site.tell"].s()))
    job.cancel()
    assert [args for _, _, args in site.sent()] == [[5], [job.id, "cancelled"]]


def test_a_chain_goes_on_from_its_first_task(site: Site) -> None:
    job = site.submit(site.app.tasks["site.tell"].s() | site.app.tasks["site.clean"].s(2))
    job.cancel()
    [(name, _, args)] = site.sent()
    assert (name, args) == ("site.tell", [job.id, "cancelled"])
    following = json.loads(json.loads(site.broker.lindex("mail", 0))["body"])[2]["chain"]
    assert [(one["task"], one["args"], one["options"]["queue"]) for one in following] == [("site.clean", [2], "mail")]


def test_a_sweeper_tells_what_a_process_left_that_died_after_the_end(site: Site) -> None:
    job = site.submit(task(site, "tell"))
    site.ledger.cancel(job.id)  # and this process dies
    assert site.sent() == []
    Sweeper(site.app, site.ledger, site.settings).sweep()
    assert site.sent() == []  # the process that ended it has two seconds
    site.sweep()
    site.sweep()
    assert [args for _, _, args in site.sent()] == [[job.id, "cancelled"]]


def test_a_process_may_die_before_the_end_is_in_the_index(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    job = site.submit(task(site, "tell"))

    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(type(site.ledger._index), "end", die)
        site.ledger.cancel(job.id)
    site.sweep()
    site.sweep()
    assert [args for _, _, args in site.sent()] == [[job.id, "cancelled"]]


@pytest.mark.parametrize("instant", ["before", "after"])
def test_a_message_is_sent_once_whenever_a_process_dies(
    site: Site, monkeypatch: pytest.MonkeyPatch, instant: str
) -> None:
    """One that sends the notice dies just before the ledger publishes it, or just after."""
    job = site.submit(group(task(site, "tell"), task(site, "clean")))

    def die(*_: Any, **__: Any) -> None:
        raise BrokerUnreachable("killed")

    with monkeypatch.context() as patch:
        patch.setattr(*((Ledger, "end_notice", die) if instant == "before" else (JobIndex, "end_notice", die)))
        job.cancel()
    assert len(site.sent()) == (0 if instant == "before" else 2)
    site.sweep()
    site.sweep()
    assert [name for name, _, _ in site.sent()] == ["site.tell", "site.clean"]
    assert site.broker.zcard("lepton:notices") == 0


def test_a_process_that_comes_late_sends_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was stopped for so long, when it had read the notice, that a sweeper sent it."""
    job = site.submit(task(site, "tell"))

    def sweep_first(ledger: Ledger, job_id: str, *sent: Any) -> None:
        patch.undo()
        site.sweep()
        assert len(site.sent()) == 1
        ledger.end_notice(job_id, *sent)

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "end_notice", sweep_first)
        job.cancel()
    assert [args for _, _, args in site.sent()] == [[job.id, "cancelled"]]


def test_a_message_that_is_sent_twice_has_one_id(apart: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger is not where the messages are, and a process dies in the instant between sending and noting it."""
    job = apart.submit(group(task(apart, "tell"), task(apart, "clean")))

    def die(*_: Any, **__: Any) -> None:
        raise BrokerUnreachable("killed")

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "end_notice", die)
        job.cancel()
    apart.sweep()
    apart.sweep()
    sent = apart.sent()
    assert len(sent) == 4
    assert len({task_id for _, task_id, _ in sent}) == 2
    assert sent[:2] == sent[2:]


def test_it_waits_for_a_broker_that_is_away(site: Site, server: Server, tmp_path: Path) -> None:
    job = site.submit(task(site, "tell"))
    away: Celery[Any] = Celery("away", broker="redis://127.0.0.1:1/0", set_as_current=False)
    away.conf["lepton"] = site.settings
    fail_job(away, site.ledger, job.id, FIRST, "a bright pixel")
    assert job.info().state is JobState.FAILED
    assert site.ledger.notice(job.id)
    site.sweep()
    assert [args for _, _, args in site.sent()] == [[job.id, "failed"]]


def test_a_worker_without_the_project_sends_it_where_the_project_would(site: Site) -> None:
    job = site.submit(task(site, "tell"))
    site.ledger.cancel(job.id)
    other = lepton.create_app(site.settings)
    notices.send_notice(other, site.ledger, site.settings, job.id)
    assert [args for _, _, args in site.sent()] == [[job.id, "cancelled"]]


def test_nobody_without_the_key_has_workers_send_messages(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    job = site.submit(task(site, "tell"))
    manifest = site.ledger.manifest(job.id)
    manifest["options"]["on_done"]["tasks"][0]["name"] = "site.pay"
    site.broker.set(f"lepton:{{{job.id}}}:manifest", json.dumps(manifest))
    site.ledger.cancel(job.id)
    site.sweep()
    assert site.sent() == []
    assert "changed" in caplog.text


def test_a_forgotten_job_is_told_of_no_more(site: Site) -> None:
    job = site.submit(task(site, "tell"))
    site.ledger.cancel(job.id)
    job.forget()
    site.sweep()
    assert site.sent() == []
    assert site.broker.keys("lepton:*") == [] or site.broker.zcard("lepton:notices") == 0


def test_the_end_is_told_also_after_the_ledger_was_lost(site: Site) -> None:
    job = site.submit(task(site, "tell"))
    manifest = job.manifest()
    site.broker.flushdb()
    go_on(manifest, site.app, site.ledger, site.settings)
    site.ledger.cancel(job.id)
    site.sweep()
    assert [args for _, _, args in site.sent()] == [[job.id, "cancelled"]]


def test_a_submission_that_fails_tells_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise BrokerUnreachable("down")

    with monkeypatch.context() as patch, pytest.raises(BrokerUnreachable):
        patch.setattr("lepton_celery.jobs.submit.create_outputs", fails)
        site.submit(task(site, "tell"))
    site.sweep()
    assert site.sent() == []


def test_it_costs_a_few_commands_for_each_job_that_has_it(site: Site) -> None:
    def commands() -> int:
        """Commands of clients; those of scripts count too."""
        stats = site.broker.info("commandstats")
        return sum(int(stats[name]["calls"]) for name in stats if name != "cmdstat_info")

    spent = []
    for on_done in (None, task(site, "tell")):
        before = commands()
        job = site.submit(on_done)
        submitted = commands()
        assert site.ledger.cancel(job.id)
        ended = commands()
        site.sweep()
        swept = commands()
        spent.append((submitted - before, ended - submitted, swept - ended))
        job.forget()
    plain, telling = spent
    assert telling[0] - plain[0] == 1
    assert telling[1] - plain[1] <= 4
    assert telling[2] - plain[2] <= 16


# ------------------------------------------------------------------------------------------------ eager


def test_an_eager_application_calls_it_before_submit_returns(eager: Site) -> None:
    tell, clean = eager.app.tasks["site.tell"], eager.app.tasks["site.clean"]
    for signature, expected in (
        (tell.s(7), [("{}", "done", 7)]),
        (tell.s() | clean.s(5), [("{}", "done"), ("told of {}", 5)]),
        (group(tell.s(), clean.si(1)), [("{}", "done"), (1,)]),
    ):
        eager.called.clear()
        job = eager.submit(signature, overwrite=True)
        assert eager.called == [
            tuple(one.format(job.id) if isinstance(one, str) else one for one in call) for call in expected
        ]


def test_an_eager_application_tells_failures(eager: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise ValueError("a bright pixel")

    monkeypatch.setattr("lepton_celery.jobs.eager.run_prepared", fails)
    job = eager.submit(eager.app.tasks["site.tell"].s())
    assert eager.called == [(job.id, "failed")]
    with pytest.raises(InputError, match="does not have, and task_always_eager"):
        eager.submit(eager.app.signature("shop.unknown"))
