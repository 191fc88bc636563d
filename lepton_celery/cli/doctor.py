"""`lepton doctor`: checks everything that jobs depend on and says what to change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

import click
from rich.markup import escape
from rich.table import Column, Table

from lepton_celery.cli.console import LONG, json_option, output, print_json
from lepton_celery.cli.where import app_with, find_settings
from lepton_celery.config import Settings, load_settings
from lepton_celery.doctor import folders, server, signing, timeouts, workers
from lepton_celery.doctor.about import about_this_process
from lepton_celery.doctor.finding import OK, PROBLEM, WARNING, Finding, Verdict
from lepton_celery.engines.celery.worker.inspection import ask_workers, broker_latency, held_messages
from lepton_celery.errors import BrokerUnreachable
from lepton_celery.priority import queue_of
from lepton_celery.stores.roots import roots_of_all
from lepton_celery.text import masked, shown

_MARKS = {OK: "[green]✓[/]", WARNING: "[yellow]![/]", PROBLEM: "[red]✗[/]"}


@click.command()
@click.option(
    "--path",
    "paths",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="DIR",
    help="Folder that every worker must read and write; may be repeated.  [default: allowed_roots, or this folder]",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0.1),
    default=1.0,
    metavar="SECONDS",
    help="Longest time to wait for the workers' answers.",
)
@click.option(
    "--workers",
    "expected",
    type=click.IntRange(1),
    metavar="N",
    help="Expected number of workers. Fewer answers are a problem; the wait ends when all have answered.",
)
@json_option
def doctor(paths: tuple[Path, ...], timeout_s: float, expected: int | None, as_json: bool) -> None:
    """Check everything that jobs depend on.

    This covers the server, the settings, the workers and the files. The exit code is 1 if there is a problem.
    """
    settings = find_settings()
    findings = _examine(settings, paths, timeout_s, expected)
    counts = Counter(finding.verdict for finding in findings)
    problems, warnings = counts[PROBLEM], counts[WARNING]
    if as_json:
        document = {"problems": problems, "warnings": warnings, "findings": [asdict(finding) for finding in findings]}
        print_json(document)
    else:
        _print(findings, counts)
    if problems:
        raise click.exceptions.Exit(1)


def _examine(named: Settings | None, paths: Sequence[Path], timeout_s: float, expected: int | None) -> list[Finding]:
    """All findings. Without a broker, the workers are not checked."""
    settings = named or load_settings()
    is_reachable, about_servers = _check_servers(named)
    about_files: list[Finding] = []
    with ExitStack() as stack:
        probes: list[folders.Probe] = []
        wanted = paths or [*roots_of_all(settings.roots)] or [Path.cwd()]
        for folder in dict.fromkeys(path.absolute() for path in wanted):
            try:
                probes.append(stack.enter_context(folders.probe(folder)))
            except OSError as error:
                about_files.append(folders.unwritable(folder, error))
        fleet, about_workers = _check_workers(settings, probes, timeout_s, expected) if is_reachable else (None, [])
        answers = fleet.answers if fleet is not None else ()
        for made in probes:
            said = {a.worker: a.about.folders.get(str(made.folder), {}) for a in answers if a.about is not None}
            about_files += folders.check_folder(made, said, settings.allowed_roots)
    about_signing = signing.check_signing(settings, fleet)
    return [*about_servers, *timeouts.check_settings(settings), *about_signing, *about_workers, *about_files]


def _check_workers(
    settings: Settings, probes: Sequence[folders.Probe], timeout_s: float, expected: int | None
) -> tuple[workers.Fleet | None, list[Finding]]:
    tokens, app = {str(made.folder): made.token for made in probes}, app_with(settings)
    try:
        about_held = held_messages(app)
        if any(finding.verdict is PROBLEM for finding in about_held):  # asking would fail with an error of kombu
            return None, about_held
        answers = ask_workers(app, probes=tokens, timeout_s=timeout_s, expected=expected)
    except BrokerUnreachable as error:
        advice = "give the broker's user the keys and channels that docs/operations.md lists"
        return None, [Finding(workers.GROUP, "answers", PROBLEM, str(error), advice)]
    fleet = workers.Fleet(answers, about_this_process(settings), queue_of, timeout_s, expected or 0)
    return fleet, [*about_held, *workers.check_workers(fleet)]


def _check_servers(settings: Settings | None) -> tuple[bool, list[Finding]]:
    """Whether broker and ledger answer, and the findings about them."""
    if settings is None:
        found = "none is configured, and no local stack runs in this folder"
        advice = "set LEPTON_BROKER_URL, or start a broker and workers here with `lepton up`"
        return False, [Finding(server.GROUP, "broker", PROBLEM, found, advice)]
    if settings.ledger == settings.broker_url:
        return server.check_server(settings.ledger, "broker, ledger")
    has_broker, findings = _check_broker(settings)
    has_ledger, about_ledger = server.check_server(settings.ledger, "ledger")
    return has_broker and has_ledger, findings + about_ledger


def _check_broker(settings: Settings) -> tuple[bool, list[Finding]]:
    if settings.broker_url.startswith(server.SCHEMES):
        return server.check_server(settings.broker_url, "broker")
    try:
        latency_ms = 1000 * broker_latency(app_with(settings))
    except BrokerUnreachable as error:
        advice = "check that a broker runs there and that this machine may reach it"
        return False, [Finding(server.GROUP, "broker", PROBLEM, str(error), advice)]
    return True, [Finding(server.GROUP, "broker", OK, f"{masked(settings.broker_url)} answers in {latency_ms:.1f} ms")]


def _print(findings: Sequence[Finding], counts: Mapping[Verdict, int]) -> None:
    console = output(markup=True)
    widest = max(len(finding.name) for finding in findings)
    for group, members in groupby(findings, key=lambda finding: finding.group):
        console.print(f"[bold]{group}[/]")
        table = Table.grid(Column(width=2, justify="right"), Column(width=widest), Column(), padding=(0, 1))
        for finding in members:
            table.add_row(_MARKS[finding.verdict], escape(shown(finding.name)), escape(shown(finding.found, LONG)))
            if finding.advice:
                table.add_row("", "", f"[bold]→ {escape(shown(finding.advice, LONG))}[/]")
        console.print(table)
    parts = [f"{counts[bad]} {bad}{'s' if counts[bad] > 1 else ''}" for bad in (PROBLEM, WARNING) if counts[bad]]
    summary = f"[bold]{', '.join(parts)}[/]" if parts else "[green]no problems[/]"
    console.print(f"\n{summary} in {len(findings)} checks")
