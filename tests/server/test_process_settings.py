"""The settings of a process are those that `configure` was given last, else those of the environment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from celery import Celery

import lepton_celery as lepton
from lepton_celery.config import Settings, set_configured
from lepton_celery.errors import InputError


@pytest.fixture(autouse=True)
def _environment_again() -> Iterator[None]:
    yield
    set_configured(None)


def project() -> Celery:
    return Celery(broker="redis://127.0.0.1:1/0", set_as_current=False)


def test_roots_given_to_configure_hold_for_open_and_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    for folder in (inside, outside):
        folder.mkdir()
        np.save(folder / "a.npy", np.arange(4))
    lepton.configure(project(), Settings(allowed_roots=(str(inside),)))
    image = lepton.open(inside / "a.npy")
    with pytest.raises(InputError, match="outside the allowed folders"):
        lepton.open(outside / "a.npy")
    with pytest.raises(InputError, match="outside the allowed folders"):
        lepton.run({str(outside / "o.npy"): image + 1})

    monkeypatch.setenv("LEPTON_ALLOWED_ROOTS", str(outside))
    lepton.configure(project())  # without settings: the environment's
    lepton.open(outside / "a.npy")
    with pytest.raises(InputError, match="outside the allowed folders"):
        lepton.open(inside / "a.npy")


def test_settings_that_are_refused_hold_for_nothing(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(4))
    app = Celery(broker="redis://127.0.0.1:1/0", set_as_current=False)
    app.conf.accept_content = ["pickle"]
    with pytest.raises(InputError, match="accept_content"):
        lepton.configure(app, Settings(allowed_roots=("/nowhere",)))
    lepton.open(tmp_path / "a.npy")
