"""`python -m tests.upstream ARCHIVE`: runs scikit-image's own tests with its functions computed in blocks.

    python -m tests.upstream scikit_image-0.26.0.tar.gz
    python -m tests.upstream scikit_image-0.26.0.tar.gz filters/test_median.py

ARCHIVE is the source archive from https://pypi.org/project/scikit-image/#files, because the installed package has no tests.
Tests that fail run again on the whole image, so that only new failures count. The exit code is 1 if `explained.py` does not
explain one of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import click

from tests.upstream.explained import reason_of
from tests.upstream.plugin import MODULES, REPORT

LIMIT_S = 300
"""Seconds that one test may take before it counts as failed."""


@click.command(help="Run scikit-image's own tests with its functions computed in blocks.")
@click.argument("archive", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("tests", nargs=-1)
@click.option("--processes", default=2, show_default=True, help="How many processes run tests.")
def main(archive: Path, tests: tuple[str, ...], processes: int) -> None:
    with tempfile.TemporaryDirectory(prefix="lepton-upstream-") as folder:
        root = _unpack(archive, Path(folder))
        refusals = root / "refusals.jsonl"
        asked = tests or tuple(sorted({module.partition(".")[0] for module in MODULES}))
        plugin = ["-p", "tests.upstream.plugin", "-n", str(processes)]
        results = _run(root, [*plugin, *asked], {REPORT: str(refusals)})
        failed = {test: why for test, why in results.items() if why}
        again = _run(root, ["--last-failed", "--last-failed-no-failures=none", *asked], {}) if failed else {}
        _say_refusals(refusals)
    new = {test: why for test, why in failed.items() if not again.get(test)}
    click.echo(
        f"{len(results) - len(failed)} tests pass, {len(failed)} fail; {len(new)} of these pass on the whole image:"
    )
    for test, why in sorted(new.items()):
        click.echo(f"  {test}\n    {reason_of(test) or 'NOT EXPLAINED: ' + why}")
    sys.exit(any(reason_of(test) is None for test in new) or not results)


def _unpack(archive: Path, folder: Path) -> Path:
    """Unpack the tests of an archive. Returns the folder that has one folder of tests for each module."""
    with tarfile.open(archive) as tar:
        members = [member for member in tar.getmembers() if "/tests/skimage/" in member.name]
        tar.extractall(folder, members=members, filter="data")
    if not members:
        raise click.BadParameter(f"{archive} has no folder tests/skimage; give scikit-image's source archive")
    root = folder / members[0].name.partition("/")[0] / "tests" / "skimage"
    (root / "pytest.ini").write_text("[pytest]\n")  # this project's options and scikit-image's do not apply
    return root


def _run(root: Path, options: Sequence[str], environment: dict[str, str]) -> dict[str, str]:
    """Run tests. Returns for each test why it failed; an empty text if it did not."""
    results = root / "results.xml"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        str(root / "pytest.ini"),
        "-q",
        "--no-header",
        "--tb=no",
        "--no-summary",
    ]
    command += [f"--junit-xml={results}", f"--timeout={LIMIT_S}", *options]
    path = os.pathsep.join(filter(None, [str(Path.cwd()), os.environ.get("PYTHONPATH")]))
    # the hash seed orders sets of parameters, and all processes must collect the same tests
    fixed = {"PYTHONPATH": path, "PYTHONHASHSEED": "0"}
    subprocess.run(command, cwd=root, env=os.environ | environment | fixed, check=False)
    found: dict[str, str] = {}
    for case in ElementTree.parse(results).iter("testcase"):
        problems = [problem.get("message", "") for kind in ("failure", "error") for problem in case.iter(kind)]
        found[f"{case.get('classname')}::{case.get('name')}"] = "; ".join(
            text.splitlines()[0] for text in problems if text
        )
    return found


def _say_refusals(path: Path) -> None:
    """Print how many calls the catalogue refused, by function and reason."""
    lines = path.read_text().splitlines() if path.exists() else []
    refusals = Counter((line["function"], line["reason"]) for line in map(json.loads, lines))
    click.echo(f"{refusals.total()} calls were refused here only:")
    for (function, reason), count in sorted(refusals.items()):
        click.echo(f"  {count:5} {function}: {reason}")


if __name__ == "__main__":
    main()
