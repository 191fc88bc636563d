"""A site whose users count cells: accounts, uploads, jobs and results.

`flask --app cells run`, and `flask --app cells lepton worker` for the workers.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from pathlib import Path
from typing import Any

import skimage
from flask import Flask, abort, current_app, flash, g, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from werkzeug.security import check_password_hash, generate_password_hash

from lepton_celery.contrib.flask import Lepton
from lepton_celery.web.origin import is_foreign
from lepton_celery.web.pipelines import pipeline_from_text

SAMPLES = {"coins": "coins.png", "camera": "camera.png", "moon": "moon.png"}
"""Images that scikit-image ships."""
PIPELINES = {
    "cells": {
        "title": "Count bright objects",
        "as_gray": True,
        "steps": [
            "smooth=gaussian:sigma=2",
            "mask=threshold:otsu",
            "labels=label",
            "table=regionprops_table:properties=label+area+centroid",
        ],
        "outputs": {"labels.tif": "labels", "cells.csv": "table"},
    },
    "edges": {"title": "Find edges", "as_gray": True, "steps": ["edges=sobel"], "outputs": {"edges.tif": "edges"}},
    "smooth": {
        "title": "Remove noise",
        "as_gray": True,
        "steps": ["smooth=gaussian:sigma=3"],
        "outputs": {"smooth.tif": "smooth"},
    },
}
_POLICY = "; ".join(
    [
        "default-src 'none'",
        *(f"{kind}-src 'self'" for kind in ("script", "style", "connect")),
        "img-src 'self' data:",
        *("form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"),
    ]
)
"""The Content-Security-Policy of all pages: nothing from elsewhere, and no code within a page."""

lepton = Lepton()


def create_app() -> Flask:
    app = Flask(__name__, instance_path=os.environ.get("CELLS_STATE", str(Path(__file__).resolve().parent / ".lepton")))
    Path(app.instance_path).mkdir(parents=True, exist_ok=True)
    app.config.update(
        SECRET_KEY=secret_key(Path(app.instance_path) / "secret_key"),
        SESSION_COOKIE_SAMESITE="Lax",
        TRUSTED_HOSTS=["127.0.0.1", "localhost"],
        LEPTON={"pipelines": PIPELINES, "pixels": 100_000_000, "file_bytes": 256 << 20, "max_open_jobs": 20},
    )
    lepton.init_app(app)
    for path, view, methods in (
        ("/", index, ["GET"]),
        ("/login", login, ["GET", "POST"]),
        ("/logout", logout, ["POST"]),
        ("/samples", sample, ["POST"]),
        ("/jobs/<job_id>", job, ["GET"]),
    ):
        app.add_url_rule(path, view_func=view, methods=methods)
    app.before_request(refuse_other_sites)
    app.after_request(with_policy)
    app.teardown_appcontext(close_users)
    return app


@lepton.owner_loader
def user() -> str | None:
    """Who has logged in, and has not logged out since."""
    found = users().execute("SELECT name FROM sessions WHERE token = ?", (session.get("token"),)).fetchone()
    return found[0] if found else None


# ------------------------------------------------------------------------------------------------ pages


def index() -> ResponseReturnValue:
    if user() is None:
        return redirect(url_for("login"))
    jobs = lepton.jobs(20)
    return render_template("index.html", jobs=jobs, samples=list(SAMPLES), pipelines=PIPELINES, user=user())


def job(job_id: str) -> ResponseReturnValue:
    info = lepton.job(job_id).info()
    return render_template("job.html", job=info, user=user())


def sample() -> ResponseReturnValue:
    """Submit a job on an image of this site."""
    name, pipeline = request.form.get("sample", ""), request.form.get("pipeline", "")
    if name not in SAMPLES:
        return f"there is no sample {name!r}; choose one of {', '.join(SAMPLES)}", 400, {"Content-Type": "text/plain"}
    image = Path(skimage.__file__).parent / "data" / SAMPLES[name]
    wanted = pipeline or pipeline_from_text(request.form.get("steps", ""))
    return redirect(url_for("job", job_id=lepton.submit(image, wanted, title=name).id))


# ------------------------------------------------------------------------------------------------ accounts


def login() -> ResponseReturnValue:
    """Log in, or make an account for a name that nobody has."""
    name, password = request.form.get("name", "").strip(), request.form.get("password", "")
    if request.method == "POST":
        if not name.isalnum() or not 1 <= len(name) <= 40 or not 8 <= len(password) <= 200:
            flash("Give a name of letters and digits, and a password of 8 characters or more.")
        elif not knows(name, password):
            flash("This name has another password.")
        else:
            session.clear()  # nothing stays of a session that somebody else may have begun
            session["token"] = secrets.token_urlsafe()
            with users() as table:
                table.execute("INSERT INTO sessions VALUES (?, ?)", (session["token"], name))
            return redirect(url_for("index"))
    return render_template("login.html", user=None)


def logout() -> ResponseReturnValue:
    """End the session, also for somebody who has copied its cookie."""
    with users() as table:
        table.execute("DELETE FROM sessions WHERE token = ?", (session.get("token"),))
    session.clear()
    return redirect(url_for("login"))


def knows(name: str, password: str) -> bool:
    """Whether the password is right; a name that nobody has is given it."""
    with users() as table:
        made = generate_password_hash(password)
        table.execute("INSERT OR IGNORE INTO users VALUES (?, ?)", (name, made))
        [kept] = table.execute("SELECT password FROM users WHERE name = ?", (name,)).fetchone()
    return check_password_hash(kept, password)


def users() -> sqlite3.Connection:
    if "users" not in g:
        g.users = sqlite3.connect(Path(current_app.instance_path) / "users.sqlite")
        g.users.execute("CREATE TABLE IF NOT EXISTS users (name TEXT PRIMARY KEY, password TEXT NOT NULL)")
        g.users.execute("CREATE TABLE IF NOT EXISTS sessions (token TEXT PRIMARY KEY, name TEXT NOT NULL)")
    found: sqlite3.Connection = g.users
    return found


def close_users(_: BaseException | None) -> None:
    if (table := g.pop("users", None)) is not None:
        table.close()


def secret_key(path: Path) -> str:
    """The key that signs sessions, which stays the same for all processes and restarts."""
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(32))
    return path.read_text()


def refuse_other_sites() -> None:
    """Refuse what pages of other sites send; the extension does so for its own addresses."""
    if request.method == "POST" and is_foreign({name.lower(): text for name, text in request.headers}, request.host):
        abort(403, "the request came from a page of another site; open this site's page")


def with_policy(response: Any) -> Any:
    response.headers.setdefault("Content-Security-Policy", _POLICY)
    return response
