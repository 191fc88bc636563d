"""The ledger's document and scripts have the moves of its contract."""

from __future__ import annotations

import re
from pathlib import Path

from lepton_celery.ledger import moves

ROOT = Path(__file__).parents[2]


def test_the_document_has_the_states_and_moves_of_the_contract() -> None:
    document = (ROOT / "docs" / "ledger.md").read_text(encoding="utf-8")
    assert moves.__doc__ is not None
    assert moves.__doc__.strip() in document


def test_every_script_is_run_and_every_script_that_is_run_exists() -> None:
    folder = ROOT / "lepton_celery" / "ledger"
    source = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    scripts = {path.stem for path in (folder / "lua").glob("*.lua")}
    assert set(re.findall(r"(?:run|run_on|run_for_each|_call)\(\s*\"(\w+)\"", source)) == scripts - {
        "prelude",
        "lane_prelude",
    }
