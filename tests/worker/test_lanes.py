"""Lanes on real workers: a slot for interactive jobs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from skimage import data, filters

import lepton_celery as lepton
from lepton_celery.engines.celery.app import settings_of
from lepton_celery.ledger import open_ledger
from lepton_celery.ledger.info import JobState
from lepton_celery.local.stack import LocalStack, Project
from lepton_celery.skimage import filters as lepton_filters
from tests.stacks import short_lived
from tests.waiting import eventually
from tests.worker.conftest import app_of

pytestmark = pytest.mark.worker


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Two workers, and one for interactive jobs."""
    folder = tmp_path_factory.mktemp("lanes")
    stack = LocalStack(folder, workers=2, interactive=True, flower=False, project=Project(settings="test"))
    with short_lived(stack):
        yield stack


def test_an_interactive_job_waits_for_no_block_of_others(stack: LocalStack, tmp_path: Path) -> None:
    app = app_of(stack)
    ledger = open_ledger(settings_of(app).ledger)
    enough, begun = tmp_path / "enough", tmp_path / "begun"
    np.save(tmp_path / "input.npy", data.camera())
    source = lepton.open(tmp_path / "input.npy")
    held = lepton.map_blocks("tests.faults.blocks:held", source, until=str(enough), log=str(begun))
    large = lepton.submit({str(tmp_path / "held.npy"): held}, app=app, block_shape=(64, 64), priority="batch")
    eventually(lambda: begun.exists() and begun.read_text().count("\n") >= 2, "two blocks that wait for the file")
    quick = {str(tmp_path / "quick.npy"): lepton_filters.gaussian(source, sigma=2)}
    lepton.submit(quick, app=app, priority="interactive", block_shape=(256, 256)).wait(60)
    assert np.array_equal(np.load(tmp_path / "quick.npy"), filters.gaussian(data.camera(), sigma=2))
    info = large.info()
    assert (info.state, info.blocks_done) == (JobState.RUNNING, 0), "no slot became free in the meantime"
    # the slot counts for the window of the lane that it serves, and of no other
    eventually(lambda: ledger.slots("interactive") == 3, "the notes of three workers")
    assert ledger.slots("default") == ledger.slots("batch") == 2
    enough.touch()
    large.wait(60)
