"""The files of a tenant's job lie in the tenant's folder, wherever the job is checked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from celery import Celery

import lepton_celery as lepton
from lepton_celery.config import Settings
from lepton_celery.errors import InputError
from lepton_celery.execution.manifest import Manifest
from lepton_celery.stores.roots import roots_of, roots_of_all

PIXELS = np.arange(80, dtype=np.uint8).reshape(8, 10)


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for each of two tenants, and one for all."""
    for name in ("of/ada", "of/bob", "shared"):
        (tmp_path / name).mkdir(parents=True)
        np.save(tmp_path / name / "in.npy", PIXELS)
    monkeypatch.setenv("LEPTON_ALLOWED_ROOTS", f"{tmp_path}/of/{{tenant}}:{tmp_path}/shared")
    yield tmp_path


@pytest.fixture
def app(folders: Path) -> Celery[Any]:
    app: Celery[Any] = Celery("site", broker="memory://", set_as_current=False)
    app.conf.task_always_eager = True
    return lepton.configure(app)


def submit(app: Celery[Any], source: Path, output: Path, tenant: str) -> lepton.Job:
    return lepton.submit({str(output): ~lepton.open(source)}, app=app, tenant=tenant)


def test_each_tenant_has_its_folder_and_what_is_for_all() -> None:
    roots = (Path("/data/{tenant}"), Path("/data/lab-{tenant}/in"), Path("/shared"))
    assert roots_of(roots, "ada") == (Path("/data/ada"), Path("/data/lab-ada/in"), Path("/shared"))
    assert roots_of(roots, "") == (Path("/shared"),)
    assert roots_of((), "ada") == ()
    assert roots_of_all(roots) == (Path("/data"), Path("/data"), Path("/shared"))
    with pytest.raises(InputError, match="the job has no tenant"):
        roots_of(roots[:2], "")  # and never no roots, which would be all folders


@pytest.mark.parametrize("tenant", ["..", "../bob", "ada/../bob", "/", ".", "a\0b", "a" * 1000])
def test_a_tenant_is_no_path(tenant: str) -> None:
    with pytest.raises(InputError, match="tenant"):
        roots_of((Path("/data/{tenant}"),), tenant)


def test_a_job_uses_the_files_of_its_tenant_only(app: Celery[Any], folders: Path) -> None:
    ada, bob, shared = folders / "of/ada", folders / "of/bob", folders / "shared"
    assert submit(app, ada / "in.npy", ada / "own.npy", "ada").info().state == "done"
    assert submit(app, shared / "in.npy", ada / "shared.npy", "ada").info().state == "done"
    assert submit(app, shared / "in.npy", shared / "none.npy", "").info().state == "done"
    (ada / "link.npy").symlink_to(bob / "in.npy")
    (ada / "folder").symlink_to(bob)
    for source, output, tenant in (
        (bob / "in.npy", ada / "o.npy", "ada"),
        (ada / "in.npy", bob / "o.npy", "ada"),
        (ada / "link.npy", ada / "o.npy", "ada"),
        (ada / "in.npy", ada / "folder" / "o.npy", "ada"),
        (ada / "in.npy", ada / ".." / "bob" / "o.npy", "ada"),
        (ada / "in.npy", ada / "o.npy", ""),
        (ada / "in.npy", ada / "o.npy", "bob"),
    ):
        with pytest.raises(InputError, match="is outside the allowed folders"):
            submit(app, source, output, tenant)
    assert sorted(path.name for path in bob.iterdir()) == ["in.npy"]


def test_a_worker_checks_the_tenant_of_the_manifest(app: Celery[Any], folders: Path) -> None:
    roots = Settings(allowed_roots=(f"{folders}/of/{{tenant}}",)).roots
    manifest = submit(app, folders / "of/ada/in.npy", folders / "of/ada/o.npy", "ada").manifest()
    manifest.context(roots)
    manifest.check_inputs(roots)
    for tenant in ("bob", "../ada", ""):
        changed = replace(manifest, options=replace(manifest.options, tenant=tenant))
        for check in (changed.context, changed.check_inputs):
            with pytest.raises(InputError, match=r"is outside the allowed folders|tenant"):
                check(roots)
        with pytest.raises(InputError, match=r"is outside the allowed folders|tenant"):
            changed.journal(roots).begin({})
    with pytest.raises(InputError, match="changed"):
        signed = manifest.to_json(["a key of sixteen characters"])
        signed["options"]["tenant"] = "bob"
        Manifest.from_json(signed, ["a key of sixteen characters"])
