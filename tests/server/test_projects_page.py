"""The Python blocks of docs/projects.md work."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from celery._state import _tls  # type: ignore[attr-defined]  # not in the stubs

from lepton_celery.engines.celery.app import settings_of

PAGE = (Path(__file__).parents[2] / "docs" / "projects.md").read_text()


def test_the_blocks_of_the_page_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # the applications of the page do not become that of this process
    monkeypatch.setattr(_tls, "current_app", None)
    configured, tested, sent, told, limited = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(configured, names)
    assert settings_of(names["app"]).ledger.endswith("/1")
    assert names["app"].conf.worker_prefetch_multiplier == 8
    exec(tested, names)
    names["test_invert"](tmp_path)
    exec(sent, names)
    names["test_send"](tmp_path)
    exec(told, names)
    names["test_notify"](tmp_path)
    exec(limited, names)
    names["test_too_large"](tmp_path)
