"""Whatever a user types ends with a message and an exit code, never with a traceback."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from lepton_celery.catalogue import public_names
from lepton_celery.cli import jobs as jobs_command
from lepton_celery.cli import lepton as lepton_command
from lepton_celery.cli.commands import COMMANDS
from lepton_celery.cli.exits import EXIT_CODES, FAULT
from lepton_celery.config import Settings
from lepton_celery.errors import JobNotFound
from lepton_celery.grid import StageNumber
from lepton_celery.jobs.find import find_by_prefix
from lepton_celery.ledger import open_ledger
from lepton_celery.ledger.info import Description, JobInfo, JobState
from lepton_celery.priority import Priority
from lepton_celery.views.listing import row_of
from tests.oracle import picture
from tests.server.server import Server

JUNK = [
    "",
    " ",
    "a\nb",
    "x" * 300,
    "9" * 400,
    *"- -- @ @image a=b = : é× \udcff.npy [bold] {} NaN -1 0 1e400 / . .. none \\".split(),
]
JUNK += "/proc/self/mem /dev/null http://[ file://x/y".split()

FILES = """image.npy labels.npy rgb.npy float.npy volume.npy missing.npy junk.npy junk.tif junk.zarr empty.npy folder
pipeline.json bad.json list.json steps.toml bad.toml image.png""".split()

OUTPUTS = "out.npy out.zarr out.tif out.png out.csv out.parquet out.xyz taken.npy no/out.npy out".split()

VALUES = """2 0.5 -1 0 nan inf none true text disk(3) ball(2) disk(-1) AffineTransform(scale=2) (1,2) [1,2,3] () []
label+area ' 'q' @image @other array([[1,0],[0,1]]) [[1,2],[3]] (((1,),),) otsu reflect wrap float32 uint8 all
-5 99""".split()

OPTIONS = """--json --here --overwrite --no-wait --resume --threads --block-shape --pipeline --save --input --timeout
--priority --state --watchh --limit --workers --quick --param --halo --dtype --ndim --show --help -h --version --title
--markdown -x --threads=0 --json=1""".split()

NAMES = [name.rpartition(".")[2] for name in public_names()]
PARAMETERS = """sigma footprint mode cval size properties min_size mask channel_axis radius axis inverse_map output_shape
order block_size connectivity spacing dtype rng q markers""".split()

values = st.sampled_from(VALUES) | st.sampled_from(JUNK) | st.text(max_size=8)
arguments = st.builds(
    lambda name, value: f"{name}={value}" if name else value, st.sampled_from(["", *PARAMETERS]), values
)
steps = st.builds(
    lambda name, given: f"{name}:{','.join(given)}" if given else name,
    st.sampled_from([*NAMES, "threshold", "@image", "a=median", "a,b=label", "nonsense", "lepton.extent"]),
    st.lists(arguments, max_size=3),
)
words = st.sampled_from(JUNK) | st.sampled_from(FILES) | st.sampled_from(OUTPUTS) | st.sampled_from(OPTIONS) | steps
sources = st.sampled_from(FILES)
runs = st.builds(
    lambda source, output, given, more: ["run", source, output, *given, *more],
    sources,
    st.sampled_from(OUTPUTS),
    st.lists(steps, max_size=3),
    st.lists(words, max_size=2),
)
explains = st.builds(
    lambda source, given: ["explain", source, *given], sources, st.lists(steps, min_size=1, max_size=3)
)
others = st.sampled_from(
    [name for name in COMMANDS if name not in ("up", "worker", "flower", "autoscale", "demo", "calibrate", "prove")]
)
command_lines = runs | explains | st.builds(lambda name, given: [name, *given], others, st.lists(words, max_size=4))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The working directory: a folder with images, pipelines and files that are neither."""
    folder = tmp_path_factory.mktemp("command_line")
    for name, shape, dtype in (
        ("image", (12, 14), "uint8"),
        ("float", (12, 14), "float64"),
        ("rgb", (12, 14, 3), "uint8"),
        ("volume", (5, 6, 7), "uint16"),
    ):
        np.save(folder / f"{name}.npy", picture(shape, dtype))
    np.save(folder / "labels.npy", np.arange(168).reshape(12, 14) // 30)
    np.save(folder / "empty.npy", np.zeros((0, 3)))
    for name in ("junk.npy", "junk.tif", "taken.npy", "image.png", "bad.json", "bad.toml"):
        (folder / name).write_text("junk")
    (folder / "list.json").write_text("[1]")
    (folder / "pipeline.json").write_text(json.dumps({"version": 1, "steps": ["median"]}))
    (folder / "steps.toml").write_text(
        'version = 1\nsteps = ["a=median", "b=gaussian"]\noutputs = {x = "a", y = "b"}\n'
    )
    (folder / "junk.zarr").mkdir()
    (folder / "folder").mkdir()
    before = Path.cwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)


def run(arguments: list[str], **environment: str) -> Result:
    clean = {name: None for name in os.environ if name.startswith("LEPTON_")}
    return CliRunner(env=clean | {"LEPTON_STATE": "state"} | environment).invoke(lepton_command, arguments)


def assert_ends_well(done: Result) -> None:
    """The command ended with a known exit code, and with a message if that is not 0."""
    assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
    assert done.exit_code in EXIT_CODES and done.exit_code != FAULT, done.stderr
    assert "Traceback" not in done.output
    if done.exit_code:
        assert done.output.strip(), f"exit code {done.exit_code} without a message"


@pytest.mark.filterwarnings("ignore")  # a warning is no traceback
@given(command_lines)
@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
def test_no_command_line_ends_with_a_traceback(folder: Path, arguments: list[str]) -> None:
    assert_ends_well(run(arguments))


def test_a_job_that_fails_says_which_outputs_are_written(folder: Path) -> None:
    np.save(folder / "flat.npy", np.full((12, 14), 7, np.uint8))
    steps = ["largest=max", "@image", "threshold_minimum"]
    done = run(["run", "flat.npy", "threshold.csv", *steps, "--save", "largest=max.json", "--here"])
    assert done.exit_code != 0 and "written: max.json; not written: threshold.csv" in done.output
    assert (folder / "max.json").exists() and not (folder / "threshold.csv").exists()


NO_SERVER = "redis://127.0.0.1:1/0"

ENVIRONMENTS = [
    ({"LEPTON_BROKER_URL": "x"}, 2, "'x' is not understood"),
    ({"LEPTON_BROKER_URL": ""}, 4, "no broker is configured"),
    ({"LEPTON_BROKER_URL": NO_SERVER}, 4, "does not answer"),
    ({"LEPTON_BROKER_URL": "redis://127.0.0.1:99999"}, 2, "its port is neither"),
    ({"LEPTON_BROKER_URL": "redis://[::1"}, 2, "cannot be read"),
    ({"LEPTON_BROKER_URL": "http://host"}, 2, "is not understood"),
    ({"LEPTON_BROKER_URL": "redis+socket:///nothing"}, 4, "does not answer"),
    ({"LEPTON_BROKER_URL": NO_SERVER, "LEPTON_LEDGER_URL": "x"}, 2, "'x' is not understood"),
    ({"LEPTON_LEASE_S": "soon"}, 2, "LEPTON_LEASE_S='soon' is not a number"),
    ({"LEPTON_LEASE_S": "nan"}, 2, "LEPTON_LEASE_S='nan' is not possible; give a number from 0"),
    ({"LEPTON_WORKER_MEMORY_BYTES": "-5"}, 2, "is not possible; give a number from 0"),
    ({"LEPTON_KERNELS": "yes"}, 2, "neither 0 nor 1"),
    ({"LEPTON_NOTHING": "1"}, 2, "LEPTON_NOTHING is not a setting"),
    ({"LEPTON_SETTINGS": "nothing"}, 2, "No module named"),
]


@pytest.mark.parametrize(("environment", "code", "words"), ENVIRONMENTS)
@pytest.mark.parametrize("command", ["jobs", "run"])
def test_wrong_environments_are_explained(
    folder: Path, command: str, environment: dict[str, str], code: int, words: str
) -> None:
    done = run(["jobs"] if command == "jobs" else ["run", "image.npy", "new.npy", "median"], **environment)
    if command == "run" and code == 4 and "no broker" in words:
        assert done.exit_code == 0  # it runs here
        (folder / "new.npy").unlink()
        return
    assert done.exit_code == code, done.stderr
    assert words in done.stderr
    assert_ends_well(done)


SUGGESTIONS = [
    (["runn"], "did you mean run?"),
    (["list"], "did you mean jobs?"),
    (["qqqq"], "there are run, explain"),
    (["run", "--overwite"], "--overwrite"),
    (["explain", "image.npy", "gausian"], "did you mean filters.gaussian"),
    (["explain", "imag.npy", "gaussian"], "did you mean"),
    (["operations", "gausian"], "did you mean filters.gaussian"),
    (["jobs", "--state", "don"], "'done'"),
]


@pytest.mark.parametrize(("arguments", "words"), SUGGESTIONS)
def test_mistyped_words_are_met_by_near_ones(folder: Path, arguments: list[str], words: str) -> None:
    done = run(arguments)
    assert done.exit_code in (2, 3)
    assert words in done.stderr


def test_operations_are_found_by_words(folder: Path) -> None:
    found = json.loads(run(["operations", "filters", "gauss", "--json"]).stdout)
    assert [entry["operation"] for entry in found] == ["filters.difference_of_gaussians", "filters.gaussian"]
    assert set(found[0]) == {"operation", "source", "parameters", "exactness"}
    assert found[1]["exactness"] == "identical"


def test_a_plan_is_a_json_document(folder: Path) -> None:
    plan = json.loads(run(["explain", "image.npy", "gaussian", "threshold:otsu", "--json"]).stdout)
    assert set(plan) == {"predicted_s", "workers", "blocks", "figures", "stages", "alternatives"}
    assert plan["stages"][0]["work"][0] == "read input"


def test_a_finished_job_is_a_json_document(folder: Path) -> None:
    document = json.loads(
        run(["run", "image.npy", "job.npy", "a=median", "label", "--save", "a=a.npy", "--json"]).stdout
    )
    assert (document["state"], document["progress"]) == ("done", 1.0)
    assert [Path(path).name for path in document["outputs"]] == ["job.npy", "a.npy"]
    assert document["created"].endswith("Z")


def jobs_at(width: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines of a list of two jobs on a terminal of this width."""
    info = JobInfo(
        "0123456789ab", JobState.FAILED, "batch", "[bold]cells[/x] " * 5, StageNumber(1), 3, 7, 12345, 7, 0.0, 9e3
    )
    console = Console(width=width, markup=False, highlight=False)
    monkeypatch.setattr(jobs_command, "output", lambda: console)
    with console.capture() as capture:
        console.print(jobs_command.as_table([row_of(info), row_of(replace(info, state=JobState.DONE, title="x"))]))
    return capture.get().splitlines()


@pytest.mark.parametrize("width", [80, 200])
def test_a_list_of_jobs_fits_the_terminal_and_cuts_no_id(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    heading, *lines = jobs_at(width, monkeypatch)
    assert len(lines) == 2
    assert all(len(line) <= width and line.startswith("0123456789ab  ") for line in lines)
    assert ("lane" in heading, "started" in heading) == (width == 200, width == 200)
    assert "2/3" in lines[0] and "7/12345" in lines[0] and "2 h 30 min" in lines[0] and "[bold]cells" in lines[0]


def test_the_traceback_is_shown_when_it_is_asked_for(folder: Path) -> None:
    assert "Traceback" in run(["--traceback", "explain", "image.npy", "gausian"]).stderr


def test_all_exit_codes_are_documented(folder: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/command-line.md").read_text()
    helped = run(["--help"]).stdout
    for code, meaning in EXIT_CODES.items():
        assert f"| {code} | {meaning} |" in page
        assert f"  {code} " in helped


def test_a_job_is_found_by_the_beginning_of_its_id(server: Server, tmp_path: Path) -> None:
    settings = Settings(broker_url=server.url)
    ledger = open_ledger(server.url)
    for job_id in ("aa11", "aa22", "bb33"):
        ledger.create(job_id, {}, lane="default", description=Description(job_id), stages=[1.0], blocks=1)
    try:
        assert find_by_prefix("b", settings=settings).id == "bb33"
        assert find_by_prefix("aa11", settings=settings).id == "aa11"
        with pytest.raises(
            JobNotFound, match=r"2 jobs have an id that begins with 'a': (aa11, aa22|aa22, aa11); give more"
        ):
            find_by_prefix("a", settings=settings)
        for unknown in ("c", "", "aa111", "\udcff"):
            with pytest.raises(JobNotFound, match="knows no job"):
                find_by_prefix(unknown, settings=settings)
    finally:
        for job_id in ("aa11", "aa22", "bb33"):
            ledger.forget(job_id)


def test_the_owner_of_a_job_is_shown_and_asked_for(server: Server) -> None:
    ledger = open_ledger(server.url)
    environment = {"LEPTON_BROKER_URL": server.url, "COLUMNS": "150"}
    jobs = {"dd11": "Ada Ü", "dd22": "bob", "dd33": ""}
    for job_id, owner in jobs.items():
        about = Description(job_id, owner)
        ledger.create(job_id, {}, lane="batch", description=about, stages=[1.0], blocks=1)
    try:
        listed = run(["jobs"], **environment).output
        assert "owner" in listed.splitlines()[0] and "Ada Ü" in listed
        listed = run(["jobs", "--owner", "bob"], **environment).output
        assert "dd22" in listed and "dd11" not in listed
        assert "owner" not in run(["jobs", "--owner", ""], **environment).output.splitlines()[0]
        entries = json.loads(run(["jobs", "--json"], **environment).output)
        assert {one["job"]: one["owner"] or "" for one in entries if one["job"] in jobs} == jobs
    finally:
        for job_id in jobs:
            ledger.forget(job_id)


def test_the_priority_and_the_tenant_of_a_job_are_shown_and_changed(server: Server) -> None:
    ledger = open_ledger(server.url)
    for job_id, tenant in (("cc11", "lab"), ("cc22", "")):
        ledger.create(job_id, {}, lane="batch", description=Description(job_id), stages=[1.0], blocks=1)
        ledger.prioritize(job_id, Priority("batch", 2), tenant=tenant)
    environment = {"LEPTON_BROKER_URL": server.url, "COLUMNS": "150"}
    try:
        assert (
            "cc11 has the priority interactive:4"
            in run(["reprioritize", "cc11", "interactive:4"], **environment).output
        )
        listed = run(["jobs", "--lane", "interactive", "--tenant", "lab"], **environment).output
        assert "interactive:4 lab" in listed and "cc22" not in listed
        entries = json.loads(run(["jobs", "--json", "--lane", "batch", "--tenant", ""], **environment).output)
        [entry] = [entry for entry in entries if entry["job"].startswith("cc")]
        assert (entry["job"], entry["lane"], entry["rank"], entry["tenant"]) == ("cc22", "batch", 2, None)
        wrong = run(["reprioritize", "cc11", "urgent"], **environment)
        assert wrong.exit_code == 2 and "give a lane (interactive, default, batch)" in wrong.output
        ledger.cancel("cc11")
        ended = run(["reprioritize", "cc11", "batch"], **environment)
        assert ended.exit_code == 9 and "it is cancelled already" in ended.output
    finally:
        for job_id in ("cc11", "cc22"):
            ledger.forget(job_id)
