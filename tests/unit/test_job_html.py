"""What a notebook shows of a job, at once and while it waits."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import lepton_celery as lepton
from lepton_celery.errors import JobNotFound
from lepton_celery.jobs.job import Job
from lepton_celery.skimage import filters
from tests.oracle import picture


@pytest.fixture
def job(tmp_path: Path) -> Job:
    smooth = filters.gaussian(lepton.open(picture((60, 70), "float32")), 1)
    return lepton.run({str(tmp_path / "<script>x.npy"): smooth}, block_shape=(20, 20))


def test_a_job_shows_its_state_its_progress_and_its_blocks(job: Job) -> None:
    text = job._repr_html_()
    assert job.id in text and "done" in text and "100%" in text and "12 of 12 blocks" in text
    assert "<script" not in text and "&lt;script&gt;" in text
    assert 'src="data:image/png;base64,' in text and "done: 12" in text


def test_a_job_that_is_not_known_says_so() -> None:
    class Records:
        def info(self, job_id: str) -> Any:
            raise JobNotFound(f"the ledger knows no job <{job_id}>", job_id)

    records: Any = Records()
    text = Job("gone", records)._repr_html_()
    assert "knows no job &lt;gone&gt;" in text


def test_a_notebook_sees_the_job_while_it_is_waited_for(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    display: Any = ModuleType("IPython.display")
    display.HTML = lambda text: text

    def displayed(text: str, display_id: bool) -> Any:
        shown.append(text)
        return SimpleNamespace(update=shown.append)

    display.display = displayed
    shell: Any = ModuleType("IPython")
    shell.get_ipython = lambda: SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", shell)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    job.wait(progress=True)
    assert len(shown) >= 2 and all(job.id in text for text in shown)
    shell.get_ipython = lambda: SimpleNamespace()  # a terminal
    job.wait(progress=True)
    assert len(shown) == 2


def test_pixels_are_as_before(job: Job) -> None:
    [image] = job.result().values()
    assert np.asarray(image.compute()).shape == (60, 70)
