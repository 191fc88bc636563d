"""Steps: their syntax, and the graphs that are built of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import filters, measure, morphology, transform

import lepton_celery as lepton
from lepton_celery import graph
from lepton_celery.errors import InputError, UnknownOperation
from lepton_celery.graph.nodes import Node
from lepton_celery.graph.step_syntax import Reference, parse_arguments, parse_step
from lepton_celery.graph.steps import Results, build_steps
from lepton_celery.jobs.compute import compute
from tests.oracle import assert_identical, picture

IMAGE = picture((30, 40), "uint16")
OTHER = picture((30, 40), "uint16", seed=7)


def run(*steps: str) -> Results:
    """The results of steps on `IMAGE`, with a second input `other`."""
    return build_steps({"image": lambda: graph.open(IMAGE), "other": lambda: graph.open(OTHER)}, steps)


def last(*steps: str) -> Any:
    return compute(run(*steps).last(), block_shape=(11, 13))


PARSED: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("", [], {}),
    ("2", [2], {}),
    ("sigma=2", [], {"sigma": 2}),
    ("2,mode=mirror", [2], {"mode": "mirror"}),
    ("sigma=(1,2.5),truncate=3", [], {"sigma": (1, 2.5), "truncate": 3}),
    ("[2,98]", [[2, 98]], {}),
    ("properties=label+area", [], {"properties": ["label", "area"]}),
    ("label+area+bbox", [["label", "area", "bbox"]], {}),
    ("1+2", [[1, 2]], {}),
    ("+3", [3], {}),
    ("-1.5,1e-3", [-1.5, 1e-3], {}),
    ("true,False,none", [True, False, None], {}),
    ("otsu", ["otsu"], {}),
    ("'a b',x=\"c\"", ["a b"], {"x": "c"}),
    ("out_range=(0, 255)", [], {"out_range": (0, 255)}),
    (" sigma = 2 , mode = nearest ", [], {"sigma": 2, "mode": "nearest"}),
    (
        "mode=grid-wrap,cval=nan,x=-inf",
        [],
        {"mode": "grid-wrap", "cval": pytest.approx(float("nan"), nan_ok=True)} | {"x": float("-inf")},
    ),
    ("(label,area)", [("label", "area")], {}),
    ("[(1,),[],()]", [[(1,), [], ()]], {}),
    ("(3)", [3], {}),
    ("0x10,1_000", [16, 1000], {}),
    ("@mask,x=(@a,@b)", [Reference("mask")], {"x": (Reference("a"), Reference("b"))}),
    ("'(','@a'", ["(", "@a"], {}),
]


@pytest.mark.parametrize(("text", "positional", "keyword"), PARSED, ids=[t or "nothing" for t, _, _ in PARSED])
def test_arguments_are_parsed(text: str, positional: list[Any], keyword: dict[str, Any]) -> None:
    assert parse_arguments(text, "step") == (positional, keyword)


def test_an_unnamed_argument_after_a_named_one_is_refused() -> None:
    with pytest.raises(InputError, match=r"step 'gaussian:sigma=2,3': '3' has no name"):
        parse_step("gaussian:sigma=2,3")


REFUSED = {
    "": "'' is not the name of an operation",
    "gaussian sigma=2": "not a name for a result",
    "sigma=2": "arguments follow a colon",
    "a b=gaussian": "'a b' is not a name",
    "gaussian:,": "a value is missing",
    "gaussian:sigma=": "a value is missing",
    "gaussian:sigma=1,sigma=2": "sigma is given twice",
    "gaussian:(1,2": r"'\)' is missing",
    "gaussian:1)": r"'\)' is not expected",
    "gaussian:[1)": r"'\)' is not expected",
    "gaussian:" + "(" * 5000: "nested more than 16 deep",
    "dilation:footprint=disk(3": r"'\)' is missing",
    "dilation:footprint=disc(3)": "did you mean disk",
    "dilation:footprint=disk(x)": r"disk\('x'\) is refused",
    "dilation:footprint=disk()": "disk.. is refused: .*radius",
    "dilation:footprint=ball(3000)": "more than 10,000,000 pixels",
    "dilation:footprint=ones((99999,99999))": "more than 10,000,000 pixels",
    "gaussian:open('x')": "cannot be called in a step; give one of ball",
    "gaussian:__import__('os').system('true')": "cannot be called",
}


@pytest.mark.parametrize("text", REFUSED, ids=[text[:30] for text in REFUSED])
def test_what_is_no_step_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=REFUSED[text]):
        parse_step(text)


@pytest.mark.parametrize("text", ["[].append", "1 if 1 else 2", "{}", "lambda: 0", "f'{x}'"])
def test_arguments_are_never_evaluated(text: str) -> None:
    try:
        positional, _ = parse_arguments(text, text)
    except InputError:
        return
    assert all(isinstance(part, str | list) for part in positional)


@given(st.text(max_size=40) | st.text("ab=:,@()[]+'\"1. ", max_size=25))
@settings(deadline=None)
def test_any_text_is_a_step_or_is_refused(text: str) -> None:
    try:
        parse_step(text)
    except InputError as error:
        assert "step" in str(error)


def test_footprints_and_transforms_are_made_by_name() -> None:
    found = parse_arguments("disk(3),star(a=2),footprint_rectangle((3,5)),array([[0,1],[1,1]])", "step")[0]
    expected = [
        morphology.disk(3),
        morphology.star(2),
        morphology.footprint_rectangle((3, 5)),
        np.array([[0, 1], [1, 1]]),
    ]
    for one, other in zip(found, expected, strict=True):
        assert_identical(one, other)
    [shear] = parse_arguments("AffineTransform(scale=2,translation=(1,2))", "step")[0]
    assert_identical(shear.params, transform.AffineTransform(scale=2, translation=(1, 2)).params)


def test_steps_apply_one_after_the_other() -> None:
    smooth = filters.gaussian(IMAGE, sigma=2)
    mask = smooth > filters.threshold_otsu(smooth)
    assert_identical(last("gaussian:sigma=2", "threshold:otsu", "label"), measure.label(mask))
    found = last("filters.gaussian:2", "threshold:0.5", "label:connectivity=1")
    assert_identical(found, measure.label(smooth > 0.5, connectivity=1))
    assert_identical(last("opening", "percentile:[2,98]"), np.percentile(morphology.opening(IMAGE), [2, 98]))


def test_footprints_and_transforms_work_in_steps() -> None:
    assert_identical(last("dilation:footprint=disk(3)"), morphology.dilation(IMAGE, morphology.disk(3)))
    cross = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]])
    found = last("erosion:array([[0,1,0],[1,1,1],[0,1,0]])")
    assert_identical(found, morphology.erosion(IMAGE, cross))
    enlarged = transform.warp(IMAGE, transform.AffineTransform(scale=0.5, translation=(3, 1)))
    assert_identical(last("warp:inverse_map=AffineTransform(scale=0.5,translation=(3,1))"), enlarged)
    volume = picture((9, 10, 11), "uint8")
    found = build_steps({"image": lambda: graph.open(volume)}, ["dilation:footprint=ball(2)"]).last()
    assert_identical(compute(found, block_shape=(4, 5, 6)), morphology.dilation(volume, morphology.ball(2)))


def test_results_have_names() -> None:
    results = run("smooth=gaussian:sigma=2", "level=threshold_otsu", "@smooth", "threshold:@level", "label")
    smooth = filters.gaussian(IMAGE, sigma=2)
    assert_identical(compute(results.last()), measure.label(smooth > filters.threshold_otsu(smooth)))
    assert_identical(compute(results.named("smooth", "")), smooth)
    assert_identical(last("smooth=median", "@image", "subtract:@other"), IMAGE - OTHER)


def test_a_step_with_several_results_names_them() -> None:
    labels, count = measure.label(IMAGE > 30000, return_num=True)
    results = run("threshold:30000", "found,count=label:return_num=true", "regionprops_table:properties=label+area")
    assert_identical(compute(results.named("found", "")), labels)
    assert compute(results.named("count", "")) == count
    assert_identical(compute(results.last()), measure.regionprops_table(labels, properties=("label", "area")))
    assert compute(run("threshold:30000", "_,count=label:return_num=true").last()) == count
    for steps in (["label:return_num=true"], ["label:return_num=true", "median"], ["a,b,c=label:return_num=true"]):
        with pytest.raises(InputError, match=r"gives 2 results \(an image, a value\).*a,b=label:return_num=true"):
            run("threshold:1", *steps).last()
    with pytest.raises(InputError, match="names 2 results and has one"):
        run("a,b=median")


def test_a_function_of_several_images_gets_them_in_their_order() -> None:
    assert_identical(last("hstack:@other"), np.hstack([IMAGE, OTHER]))
    assert_identical(last("stack:@other,@image,axis=2"), np.stack([IMAGE, OTHER, IMAGE], axis=2))
    assert_identical(last("hstack"), IMAGE)


def test_no_steps_give_the_image_itself() -> None:
    image = graph.open(IMAGE)
    assert build_steps({"image": lambda: image}, []).last() is image


def test_a_table_measures_the_input_itself() -> None:
    steps = ["threshold:30000", "label", "regionprops_table:properties=label+area+intensity_mean"]
    properties = ("label", "area", "intensity_mean")
    expected = measure.regionprops_table(measure.label(IMAGE > 30000), IMAGE, properties=properties)
    assert_identical(last(*steps), expected)


def test_a_table_without_intensities_needs_no_input_of_its_shape() -> None:
    steps = ["downscale_local_mean:(2,2)", "threshold:30000", "label", "regionprops_table:properties=label+area"]
    assert list(last(*steps)) == ["label", "area"]


def test_an_input_that_no_step_uses_is_not_opened() -> None:
    def refuse() -> graph.Image:
        raise AssertionError

    build_steps({"image": lambda: graph.open(IMAGE), "other": refuse}, ["median"])


INVALID = [
    (["gausian"], "did you mean filters.gaussian"),
    (["gaussian:sgma=2"], "sgma"),
    (["threshold"], "threshold:otsu or a number"),
    (["threshold:1,2"], "threshold:otsu or a number"),
    (["threshold:0.5,nbins=3"], "threshold:otsu or a number"),
    (["threshold:magic"], "threshold_magic"),
    (["threshold_otsu", "label"], "step 'label' comes after one that gives a value"),
    (["label", "regionprops_table", "label"], "gives a table"),
    (["gaussian", "label"], "dtype float64"),
    (["lepton.extent"], "internal"),
    (["subtract:@smoth"], "no result and no input has the name 'smoth'; there are image, other"),
    (["smooth=median", "subtract:@smoth"], "did you mean smooth"),
    (["arctan2:none"], "x2 is NoneType None"),
    (["image=median"], "the name 'image' is taken"),
    (["a=median", "a=median"], "the name 'a' is taken"),
    (["@nothing"], "'@nothing': no result"),
]


@pytest.mark.parametrize(("steps", "message"), INVALID)
def test_an_invalid_step_is_named(steps: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        run(*steps)


def test_an_unknown_step_is_an_unknown_operation() -> None:
    with pytest.raises(UnknownOperation):
        run("nonsense")


# ------------------------------------------------------------------------------------------------ stored steps


def stored(**document: Any) -> dict[str, Node]:
    return lepton.from_json({"version": 1, **document}, {"image": IMAGE, "other": OTHER})


def test_a_stored_graph_may_be_written_as_steps() -> None:
    outputs = stored(
        steps=["smooth=gaussian:sigma=2", "threshold:otsu", "cells=label"],
        outputs={"cells.zarr": "cells", "smooth.npy": "smooth"},
    )
    smooth = filters.gaussian(IMAGE, sigma=2)
    assert_identical(compute(outputs["smooth.npy"]), smooth)
    assert_identical(compute(outputs["cells.zarr"]), measure.label(smooth > filters.threshold_otsu(smooth)))
    assert_identical(compute(stored(steps=["subtract:@other"])["result"]), IMAGE - OTHER)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"steps": "median"}, "Expected `array`, got `str`"),
        ({"steps": [1]}, "Expected `str`, got `int`"),
        ({"steps": ["median"], "outputs": {"a.npy": "a"}}, "\"output 'a.npy'\": no result|no input has the name 'a'"),
        ({"steps": ["median"], "outputs": {"a.npy": 1}}, "Expected `str`, got `int`"),
        ({"steps": ["medan"]}, "did you mean"),
        ({"steps": [], "version": 9}, "has version 9"),
    ],
)
def test_stored_steps_are_validated(document: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        stored(**document)


def test_stored_steps_need_their_input() -> None:
    with pytest.raises(InputError, match="the name 'image'; there are none"):
        lepton.from_json({"version": 1, "steps": ["median"]})
