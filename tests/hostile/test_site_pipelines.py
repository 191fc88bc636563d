"""Pipelines of a site's users that would take hours or all memory: the web process refuses or plans them at once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.hostile.bounded import bounded

SITE = """
import pathlib, tempfile
from celery import Celery
from lepton_celery.web.pipelines import read_pipeline, results_of
from lepton_celery.web.site import Site, SiteOptions

app = Celery("x", broker="memory://", backend="cache+memory://")
app.conf.update(task_always_eager=True)
lepton.configure(app)
folder = pathlib.Path(tempfile.mkdtemp())
site = Site(app, SiteOptions(folder / "site"))
image = folder / "a.npy"
np.save(image, np.ones((300, 400), np.uint8))
results_of({"version": 1, "steps": ["a=gaussian"], "outputs": {"a.tif": "a"}}, image, "a")  # imports
took = []
for text in json.load(open(0)):
    began = time.process_time()
    try:
        site.prepare("ada", image, read_pipeline(text))
        said = "planned"
    except LeptonError as error:
        said = f"{type(error).__name__}: {error}"
    took.append([time.process_time() - began, said])
print(json.dumps(took))
"""
LONG = {
    "a wide footprint": ["dilation:footprint=disk(100000)"],
    "a deep footprint": ["median:footprint=ball(5000)"],
    "a wide sigma": ["gaussian:sigma=1000000000"],
    "many sigmas": ["gaussian:sigma=1000000,truncate=1000000"],
    "a large result": ["resize:output_shape=(1000000000,1000000000)"],
    "a scale": ["rescale:scale=1000000"],
    "a deep chain": ["gaussian:sigma=1"] * 3000,
    "many nodes": ["invert"] * 5900,
    "as many steps as are taken": ["invert"] * 999,
    "a padding": ["numpy.pad:pad_width=1000000000"],
    "many tiles": ["numpy.tile:reps=(100000,100000)"],
    "many repetitions": ["numpy.repeat:repeats=1000000000,axis=0"],
    "a kernel": ["gabor:frequency=0.00000001"],
    "a patch": ["denoise_nl_means:patch_size=100000"],
    "patches in reach": ["denoise_nl_means:patch_distance=100000"],
    "a radius": ["local_binary_pattern:P=1000000000,R=1"],
    "rings": ["daisy:rings=100000,histograms=100000"],
    "orientations": ["hog:orientations=100000000"],
    "digits": ["gaussian:sigma=" + "9" * 5000],
    "iterations": ["ndimage.binary_dilation:iterations=1000000000"],
    "classes": ["threshold_multiotsu:classes=100000"],
    "classes that compare for hours": ["threshold_multiotsu:classes=9"],
    "a zoom": ["ndimage.zoom:zoom=20001"],
    "a padding of frequencies": ["butterworth:npad=30001"],
    "a window": ["threshold_niblack:window_size=30001"],
    "a kernel size": ["laplace:ksize=30001"],
    "bins": ["histogram:nbins=1000000000"],
}
PLANNED = (
    "as many steps as are taken",
    "iterations",
    "classes",
    "a patch",
    "a padding of frequencies",
    "a window",
    "a kernel size",
)
"""What ends soon on a worker: when nothing changes, with scikit-image's error, or at the limit of the worker's memory."""
HUGE = {
    "depth": '{"version": 1, "steps": ' + "[" * 30_000 + "]" * 30_000 + "}",
    "objects": '{"a":' * 10_000 + "1" + "}" * 10_000,
    "steps": json.dumps({"version": 1, "steps": ["invert"] * 100_000, "outputs": {"a.tif": "image"}}),
    "digits": '{"version": ' + "9" * 60_000 + "}",
    "names": json.dumps({"version": 1, "steps": ["invert"], "outputs": {"a" * 60_000: "image"}}),
    "outputs": json.dumps({"version": 1, "steps": ["a=invert"], "outputs": {f"{n}.tif": "a" for n in range(3000)}}),
    "no JSON": "{" * 60_000,
    "no text": "\ud800",
}


@pytest.fixture(scope="module")
def took() -> dict[str, tuple[float, str]]:
    """The processor time of each pipeline, and what was said of it, in a process with 900 MB."""
    texts = {
        name: json.dumps({"version": 1, "steps": [*steps[:-1], f"r={steps[-1]}"], "outputs": {"r.npy": "r"}})
        for name, steps in LONG.items()
    } | HUGE
    outcome = bounded(SITE, megabytes=900, timeout_s=120, given=json.dumps(list(texts.values())))
    assert outcome.said == "done", outcome.said
    found: Any = json.loads(outcome.printed)
    assert outcome.megabytes < 500
    return dict(zip(texts, map(tuple, found), strict=True))


@pytest.mark.parametrize("name", [*LONG, *HUGE])
def test_the_web_process_answers_at_once(took: dict[str, tuple[float, str]], name: str) -> None:
    seconds, said = took[name]
    assert seconds < 5, said
    assert said.startswith(("InputError: ", "PlanTooLarge: ")) or name in PLANNED, said
    assert len(said) < 2000
