"""What a notebook shows of a job: its state, its progress and a small block map."""

from __future__ import annotations

import html

from lepton_celery.errors import LeptonError
from lepton_celery.grid import StageIndex
from lepton_celery.jobs.job import Job
from lepton_celery.ledger import JobInfo
from lepton_celery.planning.explain import duration
from lepton_celery.text import shown
from lepton_celery.views.blocks import block_map
from lepton_celery.views.drawing import STATE_COLOURS, STATE_NAMES, map_image, rgb, state_colours
from lepton_celery.views.listing import JobRow, row_of

MAP_PX = 200
"""Longest side of the block map, in pixels, unless it has more blocks."""
_COLOURS = {"done": "#2c915f", "failed": "#d64545", "damaged": "#d64545", "running": "#1f77b4"}
_BAR = "display:inline-block;width:260px;height:10px;background:#dee2e6;border-radius:5px;overflow:hidden"
_KEY = "display:inline-block;width:10px;height:10px;margin-right:5px;border-radius:2px"


def job_html(job: Job) -> str:
    """A job as HTML, as it stands; what is wrong with it if it cannot be read."""
    try:
        info = job.info()
        return _described(job, info)
    except LeptonError as error:
        return f"<div><b>Job</b> <code>{_text(job.id)}</code><p>{_text(error)}</p></div>"


def _described(job: Job, info: JobInfo) -> str:
    row = row_of(info)
    colour = _COLOURS.get(row.state, "#8a6d1a")
    bar = f'<span style="display:block;height:100%;width:{row.progress:.1%};background:{colour}"></span>'
    error = f'<p style="color:#d64545">{_text(row.error)}</p>' if row.error else ""
    return (
        f"<div><b>Job</b> <code>{_text(row.job)}</code> {_text(row.title)}<br>"
        f'<b style="color:{colour}">{_text(row.state)}</b> {_times(row)}<br>'
        f'<span role="progressbar" aria-label="progress" aria-valuenow="{row.progress * 100:.0f}" style="{_BAR}">'
        f"{bar}</span> {row.progress:.0%}, "
        f"stage {_text(row.stage_label)}, {row.blocks_done:,} of {row.blocks:,} blocks"
        f"{error}{_map(job, info.stage_index)}</div>"
    )


def _times(row: JobRow) -> str:
    if row.is_open:
        left = f", about {duration(row.remaining_s)} left" if row.remaining_s is not None else ""
        return f"for {duration(row.took_s)}{left}"
    return f"after {duration(row.took_s)}"


def _map(job: Job, stage: StageIndex) -> str:
    """The block map of the current stage, with the meanings of its colours."""
    shown_map = block_map(job, stage)
    counts = [(state, count) for state, count in shown_map.counts().items() if count]
    keys = "".join(
        f'<span style="margin-right:12px"><span style="{_KEY};background:{rgb(STATE_COLOURS[state])}"></span>'
        f"{STATE_NAMES[state]}: {count:,}</span>"
        for state, count in counts
    )
    about = ", ".join(f"{count:,} {STATE_NAMES[state]}" for state, count in counts)
    image = map_image(shown_map, state_colours(shown_map), f"Block map: {about}", longest_px=MAP_PX)
    return f'<div style="margin-top:6px">{image}<div>{keys}</div></div>'


def _text(value: object) -> str:
    """Text from outside as HTML."""
    return html.escape(shown(value), quote=True)
