"""A short chaos run with every kind of fault; all outputs must be right. `make chaos` is the long run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.storm import FAULTS, Options, Storm

pytestmark = pytest.mark.worker

SEED = 1


@pytest.mark.timeout(900)  # it takes a minute, and more on a busy machine, where workers start slowly
def test_jobs_come_out_right_while_everything_fails(tmp_path: Path) -> None:
    history: list[str] = []
    options = Options(seed=SEED, seconds=45, every_s=0.4, workers=2, waits_for_all=True)
    report = Storm(options, directory=tmp_path / "chaos", say=history.append).run()
    assert not report.violations, "\n".join([*history, str(report)])
    possible = {fault.name for fault in FAULTS} - report.impossible
    assert set(report.faults) == possible, str(report)
    assert report.jobs, str(report)
