"""The `lepton` command: its actions and its refusals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image
from skimage import data, filters, measure

import lepton_celery as lazy
from lepton_celery import stores
from lepton_celery.cli import lepton as lepton_command
from lepton_celery.cli import shipped
from lepton_celery.grid import Region
from lepton_celery.jobs.local_stack import read_running
from lepton_celery.planning.cost.keep import model_of_folder
from lepton_celery.planning.cost.model import CostModel
from lepton_celery.skimage import filters as lazy_filters
from lepton_celery.skimage import measure as lazy_measure
from tests.acceptance.commands import ROOT, environment, lepton, offspring
from tests.waiting import eventually

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(400)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with inputs, good and bad."""
    np.save(tmp_path / "camera.npy", data.camera())
    np.save(tmp_path / "float.npy", data.camera() / 255)
    np.save(tmp_path / "complex.npy", np.zeros((4, 4), complex))
    np.save(tmp_path / "empty.npy", np.zeros((0, 4)))
    (tmp_path / "junk.npy").write_text("junk")
    (tmp_path / "junk.tif").write_text("junk")
    (tmp_path / "taken.npy").write_bytes(b"mine")
    (tmp_path / "notes.txt").write_text("x")
    return tmp_path


def read(path: Path) -> NDArray[np.generic]:
    reader = stores.open_array(path)
    pixels: NDArray[np.generic] = reader.read(Region.whole(reader.shape))
    return pixels


def smooth_labels() -> NDArray[np.generic]:
    smooth = filters.gaussian(data.camera(), sigma=2)
    labels: NDArray[np.generic] = measure.label(smooth > filters.threshold_otsu(smooth))
    return labels


STEPS = ("gaussian:sigma=2", "threshold:otsu", "label")


def test_run_without_a_broker_runs_here(folder: Path) -> None:
    done = lepton("run", "camera.npy", "labels.zarr", *STEPS, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "wrote labels.zarr\n"
    assert "running here" in done.stderr
    assert np.array_equal(read(folder / "labels.zarr"), smooth_labels())


def test_run_reads_pictures_and_writes_tables(folder: Path) -> None:
    Image.fromarray(data.camera()).save(folder / "camera.png")
    table = "regionprops_table:properties=label+area+intensity_mean"
    done = lepton("run", "camera.png", "cells.csv", *STEPS, table, "--here", cwd=folder)
    assert done.returncode == 0, done.stderr
    expected = measure.regionprops_table(smooth_labels(), data.camera(), properties=("label", "area", "intensity_mean"))
    found = stores.read_table(folder / "cells.csv")
    assert all(np.array_equal(found[name], column) for name, column in expected.items())


def test_run_with_a_pipeline_in_a_file(folder: Path) -> None:
    image = lazy.open(folder / "camera.npy")
    smooth = lazy_filters.gaussian(image, sigma=2)
    labels = lazy_measure.label(smooth > lazy_filters.threshold_otsu(smooth))
    document = lazy.to_json({"labels.npy": labels, "smooth.npy": smooth})
    for node in document["nodes"]:
        if node["operation"] == "lepton.source":
            node["arguments"]["url"] = "input:image"
    (folder / "cells.json").write_text(json.dumps(document))
    (folder / "out").mkdir()
    done = lepton("run", "camera.npy", "out", "--pipeline", "cells.json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert np.array_equal(read(folder / "out" / "labels.npy"), smooth_labels())
    assert np.array_equal(read(folder / "out" / "smooth.npy"), filters.gaussian(data.camera(), sigma=2))


def test_explain_describes_the_plan(folder: Path) -> None:
    done = lepton("explain", "camera.npy", *STEPS, cwd=folder)
    assert done.returncode == 0
    assert "stage 1/4" in done.stdout
    assert "1 block of 512×512, no halo" in done.stdout
    assert "blocks in all, about" in done.stdout
    done = lepton("explain", "camera.npy", *STEPS, "--block-shape", "128x128", cwd=folder)
    assert "16 blocks of 128×128, halo 8 px" in done.stdout


def test_operations_are_listed(folder: Path) -> None:
    done = lepton("operations", cwd=folder)
    assert "filters.gaussian" in done.stdout
    assert "identical" in done.stdout
    assert "lepton." not in done.stdout


def test_every_command_has_a_help_text(folder: Path) -> None:
    overview = lepton("--help", cwd=folder).stdout
    for command in ("run", "explain", "operations", "jobs", "status", "cancel", "up", "demo"):
        assert f"  {command} " in overview
        helped = lepton(command, "--help", cwd=folder)
        assert helped.returncode == 0
        assert len(helped.stdout.splitlines()) >= 5


def test_it_is_a_celery_command_too(folder: Path) -> None:
    done = subprocess.run(
        ["celery", "-A", "workers.app", "lepton", "--help"],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "explain" in done.stdout


REFUSALS = {
    "a missing file": (("missing.npy", "o.npy", "gaussian"), 3, ("nothing at", "missing.npy", "check the path")),
    "a damaged file": (("junk.npy", "o.npy", "gaussian"), 3, ("junk.npy", "cannot be read")),
    "a file that is no TIFF": (("junk.tif", "o.npy", "gaussian"), 3, ("junk.tif", "not a TIFF")),
    "a folder": ((".", "o.npy", "gaussian"), 2, ("is a folder, and not one of Zarr",)),
    "an unknown input format": (("notes.txt", "o.npy", "gaussian"), 2, ("notes.txt", ".zarr")),
    "an unknown operation": (("camera.npy", "o.npy", "gausian"), 2, ("gausian", "filters.gaussian")),
    "an unknown parameter": (("camera.npy", "o.npy", "gaussian:sigmaa=2"), 2, ("sigmaa", "sigma=1.0")),
    "a parameter that is out of range": (("camera.npy", "o.npy", "gaussian:sigma=-1"), 2, ("sigma=-1", "less than")),
    "a parameter of the wrong type": (("camera.npy", "o.npy", "gaussian:sigma=abc"), 2, ("sigma='abc'",)),
    "a mode that would not be exact": (("camera.npy", "o.npy", "gaussian:mode=grid-wrap"), 2, ("grid-wrap", "'wrap'")),
    "a dtype it cannot take": (("float.npy", "o.npy", "label"), 2, ("float64", "integers", "astype")),
    "complex pixels": (("complex.npy", "o.npy", "gaussian"), 2, ("complex128",)),
    "an empty image": (("empty.npy", "o.npy", "gaussian"), 2, ("no pixels",)),
    "an output that exists": (("camera.npy", "taken.npy", "gaussian"), 3, ("taken.npy exists", "--overwrite")),
    "an output folder that is not there": (("camera.npy", "no/o.npy", "gaussian"), 3, ("no first", "create")),
    "an unknown output format": (("camera.npy", "o.xyz", "gaussian"), 2, ("o.xyz", ".zarr")),
    "a dtype the output cannot hold": (("camera.npy", "o.png", "gaussian"), 2, ("float64", "img_as_ubyte")),
    "an image into a table": (("camera.npy", "o.csv", "gaussian"), 2, ("o.csv", "table format")),
    "no steps": (("camera.npy", "o.npy"), 2, ("no steps",)),
    "a block shape of another dimension": (
        ("camera.npy", "o.npy", "gaussian", "--block-shape", "8x8x8"),
        2,
        ("(8, 8, 8)", "one length per axis"),
    ),
    "a missing pipeline": (("camera.npy", "o.npy", "--pipeline", "no.json"), 3, ("no.json",)),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_run_refuses(folder: Path, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments, code, words = REFUSALS[case]
    before = sorted(folder.iterdir())
    monkeypatch.chdir(folder)
    # in this process, since starting a process for each case would take a minute
    done = CliRunner().invoke(lepton_command, ["run", *arguments])
    assert done.exit_code == code, done.stderr
    assert isinstance(done.exception, SystemExit)
    assert done.stderr.count("Error") == 1, done.stderr
    for word in words:
        assert word in done.stderr
    assert sorted(folder.iterdir()) == before
    assert (folder / "taken.npy").read_bytes() == b"mine"


AS_NOBODY = """
import os, sys
import lepton_celery.cli.run, lepton_celery.stores.npy
for path in sys.argv.pop(1).split(":"):
    os.chmod(path, 0o755)
if os.geteuid() == 0:
    os.seteuid(65534)  # root may read everything
lepton_celery.cli.main()
"""


def test_run_refuses_a_file_it_may_not_read(folder: Path) -> None:
    (folder / "camera.npy").chmod(0)
    above = [str(path) for path in (folder, *folder.parents) if path.owner() == folder.owner() and len(path.parts) > 2]
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, ":".join(above), "run", "camera.npy", "o.npy", "gaussian"],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert "camera.npy" in done.stderr
    assert "ermission" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_refusal_is_one_line_and_no_traceback(folder: Path) -> None:
    done = lepton("run", "missing.npy", "o.npy", "gaussian", cwd=folder)
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_run_refuses_a_broker_that_does_not_answer(folder: Path) -> None:
    before = sorted(folder.iterdir())
    url = "redis://:secret@127.0.0.1:1/0"
    done = lepton("run", "camera.npy", "o.npy", "gaussian", cwd=folder, LEPTON_BROKER_URL=url)
    assert done.returncode == 4
    assert "does not answer" in done.stderr
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(folder.iterdir()) == before


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of one megabyte."""
    mount = tmp_path / "small"
    mount.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mount)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"needs root to mount a small file system: {done.stderr.strip()}")
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


@pytest.mark.parametrize("suffix", [".npy", ".zarr", ".tif"])
def test_run_refuses_a_disk_that_is_full(folder: Path, full_disk: Path, suffix: str) -> None:
    output = full_disk / f"o{suffix}"
    noise = np.random.default_rng(0).random((700, 700))  # does not compress into a megabyte
    np.save(folder / "noise.npy", noise)
    done = lepton("run", "noise.npy", str(output), "gaussian:sigma=1", "--here", cwd=folder)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert "space" in done.stderr
    assert list(full_disk.iterdir()) == []


def test_calibrate_saves_shows_and_removes_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEPTON_STATE", str(tmp_path / "state"))
    # one second is too short for the whole catalogue, but common functions are always measured
    began = time.process_time()
    done = CliRunner().invoke(lepton_command, ["calibrate", "--seconds", "1", "--path", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert time.process_time() - began < 15
    assert "no broker is configured" in done.output
    assert list(tmp_path.iterdir()) == [tmp_path / "state"]  # the files used for measuring are gone
    model = model_of_folder()
    assert model.measured_at is not None
    for name in ("filters.gaussian", "filters.sobel", "lepton.label_blocks", "restoration.denoise_nl_means"):
        assert any(key.startswith(name) for key in model.figures["compute"])
    assert 0.1 <= model.speed <= 10
    shown = CliRunner().invoke(lepton_command, ["calibrate", "--show"]).output
    assert "figures: calibrated on" in shown
    assert "filters.gaussian float32" in shown
    assert "removed" in CliRunner().invoke(lepton_command, ["calibrate", "--reset"]).output
    assert model_of_folder() == CostModel()
    both = CliRunner().invoke(lepton_command, ["calibrate", "--show", "--reset"])
    assert both.exit_code == 2


# ------------------------------------------------------------------------------------------------ with a local stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which `lepton up` runs."""
    folder = tmp_path_factory.mktemp("up")
    process = subprocess.Popen(
        ["lepton", "up", "--no-flower"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: process.poll() is not None or read_running(folder / ".lepton") is not None)
        assert process.poll() is None
        yield folder
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(180) == 0


def test_jobs_status_and_cancel(stack: Path) -> None:
    np.save(stack / "camera.npy", np.tile(data.camera(), (3, 3)))
    assert "no jobs yet" in lepton("jobs", cwd=stack).stdout

    done = lepton("run", "camera.npy", "smooth.npy", "gaussian:sigma=2", cwd=stack)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("job ")

    slow = ("rolling_ball:radius=60",)
    started = lepton("run", "camera.npy", "slow.npy", *slow, "--no-wait", "--block-shape", "32x32", cwd=stack)
    job = started.stdout.strip()
    status = lepton("status", job, cwd=stack)
    assert status.returncode == 0
    assert "running" in status.stdout
    cancelled = lepton("cancel", job, cwd=stack)
    assert cancelled.stdout == f"job {job} is cancelled\n"
    assert lepton("status", job, cwd=stack).returncode == 6
    listed = lepton("jobs", cwd=stack).stdout
    assert "done" in listed
    assert "cancelled" in listed


def test_jobs_are_found_by_state_and_by_the_beginning_of_their_id(stack: Path) -> None:
    np.save(stack / "small.npy", data.camera()[:64, :64])
    title = "[bold]one[/nope]"
    done = lepton("run", "small.npy", "one.npy", "gaussian", "--title", title, "--json", "--overwrite", cwd=stack)
    job = json.loads(done.stdout)
    assert (job["state"], job["title"], job["outputs"]) == ("done", title, [str(stack / "one.npy")])
    listed = json.loads(lepton("jobs", "--state", "done", "--json", cwd=stack).stdout)
    assert listed[0]["job"] == job["job"]
    assert {entry["state"] for entry in listed} == {"done"}
    assert title in lepton("jobs", cwd=stack).stdout
    status = lepton("status", job["job"][:11], "--wait", "--timeout", "30", cwd=stack)
    assert (status.returncode, "ago" in status.stdout) == (0, True)
    watched = lepton("status", job["job"], "--watch", "--json", cwd=stack)
    assert [json.loads(line)["state"] for line in watched.stdout.splitlines()] == ["done"]
    assert lepton("cancel", job["job"][:11], cwd=stack).returncode == 9


def test_names_that_are_not_utf_8_run_here_and_are_refused_on_workers(stack: Path) -> None:
    name = os.fsdecode(b"cam\xffera.npy")
    np.save(stack / name, data.camera()[:64, :64])
    refused = lepton("run", name, "latin.npy", "gaussian", cwd=stack)
    assert refused.returncode == 2
    assert "is not UTF-8" in refused.stderr
    assert lepton("run", name, "latin.npy", "gaussian", "--here", cwd=stack).returncode == 0


def test_an_unknown_job_is_not_found(stack: Path) -> None:
    for command in ("status", "cancel"):
        done = lepton(command, "nosuchjob", cwd=stack)
        assert done.returncode == 8
        assert "nosuchjob" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_second_stack_in_one_folder_is_refused(stack: Path) -> None:
    done = lepton("up", cwd=stack)
    assert done.returncode != 0
    assert "runs" in done.stderr
    assert "Traceback" not in done.stderr


# ------------------------------------------------------------------------------------------------ the demonstration


def test_the_demonstration_is_identical_and_leaves_no_process(tmp_path: Path) -> None:
    done = lepton(
        "demo", "--side", "1500", "--directory", str(tmp_path / "out"), cwd=tmp_path, TEST_FOLDER=str(tmp_path)
    )
    assert done.returncode == 0, done.stderr
    assert "identical to scikit-image on the whole image" in done.stdout
    assert "galaxies" in done.stdout
    assert {"galaxies.zarr", "galaxies.csv", "galaxies.png"} <= {path.name for path in (tmp_path / "out").iterdir()}
    assert offspring(tmp_path) == []


def test_the_wheel_contains_the_scripts_where_commands_look_for_them() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {path: f"lepton_celery/cli/{name}.py" for name, path in shipped.SCRIPTS.items()}.items() <= wheel[
        "force-include"
    ].items()
    assert all((ROOT / path).exists() for path in shipped.SCRIPTS.values())


def test_an_installation_without_the_demonstration_reports_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(shipped.SCRIPTS, "galaxies", "nowhere.py")
    done = CliRunner().invoke(lepton_command, ["demo"])
    assert done.exit_code == 2
    assert "neither at" in done.stderr
