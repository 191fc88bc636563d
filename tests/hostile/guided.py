"""Fuzzers that follow the coverage of the code (Atheris): `python -m tests.hostile.guided`, which `make fuzz` calls."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import click
import numpy as np

_LONGEST_S, _MEMORY_MB, _LONGEST_INPUT = 10, 1500, 16_384
"""Limits of one input: seconds, memory of the process, bytes."""


_PIPELINE = b'{"version": 1, "steps": ["gaussian:sigma=2", "threshold:otsu", "label"]}'
_NODES = (
    b'{"version": 1, "nodes": [{"operation": "lepton.source", "arguments": {"url": "input:image"}}, {"operation": '
    b'"filters.gaussian", "arguments": {"image": {"node": 0}, "sigma": 2}}], "outputs": {"a.npy": 1}}'
)
_MESSAGE = (
    b'{"body": "W1siaiIsIDAsICIwIl0sIHt9LCB7fV0=", "content-encoding": "utf-8", "content-type": "application/json", '
    b'"headers": {"lang": "py", "task": "lepton.process", "id": "x"}, "properties": {"delivery_tag": "t", '
    b'"delivery_info": {"exchange": "", "routing_key": "lepton.default"}, "body_encoding": "base64"}}'
)
"""Valid inputs."""


def _targets() -> dict[str, tuple[Callable[[bytes], object], list[bytes]]]:
    """What is fuzzed: a function of bytes, which raises nothing but errors of this package, and valid inputs for it."""
    from lepton_celery import graph, stores
    from lepton_celery.engines.celery.worker.message_gate import check_stored
    from lepton_celery.execution.manifest import Manifest
    from lepton_celery.graph.step_syntax import parse_step
    from lepton_celery.grid import Region
    from lepton_celery.planning.batches import parse_places
    from lepton_celery.stores.documents import parse_document
    from lepton_celery.web.pipelines import read_pipeline, results_of
    from tests.unit.test_manifest import manifest

    folder = Path(tempfile.mkdtemp(prefix="lepton-fuzz-"))
    image = np.ones((12, 9))
    stored = json.dumps(manifest(folder).to_json()).encode()

    def read(suffix: str) -> Callable[[bytes], object]:
        def target(data: bytes) -> object:
            path = folder / f"input{suffix}"
            path.write_bytes(data)
            reader = stores.open_array(path)
            corner = Region((0,) * len(reader.shape), tuple(min(n, 4) for n in reader.shape))
            return reader.read(corner)

        return target

    def sample(suffix: str) -> bytes:
        import skimage.io

        path = folder / f"sample{suffix}"
        pixels = np.arange(96, dtype=np.uint8).reshape(12, 8)
        np.save(path, pixels) if suffix == ".npy" else skimage.io.imsave(path, pixels, check_contrast=False)
        return path.read_bytes()

    sample(".png")  # which the pipelines are built on
    return {
        "manifest": (lambda data: Manifest.from_json(parse_document(data, "the manifest")), [stored]),
        "graph": (
            lambda data: graph.from_json(parse_document(data, "the graph"), {"image": image}),
            [_PIPELINE, _NODES],
        ),
        "pipeline": (
            lambda data: results_of(read_pipeline(data), folder / "sample.png", "photo.png"),
            [
                b'{"version": 1, "steps": ["a=gaussian", "b=threshold:otsu"], "outputs": {"a.tif": "a", "b.tif": "b"}}',
                _NODES,
            ],
        ),
        "step": (lambda data: parse_step(data.decode(errors="surrogateescape")), [b"closing:footprint=disk(3)"]),
        "message": (check_stored, [_MESSAGE]),
        "places": (lambda data: parse_places(data.decode("latin-1")), [b"0-15,18"]),
        **{suffix: (read(suffix), [sample(suffix)]) for suffix in (".npy", ".tif", ".png")},
    }


def _fuzz(name: str, seconds: int) -> None:
    """Fuzz one target in this process, which ends with it."""
    atheris = import_module("atheris")  # of the dependency group `fuzz`, which has no types
    with atheris.instrument_imports(include=["lepton_celery"]):
        target, samples = _targets()[name]
    from lepton_celery.errors import LeptonError

    def run(data: bytes) -> None:
        with suppress(LeptonError):
            target(data)

    corpus = Path(tempfile.mkdtemp(prefix="lepton-corpus-"))
    for number, data in enumerate(samples):
        (corpus / str(number)).write_bytes(data)
    limits = (f"-timeout={_LONGEST_S}", f"-rss_limit_mb={_MEMORY_MB}", f"-max_len={_LONGEST_INPUT}")
    atheris.Setup([sys.argv[0], str(corpus), f"-max_total_time={seconds}", *limits, "-print_final_stats=1"], run)
    atheris.Fuzz()


@click.command(help="Fuzz the targets (all unless named), one after the other.")
@click.argument("names", nargs=-1)
@click.option("--seconds", type=click.IntRange(1), default=60, show_default=True, help="Time of each target.")
@click.option("--here", is_flag=True, hidden=True)
def main(names: tuple[str, ...], seconds: int, here: bool) -> None:
    if here:
        _fuzz(names[0], seconds)
        return
    found = []
    for name in names or tuple(_targets()):
        command = [sys.executable, "-m", "tests.hostile.guided", "--here", "--seconds", str(seconds), name]
        with tempfile.TemporaryDirectory(prefix="lepton-fuzz-") as folder:
            env = {**os.environ, "TMPDIR": folder}
            done = subprocess.run(command, check=False, capture_output=True, text=True, env=env)
        runs = [line.rpartition(":")[2].strip() for line in done.stderr.splitlines() if "number_of_executed" in line]
        click.echo(f"{name:10} {runs[0] if runs else '?':>10} inputs, {'ok' if done.returncode == 0 else 'FAILED'}")
        if done.returncode != 0:
            found.append(name)
            click.echo("\n".join((done.stdout + done.stderr).splitlines()[-40:]))
    if found:
        raise click.ClickException(
            f"{', '.join(found)} failed; the inputs are in the files crash-* that are named above"
        )


if __name__ == "__main__":
    main()
