"""`lepton doctor`: looks at everything a job depends on and says what to change."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from lepton_celery.cli.where import find_settings
from lepton_celery.config import Settings, load_settings
from lepton_celery.doctor.about import about_this_process
from lepton_celery.doctor.finding import Finding, Verdict, count, ok, problem
from lepton_celery.doctor.folders import GROUP as FILES
from lepton_celery.doctor.folders import Probe, check_folder, probe
from lepton_celery.doctor.server import GROUP as SERVER
from lepton_celery.doctor.server import SCHEMES, check_server
from lepton_celery.doctor.timeouts import check_settings
from lepton_celery.doctor.workers import GROUP as WORKERS
from lepton_celery.doctor.workers import Answer, check_workers
from lepton_celery.engines.celery.app import create_app
from lepton_celery.engines.celery.sending.queues import queue_of
from lepton_celery.engines.celery.worker.inspection import ask_workers, broker_latency
from lepton_celery.errors import BrokerUnreachable, LeptonError, StoreError
from lepton_celery.ledger.address import masked

_MARKS = {Verdict.OK: "[green]✓[/]", Verdict.WARNING: "[yellow]![/]", Verdict.PROBLEM: "[red]✗[/]"}
_PIPE_WIDTH = 1000


@click.command(
    help="Check everything a job depends on: server, settings, workers, files. Exit code 1 when something must change."
)
@click.option(
    "--path",
    "paths",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="DIR",
    help="A folder that every worker must read and write; may be repeated. By default allowed_roots, or this folder.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0.1),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Wait so long for workers' answers.",
)
@click.option(
    "--workers",
    "expected",
    type=click.IntRange(1),
    metavar="N",
    help="There should be so many workers; fewer are a problem, and once all have answered nothing is waited for.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings for a machine.")
def doctor(paths: tuple[Path, ...], timeout_s: float, expected: int | None, as_json: bool) -> None:
    settings = find_settings()
    findings = _examine(settings, paths, timeout_s, expected)
    problems, warnings = count(findings, Verdict.PROBLEM), count(findings, Verdict.WARNING)
    if as_json:
        document = {"problems": problems, "warnings": warnings, "findings": [asdict(finding) for finding in findings]}
        click.echo(json.dumps(document, indent=2))
    else:
        _print(findings, problems, warnings)
    if problems:
        raise click.exceptions.Exit(1)


def _examine(named: Settings | None, paths: Sequence[Path], timeout_s: float, expected: int | None) -> list[Finding]:
    """All findings; what needs a broker is left out when there is none."""
    settings = named or load_settings()
    reachable, findings = _server(named)
    findings += check_settings(settings)
    with ExitStack() as stack:
        probes: list[Probe] = []
        for folder in _folders(paths, settings):
            try:
                probes.append(stack.enter_context(probe(folder)))
            except StoreError as error:
                findings.append(_refused(FILES, "space", error))
        answers: list[Answer] = []
        if reachable:
            tokens = {str(made.folder): made.token for made in probes}
            try:
                answers = ask_workers(create_app(settings), probes=tokens, timeout_s=timeout_s, expected=expected)
            except BrokerUnreachable as error:
                findings.append(_refused(WORKERS, "answers", error))
            else:
                here = about_this_process(settings)
                findings += check_workers(
                    answers, here, settings, queue_of=queue_of, timeout_s=timeout_s, expected=expected
                )
        for made in probes:
            said = {
                answer.worker: answer.about.folders.get(str(made.folder), {})
                for answer in answers
                if answer.about is not None
            }
            findings += check_folder(made, said, settings.allowed_roots)
    order = [SERVER, "settings", WORKERS, FILES]
    return sorted(findings, key=lambda finding: order.index(finding.group))


def _folders(paths: Sequence[Path], settings: Settings) -> list[Path]:
    wanted = paths or [Path(root) for root in settings.allowed_roots] or [Path.cwd()]
    return list(dict.fromkeys(path.absolute() for path in wanted))


def _server(settings: Settings | None) -> tuple[bool, list[Finding]]:
    """Whether broker and ledger answer, and the findings about them."""
    if settings is None:
        return False, [
            problem(
                SERVER,
                "broker",
                "none is configured, and no local stack runs in this folder",
                "set LEPTON_BROKER_URL, or start a broker and workers here with `lepton up`",
            )
        ]
    if settings.ledger == settings.broker_url:
        facts, findings = check_server(settings.ledger, "broker, ledger")
        return facts is not None, findings
    reached, broker = _broker(settings)
    facts, ledger = check_server(settings.ledger, "ledger")
    return reached and facts is not None, [*broker, *ledger]


def _broker(settings: Settings) -> tuple[bool, list[Finding]]:
    if settings.broker_url.startswith(SCHEMES):
        facts, findings = check_server(settings.broker_url, "broker")
        return facts is not None, findings
    try:
        latency = broker_latency(create_app(settings))
    except BrokerUnreachable as error:
        return False, [_refused(SERVER, "broker", error)]
    return True, [ok(SERVER, "broker", f"{masked(settings.broker_url)} answers in {latency * 1000:.1f} ms")]


def _refused(group: str, name: str, error: LeptonError) -> Finding:
    """An error as a finding: its last clause says what to do."""
    found, _, advice = str(error).rpartition("; ")
    return problem(group, name, found or str(error), advice)


def _print(findings: Sequence[Finding], problems: int, warnings: int) -> None:
    # a file or a pipe gets each finding on one line
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)
    widest = max(len(finding.name) for finding in findings)
    for group, members in groupby(findings, key=lambda finding: finding.group):
        console.print(f"[bold]{group}[/]")
        table = RichTable.grid(padding=(0, 1))
        table.add_column(width=2, justify="right")
        table.add_column(width=widest)
        table.add_column()
        for finding in members:
            table.add_row(_MARKS[finding.verdict], escape(finding.name), escape(finding.found))
            if finding.advice:
                table.add_row("", "", f"[bold]→ {escape(finding.advice)}[/]")
        console.print(table)
    console.print(f"\n{_summary(len(findings), problems, warnings)}")


def _summary(checks: int, problems: int, warnings: int) -> str:
    if not problems and not warnings:
        return f"[green]all is well[/]: {checks} checks"
    counts = [(problems, "problem"), (warnings, "warning")]
    parts = [f"{number} {word}{'s' if number > 1 else ''}" for number, word in counts if number]
    return f"[bold]{', '.join(parts)}[/] in {checks} checks"
