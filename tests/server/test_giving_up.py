"""A block without attempts left is filled; while the store cannot be written to, the job does not end for that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import lepton_celery as lepton
from lepton_celery.config import Settings
from lepton_celery.engines.celery.worker.failures import give_up
from lepton_celery.engines.celery.worker.open_jobs import OpenJobs
from lepton_celery.engines.celery.worker.stage import OpenStage
from lepton_celery.errors import StoreError
from lepton_celery.grid import Place, StageNumber
from lepton_celery.ledger import JobState, open_ledger
from lepton_celery.stores.base import part_of
from tests.faults.disk import damaged
from tests.server.server import Server

FIRST = StageNumber(0)


@pytest.mark.filterwarnings("ignore::lepton_celery.errors.WaitingWarning")
def test_a_block_is_filled_later_if_the_store_fails_now(server: Server, tmp_path: Path) -> None:
    settings = Settings(broker_url=f"redis://127.0.0.1:{server.port}/12")
    app = lepton.create_app(settings)
    output = tmp_path / "o.npy"
    image = lepton.open(np.full((64, 64), 7, np.uint8))
    job = lepton.submit({str(output): ~image}, app=app, block_shape=(32, 32), on_error="fill", fill_value=9)
    ledger = open_ledger(settings.ledger)
    manifest, context = OpenJobs().open(ledger, settings, job.id)
    stage = OpenStage(app, ledger, settings, "default", "me", manifest, context, FIRST, "worker/1")
    with damaged(part_of(output, job.id)), pytest.raises(StoreError, match="damaged"):
        give_up(stage, Place(0), "it fails")
    assert job.info().state is JobState.RUNNING
    give_up(stage, Place(0), "it fails")
    assert [(block.place, block.reason) for block in ledger.filled_blocks(job.id)] == [(Place(0), "it fails")]
    job.cancel()
