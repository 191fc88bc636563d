"""Fuzzers over what reads text and files from outside: nothing but an error of this package comes of any input."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import tifffile
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lepton_celery as lepton
from lepton_celery import stores
from lepton_celery.cli.pipeline import outputs_of_pipeline
from lepton_celery.errors import LeptonError, reason_of
from lepton_celery.execution.manifest import Manifest
from lepton_celery.graph.step_syntax import parse_step
from lepton_celery.grid import Region
from lepton_celery.ledger.address import redis_py_url
from lepton_celery.stores.documents import parse_document
from lepton_celery.web.pipelines import read_pipeline, results_of
from tests.hostile.reached import reached

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "60"))
"""Examples of each fuzzer; `make fuzz` takes more."""

fuzzed = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))

ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=200)
WORDS = """gaussian label disk ball square threshold otsu sigma image true none 1 1e999 é \x1b \ud800"""
SIGNS = """@ : = , ( ) [ ] ' " + - ."""
STEP_TEXT = st.lists(st.sampled_from([*WORDS.split(), *SIGNS.split(), "9" * 50, " ", "\n"]), max_size=25).map("".join)
NAMES = st.sampled_from(["lepton.source", "input:image"])
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT | NAMES
KEYS = st.sampled_from(["node", "array", "dtype", "url", "x"])
JSON = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=12
)
OPERATIONS = st.sampled_from(["lepton.source", "filters.gaussian", "numpy.add", "ndimage.median_filter"])
ARGUMENTS = st.dictionaries(
    st.sampled_from(["image", "sigma", "url", "x1", "x2", "size", "footprint"]), JSON, max_size=3
)
NODES = st.lists(st.fixed_dictionaries({"operation": OPERATIONS | ANY_TEXT, "arguments": ARGUMENTS | JSON}), max_size=4)


@pytest.fixture(scope="module")
def image() -> Any:
    array = np.ones((12, 9))
    lepton.from_json({"version": 1, "steps": ["a=gaussian"], "outputs": {"a.tif": "a"}}, {"image": array})
    return array


@pytest.fixture(scope="module")
def photograph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photograph") / "image.png"
    PIL.Image.fromarray(np.ones((12, 9), np.uint8)).save(path)
    results_of({"version": 1, "steps": ["a=gaussian"], "outputs": {"a.tif": "a"}}, path, "photo.png")  # imports
    return path


@fuzzed
@given(STEP_TEXT | ANY_TEXT)
def test_steps(text: str) -> None:
    try:
        parse_step(text)
    except LeptonError as error:
        assert len(reason_of(error).encode()) < 2000


STEPS = st.fixed_dictionaries(
    {"steps": st.lists(STEP_TEXT, max_size=3), "outputs": st.dictionaries(ANY_TEXT, ANY_TEXT, max_size=2)}
)
GRAPHS = st.fixed_dictionaries({"nodes": NODES, "outputs": st.dictionaries(ANY_TEXT, st.integers() | JSON, max_size=2)})


@pytest.mark.parametrize("documents", [STEPS, GRAPHS], ids=["steps", "nodes"])
def test_graphs(image: Any, documents: st.SearchStrategy[dict[str, Any]]) -> None:
    @fuzzed
    @given(documents)
    def build(document: dict[str, Any]) -> None:
        try:
            lepton.from_json({"version": 1, **document}, {"image": image})
        except LeptonError as error:
            reason_of(error).encode()

    build()


NAMES_OF_FILES = st.sampled_from(["a.tif", "a.csv", "../a.tif", "/tmp/a.tif", ".a.tif", "a.exe", "a\0.tif"]) | ANY_TEXT
OF_USERS = st.fixed_dictionaries(
    {
        "version": st.just(1),
        "outputs": st.dictionaries(NAMES_OF_FILES, st.integers(0, 4) | ANY_TEXT | JSON, max_size=3),
    },
    optional={"steps": st.lists(STEP_TEXT | JSON, max_size=3), "nodes": NODES, "title": JSON},
)


@fuzzed
@given(OF_USERS | JSON)
def test_pipelines_of_users_reach_no_other_file_and_no_network(photograph: Path, document: Any) -> None:
    with reached(photograph) as elsewhere:
        try:
            results_of(read_pipeline(json.dumps(document)), photograph, "photo.png")
        except LeptonError as error:
            assert str(photograph.parent) not in reason_of(error)
    assert elsewhere == []


@fuzzed
@given(st.binary(max_size=400) | JSON.map(lambda value: json.dumps(value).encode()))
def test_documents(text: bytes) -> None:
    try:
        Manifest.from_json(parse_document(text, "the manifest"), job_id="job")
    except LeptonError as error:
        reason_of(error).encode()
    else:
        raise AssertionError("this is no manifest")


@fuzzed
@given(st.binary(max_size=200), st.sampled_from([".json", ".toml"]))
def test_pipeline_files(tmp_path_factory: pytest.TempPathFactory, content: bytes, suffix: str) -> None:
    file = tmp_path_factory.getbasetemp() / f"pipeline{suffix}"
    file.write_bytes(content)
    try:
        outputs_of_pipeline(file, "in.npy", "out.npy", {}, {})
    except LeptonError as error:
        reason_of(error).encode()


@fuzzed
@given(
    ANY_TEXT
    | st.tuples(st.sampled_from(["redis://", "rediss://", "unix://", "redis+socket://"]), ANY_TEXT).map("".join)
)
def test_addresses(url: str) -> None:
    try:
        redis_py_url(url)
    except LeptonError as error:
        reason_of(error).encode()


def honest_files(folder: Path) -> dict[str, bytes]:
    pixels = np.arange(48 * 40, dtype=np.uint16).reshape(48, 40)
    made = {name: io.BytesIO() for name in ("a.npy", "a.tif", "tiles.tif", "a.png", "a.jpg")}
    np.save(made["a.npy"], pixels)
    tifffile.imwrite(made["a.tif"], pixels)
    tifffile.imwrite(made["tiles.tif"], pixels, tile=(16, 16), compression="zlib")
    PIL.Image.fromarray(pixels.astype(np.uint8)).save(made["a.png"], "PNG")
    PIL.Image.fromarray(pixels.astype(np.uint8)).save(made["a.jpg"], "JPEG")
    zarr.create_array(str(folder / "honest.zarr"), shape=(48, 40), chunks=(16, 16), dtype="uint16")[:] = pixels
    return {name: file.getvalue() for name, file in made.items()}


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    folder = tmp_path_factory.mktemp("files")
    return folder, honest_files(folder)


CHANGES = st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8)), min_size=1, max_size=6)
"""Where bytes of a file are replaced, as a share of its length, and by which."""


def damaged(content: bytes, changes: list[tuple[float, bytes]], cut: float) -> bytes:
    made = bytearray(content)
    for where, replacement in changes:
        at = int(where * len(made))
        made[at : at + len(replacement)] = replacement
    return bytes(made[: max(1, int(cut * len(made)))])


def read(path: Path) -> None:
    """Open an image as this package does, and read its pixels if they are few."""
    try:
        reader = stores.open_array(path)
        if np.prod(reader.shape, dtype=float) * reader.dtype.itemsize < 1 << 24:
            reader.read(Region.whole(reader.shape))
    except (LeptonError, MemoryError) as error:
        reason_of(error).encode()


@pytest.mark.filterwarnings("ignore")
@fuzzed
@given(
    st.sampled_from(["a.npy", "a.tif", "tiles.tif", "a.png", "a.jpg"]), CHANGES, st.sampled_from([1.0, 1.0, 0.9, 0.3])
)
def test_damaged_files(
    honest: tuple[Path, dict[str, bytes]], name: str, changes: list[tuple[float, bytes]], cut: float
) -> None:
    folder, files = honest
    path = folder / name
    path.write_bytes(damaged(files[name], changes, cut))
    read(path)


@pytest.mark.filterwarnings("ignore")
@fuzzed
@given(st.sampled_from(["zarr.json", "c/0/0", "c/1/1"]), CHANGES, st.sampled_from([1.0, 1.0, 0.5]))
def test_damaged_zarr(
    honest: tuple[Path, dict[str, bytes]], name: str, changes: list[tuple[float, bytes]], cut: float
) -> None:
    path = honest[0] / "honest.zarr" / name
    before = path.read_bytes()
    path.write_bytes(damaged(before, changes, cut))
    try:
        read(honest[0] / "honest.zarr")
    finally:
        path.write_bytes(before)
