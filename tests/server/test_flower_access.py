"""Who may see what in Flower: every route, with every method, of Flowers with passwords, with OAuth and without either."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import flower.urls
import pytest
from flower.app import Flower
from flower.options import options
from tornado.httpclient import AsyncHTTPClient, HTTPResponse
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.netutil import bind_sockets
from tornado.web import create_signed_value

import lepton_celery as lepton
from lepton_celery.config import Settings
from lepton_celery.flower import tab
from lepton_celery.flower.handlers import HANDLERS
from lepton_celery.flower.modules import STATIC, imported_by
from lepton_celery.ledger import open_ledger
from tests.server.ledgers import new_job
from tests.server.server import Server

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
SECRET = "hunter2"
HOSTILE = "<img src=x onerror=alert(1)>\"'&{{ 7*7 }}"
KEY = "the-key-of-cookies-0123456789"
PASSWORD = {"basic_auth": ["me:secret"]}
OAUTH = {"auth": ".*@example.com", "auth_provider": "flower.views.auth.GithubLoginHandler"}
SIGNED_IN = {"Authorization": "Basic " + base64.b64encode(b"me:secret").decode()}

Ask = Callable[..., Awaitable[HTTPResponse]]


@pytest.fixture(autouse=True)
def pages() -> Iterator[None]:
    """Flower with our pages, which is left as it was."""
    handlers, settings = list(flower.urls.handlers), dict(flower.urls.settings)
    tab.install()
    yield
    flower.urls.handlers[:] = handlers
    flower.urls.settings.clear()
    flower.urls.settings.update(settings)


@pytest.fixture
def app(server: Server) -> Any:
    return lepton.create_app(Settings(broker_url=server.url, secret_key=("a" * 32 + SECRET,)))


def with_flower(app: Any, given: dict[str, Any], use: Callable[[Ask], Awaitable[None]]) -> None:
    """Use a Flower with these options."""

    async def main() -> None:
        found = SimpleNamespace(**{**options.as_dict(), "url_prefix": "", **given})
        settings = flower.urls.settings | {"cookie_secret": KEY}
        if found.url_prefix:
            settings["login_url"] = f"/{found.url_prefix}/login"
        served = HTTPServer(Flower(options=found, capp=app, io_loop=IOLoop.current(), **settings))
        [socket] = bind_sockets(0, "127.0.0.1")
        served.add_sockets([socket])
        root = f"http://127.0.0.1:{socket.getsockname()[1]}"
        client = AsyncHTTPClient()

        async def ask(path: str, method: str = "GET", **headers: str) -> HTTPResponse:
            body = b"" if method in ("POST", "PUT", "PATCH") else None
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            return await client.fetch(
                root + path, method=method, headers=names, body=body, raise_error=False, follow_redirects=False
            )

        try:
            await use(ask)
        finally:
            served.stop()
            await served.close_all_connections()

    asyncio.run(main())


def paths(prefix: str = "") -> list[str]:
    """A path of each of our routes, and of those of Flower that answer without a login."""
    patterns = [*(one.regex.pattern for one in HANDLERS), "/metrics"]
    return [prefix + re.sub(r"\(.*?\)", "jobs", pattern.rstrip("$")) for pattern in patterns]


def cookie(user: str, key: str = KEY) -> str:
    return f"user={create_signed_value(key, 'user', user).decode()}"


@pytest.mark.parametrize("prefix", ["", "flower"])
@pytest.mark.parametrize("given", [PASSWORD, OAUTH], ids=["password", "OAuth"])
def test_no_route_answers_whoever_is_not_logged_in(app: Any, given: dict[str, Any], prefix: str) -> None:
    under = f"/{prefix}" if prefix else ""

    async def use(ask: Ask) -> None:
        for path in paths(under):
            for method in METHODS:
                for wrong in (
                    {},
                    {"Cookie": cookie("me@example.com", "another key")},
                    {"Cookie": cookie("me@evil.com")},
                ):
                    answer = await ask(path, method, **wrong)
                    where = (path, method, wrong, answer.code)
                    if given is OAUTH and method in ("GET", "HEAD") and not path.endswith("/metrics"):
                        assert answer.code == 302, where
                        assert answer.headers["Location"] == f"{under}/login?{urlencode({'next': path})}", where
                    elif path.endswith("/metrics") and method != "GET":
                        assert answer.code in (204, 403, 405), where  # of Flower, which has no such method
                    else:
                        assert answer.code in ((401,) if given is PASSWORD or method == "GET" else (403,)), where
                    assert not re.search(rb"lepton|<html", answer.body or b"") or answer.code == 403, where
                    assert b"data-job" not in (answer.body or b""), where
        assert ((await ask(f"{under}/healthcheck")).code, (await ask(f"{under}/healthcheck")).body) == (200, b"OK")

    with_flower(app, {**given, "url_prefix": prefix}, use)


@pytest.mark.parametrize("prefix", ["", "flower"])
def test_a_login_by_cookie_changes_jobs_only_with_the_token_of_a_page(app: Any, server: Server, prefix: str) -> None:
    ledger = open_ledger(server.url)
    job = new_job(ledger, f"cookie{prefix}")
    under = f"/{prefix}" if prefix else ""
    pause = f"{under}/lepton/v1/jobs/{job}/pause"

    async def use(ask: Ask) -> None:
        user = cookie("me@example.com")
        page = await ask(f"{under}/jobs", Cookie=user)
        assert page.code == 200
        assert {answer.code for answer in [await ask(f"{under}/metrics", Cookie=user)]} == {200}
        token = re.search(r"_xsrf=([^;]+)", page.headers["Set-Cookie"])
        assert token
        both = {"Cookie": f"{user}; _xsrf={token[1]}"}
        refused: list[dict[str, str]] = [
            {"Cookie": user},
            both,  # another site's form sends the cookies, and cannot read the token
            {**both, "X_XSRFToken": "2|00000000|00000000000000000000000000000000|1"},
            {**both, "X_XSRFToken": token[1], "Origin": "https://evil.example"},
            {**both, "X_XSRFToken": token[1], "Sec_Fetch_Site": "cross-site"},
            {**both, "X_XSRFToken": token[1], "Sec_Fetch_Site": "same-site"},
        ]
        for headers in refused:
            for path in (pause, pause.replace("/lepton/v1", "/api/lepton/v1")):
                assert (await ask(path, "POST", **headers)).code == 403, headers
        assert ledger.info(job).state == "running"
        assert (await ask(pause, "POST", **both, X_XSRFToken=token[1], Sec_Fetch_Site="same-origin")).code == 200
        assert ledger.info(job).state == "paused"

    async def read_only(ask: Ask) -> None:
        page = await ask(f"{under}/jobs", Cookie=cookie("me@example.com"))
        token = re.search(r"_xsrf=([^;]+)", page.headers["Set-Cookie"])
        assert token
        headers = {"Cookie": f"{cookie('me@example.com')}; _xsrf={token[1]}", "X_XSRFToken": token[1]}
        answer = await ask(pause.replace("pause", "resume"), "POST", **headers)
        assert (answer.code, b"but not change them" in answer.body) == (403, True)
        assert ledger.info(job).state == "paused"

    try:
        with_flower(app, {**OAUTH, "url_prefix": prefix}, use)
        with_flower(app, {**OAUTH, "url_prefix": prefix, "read_only": True}, read_only)
    finally:
        ledger.cancel(job)
        ledger.forget(job)


def test_what_users_wrote_is_text_and_no_secret_is_shown(app: Any, server: Server) -> None:
    ledger = open_ledger(server.url)
    job = new_job(ledger, "told", owner=HOSTILE)
    ledger.fail(job, f"{HOSTILE} could not read s3://AKIA:{SECRET}@bucket/x and https://me:{SECRET}@h/y?token={SECRET}")
    ledger.decisions.note(
        {"at": 1e9, "by": "m", "desired": 4, "reason": f"redis://:{SECRET}@h {HOSTILE}", "events": []}
    )

    async def use(ask: Ask) -> None:
        shown = [
            *(
                "/jobs",
                f"/job/{job}",
                "/fleet",
                f"/job/{HOSTILE.encode().hex()}",
                "/job/%3Cscript%3Ealert(1)%3C%2Fscript%3E",
            ),
            *("/lepton/v1/jobs", f"/lepton/v1/jobs/{job}", f"/lepton/v1/jobs/{job}/timeline", "/lepton/v1/fleet"),
            *("/api/lepton/v1/jobs?text=%3Cscript%3E", "/api/lepton/v1/jobs?%3Cscript%3E=1", "/lepton/v1/%3Cscript%3E"),
            *("/api/lepton/v1/openapi.json", "/lepton/static/jobs.js", "/lepton/static/lepton.css"),
        ]
        for path in shown:
            answer = await ask(path, **SIGNED_IN)
            body = answer.body.decode()
            for secret in (SECRET, "a" * 32, "me:secret"):
                assert secret not in body, path
            headers = answer.headers
            assert headers["X-Content-Type-Options"] == "nosniff", path
            policy = headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy and "frame-ancestors 'self'" in policy and "unsafe" not in policy, (
                path
            )
            assert headers["Cross-Origin-Resource-Policy"] == "same-origin", path
            if headers["Content-Type"].startswith("text/html"):
                assert "<script>alert" not in body and "onerror" not in body, path
                assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=", body), path
            elif path.startswith(("/lepton/v1", "/api/")):
                assert headers["Content-Type"] == "application/json; charset=utf-8", path
                json.loads(body)
        told = json.loads((await ask("/lepton/v1/jobs?text=could", **SIGNED_IN)).body)["jobs"][0]
        assert told["error"] == f"{HOSTILE} could not read s3://***@bucket/x and https://***@h/y?token=***"
        assert (await ask("/job/none", **SIGNED_IN)).code == 404
        for outside in (
            "/lepton/static/../handlers.py",
            "/lepton/static/%2e%2e/handlers.py",
            "/lepton/static//etc/passwd",
        ):
            assert (await ask(outside, **SIGNED_IN)).code in (403, 404), outside

    try:
        with_flower(app, PASSWORD, use)
    finally:
        ledger.forget(job)


def test_browsers_are_told_of_all_modules_of_a_page() -> None:
    modules = imported_by("job.js")
    assert {"api.js", "map_card.js", "blockmap.js"} <= set(modules)  # the last one is imported by the second
    assert all((STATIC / module).is_file() for module in modules)
    assert not any("/" in module for module in modules)  # libraries are loaded when they are needed


def test_a_closed_page_is_listened_for_no_longer(app: Any) -> None:
    async def use(ask: Ask) -> None:
        from lepton_celery.flower import handlers

        before = set(handlers._sources)
        port = int((await ask("/healthcheck")).effective_url.split(":")[2].split("/")[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /lepton/changes HTTP/1.1\r\nHost: h\r\n\r\n")
        while b"hello" not in await reader.readline():
            pass
        [flower_app] = set(handlers._sources) - before
        changes = handlers._sources[flower_app].changes
        assert changes.listeners == 1
        writer.close()
        for _ in range(100):
            if not changes.listeners:
                break
            await asyncio.sleep(0.01)
        assert changes.listeners == 0

    with_flower(app, {}, use)


def test_another_application_is_left_as_it_is() -> None:
    from celery import Celery

    async def use(ask: Ask) -> None:
        assert (await ask("/metrics")).code == 200
        page = (await ask("/tasks", **SIGNED_IN)).body
        assert b"/jobs" not in page and b"/fleet" not in page
        assert (await ask("/jobs", **SIGNED_IN)).code == 404

    with_flower(Celery("other", broker="memory://", set_as_current=False), PASSWORD, use)
