"""Imports among the engines."""

from __future__ import annotations

import ast
from pathlib import Path

from lepton_celery import engines

ENGINES = Path(engines.__file__).parent
WORKER = "lepton_celery.engines.celery.worker"


def imported_by(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return modules | {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


def test_the_senders_side_never_imports_the_workers() -> None:
    for path in (ENGINES / "celery" / "sending").glob("*.py"):
        assert not any(name.startswith(WORKER) for name in imported_by(path)), path


def test_the_inline_engine_does_not_import_celery() -> None:
    assert not any("celery." in name.removeprefix("lepton_celery") for name in imported_by(ENGINES / "inline.py"))
