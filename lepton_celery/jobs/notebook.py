"""The summary of a lazy node that a notebook shows: shape, dtype, stages, and a small picture if that takes no time."""

from __future__ import annotations

import html

import numpy as np

from lepton_celery.errors import LeptonError
from lepton_celery.graph.nodes import Image, Node
from lepton_celery.grid import StageIndex
from lepton_celery.jobs.compute import compute
from lepton_celery.jobs.rendering import display_range, eight_bits, png_url
from lepton_celery.jobs.thumbnail import predicted_s, shrunk
from lepton_celery.planning.cost.keep import model_of_folder
from lepton_celery.planning.explain import costs_of, counted, duration, work_of
from lepton_celery.planning.options import PlanOptions
from lepton_celery.planning.plan import Plan, Stage
from lepton_celery.planning.planner import make_plan
from lepton_celery.text import shown

THUMBNAIL_S = 0.5
"""Predicted seconds up to which the picture is computed."""
THUMBNAIL_PX = 160
"""Longest side of the picture."""
_LEFT = ' style="text-align:left;vertical-align:top"'


def summary_html(node: Node) -> str:
    """A table with the shape, the dtype, the store, the stages and the predicted costs of a node, as HTML, and a picture.

    The picture has every n-th pixel of the image, of its middle plane if it has more axes. It is computed only if that takes
    at most `THUMBNAIL_S` seconds by the planner's prediction; otherwise the table says how long it would take.
    """
    rows = {"shape": "×".join("?" if n < 0 else str(n) for n in node.shape) or "one number", "dtype": str(node.dtype)}
    if node.gives == "table":
        rows = {"columns": _html(", ".join(map(str, node.arguments.get("properties", ()))))}
    if node.operation == "lepton.source":
        rows["store"] = _html(node.arguments["url"])
    picture = ""
    try:
        plan = make_plan({"out": node}, PlanOptions(cost=model_of_folder(), in_memory=True)).plan
        for index, stage in enumerate(plan.stages):
            rows[f"stage {index + 1}/{len(plan.stages)}"] = _stage(plan, StageIndex(index), stage)
        rows["time"] = f"about {duration(plan.predicted_s)} in this process"
        picture = _picture(node) if isinstance(node, Image) else ""
    except LeptonError as error:
        rows["refused"] = _html(error)
    body = "".join(f"<tr><th{_LEFT}>{name}</th><td{_LEFT}>{text}</td></tr>" for name, text in rows.items())
    return f"<div><b>{type(node).__name__}</b> {_html(node.operation)}<table>{body}</table>{picture}</div>"


def _stage(plan: Plan, index: StageIndex, stage: Stage) -> str:
    """The functions of a stage, and what it is predicted to cost."""
    costs = [f"{name} {duration(seconds)}" for name, seconds in costs_of(plan, index).items()]
    blocks = f"{counted(len(stage.grid), 'block')} of {'×'.join(map(str, stage.block_shape))}"
    return f"{_html(', '.join(work_of(plan, index)))}<br><small>{_html(blocks)}: {_html(', '.join(costs))}</small>"


def _html(text: object) -> str:
    """Text from outside, such as names in a stored graph, as HTML."""
    return html.escape(shown(text))


def _picture(image: Image) -> str:
    """The picture as an `img` element, or the time that it would take."""
    small = shrunk(image, THUMBNAIL_PX)
    if (seconds := predicted_s(small)) > THUMBNAIL_S:
        return f"<p>A picture would take about {duration(seconds)}; call <code>.compute()</code>.</p>"
    pixels = np.atleast_2d(compute(small))
    shown_pixels = eight_bits(pixels, "colours" if pixels.ndim == 3 else "grey", display_range(pixels))
    edge = "outline:1px solid rgba(128,128,128,0.4)"  # of a white picture on a white page, too
    return f'<img alt="" style="{edge}" src="{png_url(shown_pixels)}">'
