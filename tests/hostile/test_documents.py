"""Hundreds of hostile manifests, graphs, entries and journals are refused or harmless, in little time and memory."""

from __future__ import annotations

import json
import os
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lepton_celery as lepton
from lepton_celery.config import Settings
from lepton_celery.errors import LeptonError, reason_of
from lepton_celery.execution.manifest import JobOptions, Manifest
from lepton_celery.grid import StageNumber
from lepton_celery.jobs.prepare import prepare
from lepton_celery.ledger import entries
from lepton_celery.planning.options import PlanOptions
from lepton_celery.planning.plan import Plan
from lepton_celery.skimage import filters, measure
from lepton_celery.stores.documents import parse_document
from lepton_celery.stores.journal import Journal
from tests.hostile import documents

SEEDS = range(int(os.environ.get("FUZZ_SEEDS", "1")))
"""Seeds of the generator; `make fuzz` takes more."""
MUTATIONS = 250
MAX_S, MAX_BYTES = 4.0, 32 << 20
"""Largest processor time and memory that a hostile document may take."""


@pytest.fixture
def honest(tmp_path: Path) -> dict[str, Any]:
    """The manifest of an honest job with several kinds of outputs, as JSON."""
    inside = tmp_path / "inside"
    inside.mkdir()
    np.save(inside / "in.npy", np.ones((40, 50), np.uint8))
    smooth = filters.gaussian(lepton.open(inside / "in.npy"), sigma=2)
    labels = measure.label(smooth > filters.threshold_otsu(smooth))
    outputs = {str(inside / "labels.zarr"): labels, str(inside / "rows.csv"): measure.regionprops_table(labels)}
    manifest = prepare(outputs, PlanOptions(block_shape=(16, 16)), JobOptions(title="honest"), Settings()).manifest
    found: dict[str, Any] = json.loads(json.dumps(manifest.to_json()))
    return found


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder that nothing may touch."""
    folder = tmp_path / "outside"
    (folder / "folder").mkdir(parents=True)
    np.save(folder / "kept.npy", np.arange(2000, dtype=np.uint8).reshape(40, 50))
    (folder / "folder" / "file").write_text("kept")
    return folder


def listed(folder: Path) -> list[tuple[str, int, int]]:
    return sorted((str(path), path.lstat().st_mtime_ns, path.lstat().st_size) for path in [folder, *folder.rglob("*")])


@contextmanager
def bounded(what: str) -> Iterator[None]:
    """Time and memory of the `with` block are bounded, and every error is one of this package that can be shown."""
    tracemalloc.start()
    began = time.process_time()
    try:
        yield
    except LeptonError as error:
        assert len(reason_of(error).encode()) < 20_000, what
    except Exception as error:
        raise AssertionError(f"{what}: {type(error).__name__}: {error}") from error
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert time.process_time() - began < MAX_S, what
    assert peak < MAX_BYTES, what


@pytest.mark.parametrize("seed", SEEDS)
def test_changed_manifests_are_refused_or_stay_within_their_folders(
    honest: dict[str, Any], outside: Path, seed: int
) -> None:
    roots, before, accepted = (outside.parent / "inside",), listed(outside), 0
    for what, document in documents.mutations(honest, seed, MUTATIONS):
        with bounded(what):
            text = json.dumps(document)
            manifest = Manifest.from_json(entries.from_json("manifest", text, "j"), job_id=honest["job_id"])
            manifest.check_inputs(roots)
            context = manifest.context(roots, ())
            assert context.job_id == honest["job_id"]
            accepted += 1
            for path in (manifest.workspace, *manifest.output_paths()):
                assert Path(path).resolve().is_relative_to(roots[0]), what
    assert accepted < MUTATIONS / 2
    assert listed(outside) == before


def test_manifests_of_files_elsewhere_are_refused(honest: dict[str, Any], outside: Path) -> None:
    roots, before = (outside.parent / "inside",), listed(outside)
    found = list(documents.elsewhere(honest, "abc123", outside))
    assert len(found) > 25
    accepted = []
    for what, document in found:
        with bounded(what):
            manifest = Manifest.from_json(document, job_id="abc123")
            manifest.check_inputs(roots)
            context = manifest.context(roots, ())
            for node, _ in manifest.plan.sources:
                context.reader(node)
            if what != f"scratch {roots[0]}":
                accepted.append(what)
    assert accepted == []
    assert listed(outside) == before


def test_texts_that_are_no_documents_are_refused() -> None:
    for what, text in documents.no_documents():
        with bounded(what):
            with pytest.raises(LeptonError):
                Manifest.from_json(entries.from_json("manifest", text, "j"))
            with pytest.raises(LeptonError):
                Plan.from_json(parse_document(text, "the plan"))
            with pytest.raises(LeptonError):
                lepton.from_json(parse_document(text, "the graph"))


@pytest.mark.parametrize("seed", SEEDS)
def test_changed_graphs_are_refused_or_harmless(outside: Path, seed: int) -> None:
    image = lepton.open(outside / "kept.npy")
    smooth = filters.gaussian(image, sigma=2)
    graph = json.loads(json.dumps(lepton.to_json({"out.npy": smooth > filters.threshold_otsu(smooth)})))
    for what, document in documents.mutations(graph, seed, MUTATIONS):
        with bounded(what):
            lepton.from_json(document)


def test_a_journal_that_somebody_else_wrote_is_read_or_refused(tmp_path: Path) -> None:
    folder = tmp_path / ".lepton-j" / "receipts" / "0"
    folder.mkdir(parents=True)
    (tmp_path / ".lepton-j" / "stages").mkdir()
    for name in ("0", "-1", "99999999999999999999", "x", "٣"):
        (tmp_path / ".lepton-j" / "stages" / name).touch()
    journal = Journal(tmp_path / ".lepton-j")
    for number, line in enumerate(documents.journal_lines()):
        with bounded(repr(line[:20])):
            (folder / f"writer-{number}").write_bytes(line)
            found = journal.receipts(StageNumber(0))
            assert all(place >= 0 for place in found)
            journal.stage(2)
    for text in ("{", "[]", "[" * 100_000, "\ud800"):
        (tmp_path / ".lepton-j" / "manifest.json").write_bytes(text.encode("utf-8", "surrogatepass"))
        with bounded(text[:9]), pytest.raises(LeptonError):
            Manifest.from_json(journal.read_manifest())


def test_entries_of_the_ledger_are_read_or_damaged() -> None:
    honest = {
        "state": "running",
        "lane": "default",
        "title": "t",
        "stage": "0",
        "stages": "1",
        "total": "4",
        "done": "0",
    }
    honest |= {"dispatched": "4", "fence": "0", "merge_fence": "0", "created": "1e9", "updated": "1e9", "filled": "0"}
    honest |= {"created_by": "x", "version": str(entries.VERSION)}
    read: Any = entries._read_job
    assert not isinstance(read("j", honest, {}), LeptonError)
    for name, values in documents.FIELDS.items():
        for value in values:
            with bounded(f"{name} = {value:.20}"):
                read("j", {**honest, name: value}, {"0 x": "nan", "x": "1", "0 @began": "x"})
        with bounded(f"without {name}"):
            read("j", {key: given for key, given in honest.items() if key != name}, {})


@pytest.mark.parametrize(
    "name", ["\ud800", "a\ud800.npy", "x" * 300, "x" * 20_000, "x" * 20_000 + ".npy", "a\0b.npy", ""]
)
def test_names_that_no_file_can_have_are_refused(name: str) -> None:
    with bounded(name[:9]), pytest.raises(LeptonError):
        lepton.open(name)
