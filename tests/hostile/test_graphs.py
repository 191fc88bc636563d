"""Graphs from outside are read in little time and memory, whatever their parameters are, and name no file elsewhere."""

from __future__ import annotations

import json
import math
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lepton_celery as lepton
from lepton_celery.cli.pipeline import outputs_of_pipeline
from lepton_celery.errors import InputError, PlanTooLarge
from lepton_celery.graph.codec import decode
from lepton_celery.graph.nodes import apply
from lepton_celery.planning.memory import check_arrays
from lepton_celery.planning.options import Limits, PlanOptions
from lepton_celery.planning.planner import make_plan
from tests.hostile.bounded import bounded

HUGE = 10**9
CASES: list[tuple[str, dict[str, Any]]] = [
    *(("filters.gaussian", {"sigma": sigma}) for sigma in (1e7, 1e300, [1e7, 1.0], 6e4)),
    ("ndimage.gaussian_filter", {"sigma": 1, "radius": 10**7}),
    ("ndimage.gaussian_filter", {"sigma": 1e5}),
    ("ndimage.gaussian_filter1d", {"sigma": 1, "radius": HUGE}),
    ("filters.difference_of_gaussians", {"low_sigma": 1e4, "high_sigma": 5e4}),
    ("filters.gabor", {"frequency": 1e-9}),
    *(("filters.gabor", {"frequency": 0.3, name: 10**7}) for name in ("sigma_x", "sigma_y", "n_stds")),
    ("restoration.richardson_lucy", {"psf": {"array": [[1.0]], "dtype": "float64"}, "num_iter": HUGE}),
    ("restoration.denoise_tv_chambolle", {"max_num_iter": HUGE, "eps": 0.0}),
    ("morphology.thin", {"max_num_iter": HUGE}),
    ("feature.blob_doh", {"num_sigma": HUGE}),
    ("feature.blob_log", {"num_sigma": HUGE}),
    ("feature.blob_dog", {"sigma_ratio": 1.0000001}),
    ("feature.multiscale_basic_features", {"num_sigma": HUGE}),
    ("segmentation.morphological_chan_vese", {"num_iter": HUGE}),
    ("segmentation.morphological_chan_vese", {"num_iter": 1, "smoothing": HUGE}),
    ("segmentation.quickshift", {"sigma": 1e7, "channel_axis": None}),
    ("segmentation.felzenszwalb", {"sigma": 1e7}),
    ("measure.profile_line", {"src": [0, 0], "dst": [HUGE, HUGE]}),
    ("measure.profile_line", {"src": [0, 0], "dst": [5, 5], "linewidth": HUGE}),
    ("transform.pyramid_laplacian", {"max_layer": HUGE}),
    ("transform.pyramid_laplacian", {"downscale": 1.0000001}),
    ("numpy.tile", {"reps": 10**8}),
    ("numpy.repeat", {"repeats": HUGE, "axis": 0}),
    ("numpy.pad", {"pad_width": HUGE}),
    ("numpy.histogram", {"bins": HUGE}),
    ("ndimage.histogram", {"min": 0, "max": 1, "bins": HUGE}),
    ("numpy.round", {"decimals": HUGE}),
    *(("exposure.equalize_adapthist", {"kernel_size": size}) for size in (10**7, HUGE, 2**63)),
    *(("numpy.expand_dims", {"axis": list(range(length))}) for length in (17, 100_000)),
    ("numpy.transpose", {"axes": list(range(100_000))}),
    *(("transform.resize", {"output_shape": shape}) for shape in (list(range(1, 100_000)), "x" * 10**6)),
    ("registration.phase_cross_correlation", {"moving_image": {"node": 0}, "upsample_factor": 10**7}),
    *(("ndimage.binary_dilation", {"structure": [[1.0] * side] * side}) for side in (300, 500)),
    ("ndimage.binary_hit_or_miss", {"structure2": [[1.0] * 300] * 300}),
    *(("feature.blob_log", {"min_sigma": sigma}) for sigma in (math.nan, math.inf)),
    ("segmentation.morphological_chan_vese", {"num_iter": 1, "iter_callback": 7}),
    *(("numpy.isin", {"test_elements": {"array": [1], "dtype": dtype}}) for dtype in ("U125000000", "(500000000,)u1")),
    *(("numpy.add", {"x2": {"scalar": 1, "dtype": dtype}}) for dtype in ("V500000000", "U125000000", "S500000000")),
]
"""Operations, whose first parameter is the image, with parameters that took minutes or gigabytes."""

READ_ALL = """
import inspect
from lepton_celery.catalogue import get_entry
image = np.arange(400.0).reshape(20, 20) / 400
said = []
for operation, arguments in json.load(open({cases!r})):
    first = get_entry(operation).images[0]
    nodes = [{{"operation": "lepton.source", "arguments": {{"url": "input:image"}}}},
             {{"operation": operation, "arguments": {{first: {{"node": 0}}, **arguments}}}}]
    began = time.process_time()
    try:
        lepton.from_json({{"version": 1, "nodes": nodes, "outputs": {{"out.npy": 1}}}}, {{"image": image}})
        found = "done"
    except (LeptonError, MemoryError) as error:
        found = type(error).__name__
    said.append([operation, sorted(arguments), found, time.process_time() - began])
print(json.dumps(said))
"""


def test_every_graph_is_read_or_refused_in_little_time_and_memory(tmp_path: Path) -> None:
    cases = tmp_path / "cases.json"
    cases.write_text(json.dumps(CASES))
    outcome = bounded(READ_ALL.format(cases=str(cases)), megabytes=1200, timeout_s=110)
    said = json.loads(outcome.printed)
    assert len(said) == len(CASES)
    assert [one for one in said if one[2] == "MemoryError" or one[3] > 1.5] == []
    assert outcome.megabytes < 300


@pytest.mark.parametrize(
    ("operation", "arguments", "words"),
    [
        ("exposure.equalize_adapthist", {"kernel_size": 10**9}, ""),
        ("numpy.expand_dims", {"axis": tuple(range(100))}, "axis has 100 items; an image has at most 16 axes"),
        (
            "transform.resize",
            {"output_shape": (2,) * 100},
            "output_shape has 100 lengths; an image has at most 16 axes",
        ),
        ("ndimage.binary_erosion", {"structure": np.ones((200, 200))}, "structure has 40,000 pixels.*at most 16,384"),
        ("feature.blob_dog", {"sigma_ratio": math.inf}, "no number of pixels to read"),
        ("feature.blob_log", {"max_sigma": math.nan}, "no number of pixels to read"),
    ],
)
def test_what_is_bounded_is_named_with_its_limit(operation: str, arguments: dict[str, Any], words: str) -> None:
    image = lepton.open(np.arange(400.0).reshape(20, 20) / 400)
    began = time.process_time()
    with pytest.raises(InputError, match=words) if words else nullcontext():
        made = apply(operation, image, **arguments)
        make_plan({"out": made}, PlanOptions())
    assert time.process_time() - began < 2


def test_a_function_that_is_asked_with_smaller_numbers_still_has_the_dtype_of_its_result() -> None:
    image = lepton.open(np.ones((9, 9), np.float32))
    from lepton_celery.skimage import filters, segmentation

    assert filters.gaussian(image, sigma=50).dtype == np.float32
    assert segmentation.morphological_chan_vese(image, 100).dtype == np.int8
    assert lepton.compute(filters.gaussian(image, sigma=50)).dtype == np.float32


@pytest.mark.parametrize("dtype", ["V500000000", "U1", "O", "S3", "(2,)u1", "M8[s]", "f8,f8"])
def test_arrays_among_arguments_hold_numbers(dtype: str) -> None:
    with pytest.raises(InputError, match="dtype"):
        decode({"array": [1], "dtype": dtype}, [])


def test_numbers_and_short_texts_among_arguments_are_read() -> None:
    assert decode({"array": [1, 2], "dtype": "uint8"}, []).dtype == np.uint8
    assert math.isnan(decode({"scalar": math.nan, "dtype": "float32"}, []))
    assert decode({"scalar": "wrap", "dtype": "<U4"}, []) == "wrap"


NAMES = ["../x.npy", "/tmp/x.npy", "a/../../x.npy", "", ".", "..", "a\0.npy"]


@pytest.mark.parametrize("name", NAMES)
def test_an_output_is_named_within_its_folder(name: str, tmp_path: Path) -> None:
    source = {"operation": "lepton.source", "arguments": {"url": "input:image"}}
    documents: list[dict[str, Any]] = [
        {"version": 1, "nodes": [source], "outputs": {name: 0, "b.npy": 0}},
        {"version": 1, "steps": ["smooth=gaussian"], "outputs": {name: "smooth", "b.npy": "smooth"}},
    ]
    np.save(tmp_path / "in.npy", np.ones((5, 5)))
    for document in documents:
        with pytest.raises(InputError, match="lead out of the folder"):
            lepton.from_json(document, {"image": tmp_path / "in.npy"})
        file = tmp_path / "pipeline.json"
        file.write_text(json.dumps(document))
        with pytest.raises(InputError, match="lead out of the folder"):
            outputs_of_pipeline(file, str(tmp_path / "in.npy"), str(tmp_path), {}, {})


def test_a_name_that_would_not_be_read_is_not_written(tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", np.ones((5, 5)))
    with pytest.raises(InputError, match="lead out of the folder"):
        lepton.to_json({"/tmp/x.npy": lepton.open(tmp_path / "in.npy")})


def _double(block: Any) -> Any:
    return block * 2


class TestBlocks:
    def test_a_plan_whose_block_fits_in_no_way_is_refused(self) -> None:
        image = lepton.open(np.broadcast_to(np.zeros((), np.float64), (10**5, 10**5)))
        whole = PlanOptions(block_shape=(10**5, 10**5), limits=Limits(worker_memory_bytes=1 << 60))
        plan = make_plan({"out": image + 1}, whole).plan
        check_arrays(plan, 3 << 30, 64)
        for limit_bytes, pieces in ((3 << 30, 16), (1 << 30, 64), (0, 1)):
            with pytest.raises(PlanTooLarge, match="80,000,000,000 bytes"):
                check_arrays(plan, limit_bytes, pieces)

    def test_a_block_that_cannot_be_cut_must_fit_as_it_is(self) -> None:
        image = lepton.map_blocks(_double, lepton.open(np.zeros((64, 64))))
        plan = make_plan({"out": image}, PlanOptions(block_shape=(64, 64))).plan
        check_arrays(plan, 64 * 64 * 8, 64)
        with pytest.raises(PlanTooLarge):
            check_arrays(plan, 64 * 64 * 8 - 1, 64)
