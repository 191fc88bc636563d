"""How the pages take a Flower that is not as expected."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import flower.urls
import pytest
from tornado.template import DictLoader

from lepton_celery.flower import tab


@pytest.fixture
def urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Flower's handlers and settings, which a test may change."""
    templates = tmp_path / "templates"
    shutil.copytree(flower.urls.settings["template_path"], templates)
    urls = SimpleNamespace(
        handlers=[one for one in flower.urls.handlers if "lepton" not in str(one)],
        settings={"template_path": str(templates)},
    )
    monkeypatch.setattr(flower, "urls", urls)
    return urls


def test_the_pages_are_added_before_the_handler_of_all_paths(urls: Any, caplog: pytest.LogCaptureFixture) -> None:
    before = len(urls.handlers)
    tab.install()
    tab.install()
    assert len(urls.handlers) == before + 7
    assert urls.handlers[-1][0] == ".*"
    loader = urls.settings["template_loader"]
    assert isinstance(loader, DictLoader)
    assert "reverse_url('jobs')" in loader.dict["navbar.html"]
    for name in loader.dict:
        loader.load(name)
    assert caplog.records == []


@pytest.mark.parametrize("what", ["handlers", "template", "navbar", "block"])
def test_another_flower_is_left_as_it_is(urls: Any, caplog: pytest.LogCaptureFixture, what: str) -> None:
    folder = Path(urls.settings["template_path"])
    if what == "handlers":
        urls.handlers.pop()
    elif what == "template":
        (folder / "navbar.html").unlink()
    elif what == "navbar":
        (folder / "navbar.html").write_text("<nav><ul></ul></nav>")
    else:
        (folder / "base.html").write_text("<html>{% block title %}{% end %}</html>")
    before = list(urls.handlers)
    with caplog.at_level(logging.WARNING):
        tab.install()
    assert urls.handlers == before and "template_loader" not in urls.settings
    assert "it has no Jobs tab" in caplog.text
