"""The page that `lepton report` writes: all about a job in one file, to read, to keep and to print."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

from lepton_celery import stores
from lepton_celery.config import configured
from lepton_celery.errors import LeptonError
from lepton_celery.execution.manifest import Manifest
from lepton_celery.grid import StageIndex
from lepton_celery.jobs.job import Job
from lepton_celery.jobs.rendering import eight_bits, png_url
from lepton_celery.planning.explain import counted, duration, size
from lepton_celery.planning.plan import Plan, Ref
from lepton_celery.stores.roots import Roots
from lepton_celery.text import quoted, shown
from lepton_celery.views.blocks import BlockMap, BlockState, block_map
from lepton_celery.views.deep_zoom import DeepZoom
from lepton_celery.views.drawing import (
    STATE_COLOURS,
    STATE_NAMES,
    map_image,
    rgb,
    slot_colour,
    slot_colours,
    stage_colour,
    state_colours,
    time_colours,
    timeline_svg,
)
from lepton_celery.views.job import JobView, StageView, Times, TroubledBlock, view_of
from lepton_celery.views.job_images import images_of
from lepton_celery.views.timeline import Timeline, timeline

PICTURE_PX = 480
"""Longest side of a picture."""
MOST_PICTURE_BYTES = 4 << 30
"""Largest number of bytes that are read for a picture of the whole image; it has the middle of larger ones."""
_MOST_PICTURES = 12
_MOST_STAGES = 50
"""Number of stages that have maps."""
_MOST_SLOTS = 16
"""Number of slots that are named beside a map."""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""What the page may load and run: nothing but itself, whatever texts from outside are in it."""
_LONG = 500
"""Longest text of a reason or of a parameter, in characters."""


def report_page(job: Job, *, pictures: bool = True) -> str:
    """The page, as HTML. It needs nothing else: no script, no file, no network.

    Raises:
        JobNotFound: the ledger does not know the job.
        BrokerUnreachable: the ledger does not answer.
    """
    view, manifest = view_of(job), job.manifest()
    plan = manifest.plan
    maps = [block_map(job, StageIndex(index)) for index in range(min(len(plan.stages), _MOST_STAGES))]
    line = timeline(job)
    sections = [
        _section("Pictures", _pictures(manifest) if pictures else ()),
        _section("Stages", _stages(view, maps)),
        _section("Timeline", _timeline(line)),
        _section("Troubles", _troubles(view)),
        _section("Seams", _seams(view)),
        _section("Warnings", (_list(view.warnings),) if view.warnings else ()),
        _section("Provenance", _provenance(view, plan)),
    ]
    title = _text(view.summary.title or view.summary.job)
    style = files("lepton_celery.views").joinpath("report.css").read_text()
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        f"{_head(view)}\n{''.join(sections)}</main>\n</body>\n</html>\n"
    )


def _text(value: object, limit: int = _LONG) -> str:
    """Text from outside as HTML."""
    return html.escape(shown(value, limit), quote=True)


def _section(heading: str, parts: Iterable[str]) -> str:
    body = "\n".join(parts)
    return f"<section>\n<h2>{heading}</h2>\n{body}\n</section>\n" if body else ""


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, kind: str = "") -> str:
    """A table of HTML; the first cell of a row names it."""
    head = "".join(f'<th scope="col">{heading}</th>' for heading in headings)
    lines = "".join(
        f'<tr><th scope="row">{name}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>' for name, *rest in rows
    )
    made = f'<table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>'
    return f'<div class="wide">{made}</div>'


def _facts(rows: Iterable[tuple[str, str]]) -> str:
    """Names with their values, of HTML."""
    return "<dl>" + "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in rows) + "</dl>"


def _list(texts: Iterable[object]) -> str:
    return "<ul>" + "".join(f"<li>{_text(text)}</li>" for text in texts) + "</ul>"


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _head(view: JobView) -> str:
    row = view.summary
    times = [("Created", _time(row.created_at)), ("Took" if not row.is_open else "Has run for", duration(row.took_s))]
    if row.finished_at is not None:
        times.insert(1, ("Ended", _time(row.finished_at)))
    predicted = "not known" if view.predicted_s is None else duration(view.predicted_s)
    facts = [
        ("Job", f"<code>{_text(row.job)}</code>"),
        *times,
        ("Predicted", f"{predicted} on {counted(view.workers, 'worker')}"),
        ("Progress", f"{row.progress:.0%}"),
        ("Lane", _text(row.priority) + (f", tenant {_text(row.tenant)}" if row.tenant else "")),
        *([("Owner", _text(row.owner))] if row.owner else []),
        ("Read and written", size(sum(stage.read_bytes + stage.write_bytes for stage in view.stages))),
    ]
    error = f'<p class="error" role="alert">{_text(row.error, 4 * _LONG)}</p>' if row.error else ""
    badge = f'<span class="badge {_text(row.state)}">{_text(row.state)}</span>'
    return f"<header><h1>{_text(row.title or row.job)} {badge}</h1>{error}{_facts(facts)}</header>"


def _pictures(manifest: Manifest) -> Iterator[str]:
    """The inputs and outputs as small pictures, read by region."""
    images, roots = images_of(manifest), configured().roots
    figures = [_picture(one.role, images.paths[one.picture], roots) for one in images.shown[:_MOST_PICTURES]]
    if figures:
        yield f'<div class="figures">{"".join(figures)}</div>'


def _picture(what: str, path: str, roots: Roots) -> str:
    try:
        image = DeepZoom(stores.open_levels(path, roots=roots))
        shown_pixels, part = image.shown(), ""
        pixels = image.overview(shown_pixels, PICTURE_PX, MOST_PICTURE_BYTES)
        if pixels is None:
            pixels, part = image.middle(shown_pixels, PICTURE_PX), ", its middle"
        drawn = png_url(eight_bits(pixels, shown_pixels.look, image.range_of(shown_pixels)))
        figure = f'<img alt="{what} {_text(path)}{part}" src="{drawn}">'
        about = f"{' × '.join(map(str, image.full.shape))} {image.full.dtype}{part}"
    except LeptonError as error:
        figure, about = '<div class="missing">no picture</div>', _text(error)
    return f"<figure>{figure}<figcaption><b>{what}</b> {_text(path)}<br>{about}</figcaption></figure>"


def _stages(view: JobView, maps: Sequence[BlockMap]) -> Iterator[str]:
    columns = ("Elapsed", "predicted", "Computing (C)", "predicted", "Other work (W)", "predicted")
    yield _table(("Stage", "Blocks", *columns, "Read", "Written"), map(_stage_row, view.stages), kind="numbers")
    yield (
        "<p>Elapsed is the time from the first message of a stage to its end. Computing (C) is the time that all worker "
        "processes together spent in the functions. Other work (W) is the time that they spent on reading, writing and "
        "waiting for files.</p>"
    )
    for stage, shown_map in zip(view.stages, maps, strict=False):
        yield _stage(stage, shown_map)
    if len(view.stages) > len(maps):
        yield f"<p>The first {len(maps)} of {len(view.stages)} stages have maps.</p>"


def _stage_row(stage: StageView) -> tuple[str, ...]:
    key = f'<span class="key" style="background:{rgb(stage_colour(stage.stage))}"></span>'
    return (
        f"{key}{stage.stage}. {_text(', '.join(stage.work))}",
        f"{stage.blocks_done:,} of {stage.blocks:,}",
        *_times(stage.actual, stage.predicted),
        size(stage.read_bytes),
        size(stage.write_bytes),
    )


def _times(actual: Times, predicted: Times) -> Iterator[str]:
    for done, guess in (
        (actual.elapsed_s, predicted.elapsed_s),
        (actual.computing_s, predicted.computing_s),
        (actual.communicating_s, predicted.communicating_s),
    ):
        yield "–" if done is None else duration(done)
        yield "–" if guess is None else duration(guess)


def _stage(stage: StageView, shown_map: BlockMap) -> str:
    counts = {state: count for state, count in shown_map.counts().items() if count}
    grid = " × ".join(map(str, stage.grid))
    told = ", ".join(f"{count:,} {STATE_NAMES[state]}" for state, count in counts.items())
    figures = [
        _map("by state", shown_map, state_colours(shown_map), _legend(_state_keys(counts)), told),
    ]
    known = shown_map.seconds[shown_map.seconds == shown_map.seconds]  # not NaN
    if known.size:
        low, high = _brief(float(known.min())), _brief(float(known.max()))
        scale = f'<p class="scale"><span>{low}</span><span class="ramp"></span><span>{high}</span></p>'
        figures.append(_map("by time of a block", shown_map, time_colours(shown_map), scale, f"{low} to {high}"))
    if used := sorted({int(slot) for slot in shown_map.slots if slot < len(shown_map.slot_names)}):
        keys = [(rgb(slot_colour(slot)), shown_map.slot_names[slot]) for slot in used[:_MOST_SLOTS]]
        more = [("transparent", f"and {len(used) - _MOST_SLOTS} more")] if len(used) > _MOST_SLOTS else []
        figures.append(_map("by worker process", shown_map, slot_colours(shown_map), _legend(keys + more), ""))
    return (
        f"<h3>Stage {stage.stage}: {_text(', '.join(stage.work))}</h3>"
        f"<p>{grid} blocks of {' × '.join(map(str, stage.block_shape))} pixels; {_text(stage.state)}"
        + (f", round {stage.round}" if stage.round > 1 else "")
        + f'.</p><div class="figures">{"".join(figures)}</div>'
    )


def _brief(seconds: float) -> str:
    """The time of a block, which may be short."""
    return duration(seconds) if seconds >= 0.1 else f"{1000 * seconds:.3g} ms"


def _state_keys(counts: dict[BlockState, int]) -> list[tuple[str, str]]:
    return [(rgb(STATE_COLOURS[state]), f"{STATE_NAMES[state]}: {count:,}") for state, count in counts.items()]


def _map(what: str, shown_map: BlockMap, colours: Any, legend: str, about: str) -> str:
    image = map_image(shown_map, colours, f"Block map {what}" + (f": {about}" if about else ""))
    return f"<figure>{image}<figcaption><b>{what}</b>{legend}</figcaption></figure>"


def _legend(keys: Iterable[tuple[str, str]]) -> str:
    """Colours with their meanings."""
    items = (f'<li><span class="key" style="background:{colour}"></span>{_text(text)}</li>' for colour, text in keys)
    return f'<ul class="legend">{"".join(items)}</ul>'


def _timeline(line: Timeline) -> Iterator[str]:
    if not line.lines:
        return
    slots_s = line.length_s * len(line.lines)
    share = f"{line.busy_s / slots_s:.0%}" if slots_s else "–"
    yield (
        f"<p>A row for each worker process, a colour for each stage, dark for merges. They worked {share} of the time "
        "from the creation of the job to its end.</p>"
    )
    yield f'<div class="wide">{timeline_svg(line)}</div>'


def _troubles(view: JobView) -> Iterator[str]:
    for heading, blocks in (
        ("The block because of which the job failed", () if view.failure is None else (view.failure,)),
        ("Blocks that were given up and filled", view.filled),
        ("Blocks that lost attempts and are not done", view.retried),
    ):
        if blocks:
            yield f"<h3>{heading}</h3>"
            yield _table(("Block", "Stage", "Pixels", "Lost attempts", "Reason"), map(_troubled, blocks))
            for block in blocks:
                if block.traceback:
                    yield f"<p>Traceback of block {block.block} of stage {block.stage}:</p>"
                    yield f"<pre>{html.escape(block.traceback)}</pre>"
    if view.summary.waits_for:
        yield f"<p>It waits for: {_text(view.summary.waits_for)}</p>"


def _troubled(block: TroubledBlock) -> tuple[str, ...]:
    return str(block.block), str(block.stage), _text(block.region), str(block.attempts), _text(block.reason)


def _seams(view: JobView) -> Iterator[str]:
    if view.seams:
        yield (
            "<p>How visible the borders of blocks are in outputs that may differ from the result on the whole image; 1 is "
            "invisible.</p>"
        )
        yield _table(("Output", "Visibility"), ((_text(path), f"{value:.2f}") for path, value in view.seams.items()))


def _provenance(view: JobView, plan: Plan) -> Iterator[str]:
    calls = "".join(f"<li><code>{_call(plan, index)}</code></li>" for index in range(len(plan.nodes)))
    yield f'<h3>Operations</h3><ol class="operations" start="0">{calls}</ol>'
    yield "<h3>Inputs</h3>"
    yield _table(
        ("Input", "Identity when the job was submitted"),
        ((_text(url), _text(mark)) for url, mark in view.inputs.items()),
    )
    yield "<h3>Outputs</h3>"
    yield _list(view.outputs)
    yield "<h3>Versions</h3>"
    yield _table(("Package", "Version"), ((_text(name), _text(which)) for name, which in view.versions.items()))
    yield f"<p>Figures of the prediction: {_text(view.figures)}</p>"


def _call(plan: Plan, index: int) -> str:
    """An operation of the plan with its arguments; other operations are named by their numbers."""
    node = plan.nodes[index]
    arguments = (
        f"{name}={f'#{value.node}' if isinstance(value, Ref) else quoted(value)}"
        for name, value in node.arguments.items()
        if value is not None
    )
    return _text(f"{node.operation}({', '.join(arguments)})")
