"""The fixtures for the tests of other projects, in pytest processes of their own."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.waiting import eventually

pytest_plugins = ["pytester"]

pytestmark = pytest.mark.worker

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "testing.md").read_text()

ELSEWHERE = """
import os
import lepton_celery as lepton
from celery import Celery

if "TESTED_CELERY_APP" in os.environ and os.path.exists("broken"):
    import a_module_that_nobody_has

URL = "rediss://:secret@127.0.0.1:1/0"
app = Celery("shop", broker=URL, backend=URL)
app.conf.update(broker_use_ssl={"ssl_cert_reqs": "required"}, broker_write_url=URL, broker_read_url=URL)
lepton.configure(app, lepton.Settings(ledger_url="redis://127.0.0.1:1/3", allowed_functions=("tests.faults.blocks:*",)))
"""
"""An application all of whose servers are elsewhere."""


def written(pytester: pytest.Pytester, language: str, name: str) -> None:
    """Write a block of the page, whose first line names its file."""
    [block] = re.findall(rf"^```{language}\n# {re.escape(name)}\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    (pytester.path / name).write_text(block)


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """An empty folder, with what a developer may have in the environment."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:cacheprovider -p no:cloudcoil")  # that plugin is for tests on clusters
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://127.0.0.1:1/0")
    return pytester


def test_the_example_of_the_page_passes_in_processes_with_stacks_of_their_own(project: pytest.Pytester) -> None:
    for name in ("images.py", "test_images.py", "conftest.py"):
        written(project, "python", name)
    written(project, "ini", "pytest.ini")
    ran = project.runpytest_subprocess("-n", "2", "-W", "error", timeout=240)
    ran.assert_outcomes(passed=3)


def test_an_application_is_redirected_and_its_failure_shows_the_logs(project: pytest.Pytester) -> None:
    project.makepyfile(
        shop=ELSEWHERE,
        test_shop="""
        import os
        import lepton_celery as lepton
        import numpy as np
        import pytest
        import shop

        @pytest.fixture(scope="session")
        def lepton_app():
            return "shop:app"

        def test_job(lepton_stack, tmp_path):
            np.save(tmp_path / "i.npy", np.full((64, 64), 255, np.uint8))
            image = lepton.map_blocks("tests.faults.blocks:raises", lepton.open(tmp_path / "i.npy"))
            with pytest.raises(lepton.LeptonError, match="a bright pixel"):
                lepton.submit({str(tmp_path / "o.npy"): image}).wait(60)
            assert lepton_stack.broker_url == os.environ["LEPTON_BROKER_URL"] == shop.app.conf.broker_url
            raise RuntimeError("to be reported")

        def test_other():
            assert "LEPTON_BROKER_URL" in os.environ
        """,
    )
    ran = project.runpytest_subprocess(timeout=240)
    ran.assert_outcomes(passed=1, failed=1)
    ran.stdout.fnmatch_lines(["*to be reported*", "*- log of worker-1 -*", "*a bright pixel*"])


def test_a_worker_that_does_not_start_fails_with_its_log(project: pytest.Pytester) -> None:
    project.makeini("[pytest]\nlepton_app = shop")
    project.makepyfile(shop=ELSEWHERE, test_shop="def test_one(lepton_stack): pass")
    (project.path / "broken").touch()
    ran = project.runpytest_subprocess(timeout=240)
    ran.assert_outcomes(errors=1)
    ran.stdout.fnmatch_lines(["lepton_stack did not start: worker-1 ended with code*", "*a_module_that_nobody_has*"])
    assert "lepton_celery/contrib" not in ran.stdout.str().replace("lepton_celery/contrib/testing/app.py", "")


def test_nothing_is_left_when_pytest_is_killed(project: pytest.Pytester) -> None:
    project.makepyfile("""
        import time
        def test_long(lepton_stack):
            open("pids", "w").write(" ".join(str(process.pid) for process in lepton_stack.processes))
            open("ready", "w").close()
            time.sleep(300)
        """)
    pytest_process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q"], cwd=project.path, stdout=subprocess.DEVNULL
    )
    eventually(lambda: (project.path / "ready").exists() or pytest_process.poll() is not None)
    assert pytest_process.poll() is None
    pids = set(map(int, (project.path / "pids").read_text().split()))
    children = {child.pid for child in psutil.Process(pytest_process.pid).children(recursive=True)}
    assert len(pids) == 1 and pids < children and len(children) >= 5  # a pool process, the server and the watchmen too
    pytest_process.send_signal(signal.SIGKILL)
    pytest_process.wait()
    eventually(lambda: not any(map(psutil.pid_exists, children)))
