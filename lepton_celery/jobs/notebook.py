"""The summary of a lazy node that a notebook shows: shape, dtype, stages, and a small picture if that takes no time."""

from __future__ import annotations

import html

from lepton_celery.errors import LeptonError
from lepton_celery.graph.nodes import Image, Node
from lepton_celery.grid import StageIndex
from lepton_celery.jobs.compute import compute
from lepton_celery.jobs.thumbnail import png_url, predicted_s, shrunk
from lepton_celery.planning.cost.keep import model_of_folder
from lepton_celery.planning.explain import counted, duration, work_of
from lepton_celery.planning.options import PlanOptions
from lepton_celery.planning.planner import make_plan
from lepton_celery.text import shown

THUMBNAIL_S = 0.5
"""Predicted seconds up to which the picture is computed."""
THUMBNAIL_PX = 160
"""Longest side of the picture."""


def summary_html(node: Node) -> str:
    """A table with the shape, the dtype, the stages and the predicted time of a node, as HTML, and a picture of an image.

    The picture has every n-th pixel of the image, of its middle plane if it has more axes. It is computed only if that takes
    at most `THUMBNAIL_S` seconds by the planner's prediction; otherwise the table says how long it would take.
    """
    rows = {"shape": "×".join("?" if n < 0 else str(n) for n in node.shape) or "one number", "dtype": str(node.dtype)}
    if node.gives == "table":
        rows = {"columns": _html(", ".join(map(str, node.arguments.get("properties", ()))))}
    picture = ""
    try:
        plan = make_plan({"out": node}, PlanOptions(cost=model_of_folder(), in_memory=True)).plan
        stages = [
            f"{', '.join(work_of(plan, StageIndex(index)))} ({counted(len(stage.grid), 'block')})"
            for index, stage in enumerate(plan.stages)
        ]
        rows["stages"] = "<br>".join(map(_html, stages))
        rows["time"] = f"about {duration(plan.predicted_s)}"
        picture = _picture(node) if isinstance(node, Image) else ""
    except LeptonError as error:
        rows["refused"] = _html(error)
    body = "".join(f"<tr><th>{name}</th><td>{text}</td></tr>" for name, text in rows.items())
    return f"<div><b>{type(node).__name__}</b> {_html(node.operation)}<table>{body}</table>{picture}</div>"


def _html(text: object) -> str:
    """Text from outside, such as names in a stored graph, as HTML."""
    return html.escape(shown(text))


def _picture(image: Image) -> str:
    """The picture as an `img` element, or the time that it would take."""
    small = shrunk(image, THUMBNAIL_PX)
    if (seconds := predicted_s(small)) > THUMBNAIL_S:
        return f"<p>A picture would take about {duration(seconds)}; call <code>.compute()</code>.</p>"
    return f'<img alt="" src="{png_url(compute(small))}">'
