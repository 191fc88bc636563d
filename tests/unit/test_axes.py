"""Names and pixel sizes of axes pass from files to the files of a job, and change as the axes do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

import lepton_celery as lepton
from lepton_celery import errors
from lepton_celery.graph.nodes import Image
from lepton_celery.planning.axes import axes_of
from lepton_celery.planning.planner import make_plan
from lepton_celery.skimage import color, filters, measure, transform
from lepton_celery.stores import check_dtype, open_array
from lepton_celery.stores.axes import Axes, Axis, axis
from tests.unit.test_stores import pixels

VOLUME = pixels((6, 40, 33), "uint16")
RGB = pixels((40, 33, 3), "uint8", seed=1)
Z, Y, X = (Axis(name, size, "micrometer") for name, size in {"z": 2.0, "y": 0.25, "x": 0.325}.items())
T, C = Axis("t"), Axis("c")
OME_KEYS = {"PhysicalSizeX": 0.325, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 250, "PhysicalSizeYUnit": "nm"}


def imagej(path: Path, **described: Any) -> Image:
    options = {"unit": "um", "spacing": 2.0, "axes": "ZYX"} | described
    tifffile.imwrite(path, VOLUME, imagej=True, resolution=(1 / 0.325, 4), metadata=options)
    return lepton.open(path)


class TestReading:
    @pytest.mark.parametrize("unit", ["um", "micron", "\\u00B5m"])
    def test_imagej(self, tmp_path: Path, unit: str) -> None:
        assert close(imagej(tmp_path / "a.tif", unit=unit).axes, (Z, Y, X))

    @pytest.mark.parametrize("unit", ["pixel", "furlong", ""])
    def test_a_size_in_no_unit_of_length_is_none(self, tmp_path: Path, unit: str) -> None:
        assert imagej(tmp_path / "a.tif", unit=unit).axes == (Axis("z"), Axis("y"), Axis("x"))

    def test_ome(self, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "a.ome.tif", VOLUME, metadata={"axes": "TYX", **OME_KEYS})
        assert lepton.open(tmp_path / "a.ome.tif").axes == (T, Axis("y", 250, "nanometer"), X)

    @pytest.mark.parametrize(("unit", "name"), [("CENTIMETER", "centimeter"), ("INCH", "inch"), ("NONE", "")])
    def test_resolution_tags(self, tmp_path: Path, unit: str, name: str) -> None:
        tifffile.imwrite(tmp_path / "a.tif", RGB, photometric="rgb", resolution=(20000, 10000), resolutionunit=unit)
        sizes = (1e-4, 5e-5) if name else (0.0, 0.0)
        assert close(lepton.open(tmp_path / "a.tif").axes, (Axis("y", sizes[0], name), Axis("x", sizes[1], name), C))

    def test_planar_colours_come_last(self, tmp_path: Path) -> None:
        planes = np.ascontiguousarray(np.moveaxis(RGB, 2, 0))
        tifffile.imwrite(tmp_path / "a.tif", planes, photometric="rgb", planarconfig="separate")
        assert lepton.open(tmp_path / "a.tif").axes == (Axis("y"), Axis("x"), C)

    @pytest.mark.parametrize("version", [2, 3])
    def test_arrays_of_a_pyramid_of_ome_zarr(self, tmp_path: Path, version: Any) -> None:
        group = zarr.open_group(str(tmp_path / "g.zarr"), mode="w", zarr_format=version)
        for level in range(2):
            group.create_array(str(level), data=VOLUME[0, :: 2**level, :: 2**level])
        axes: Any = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
        datasets: Any = [
            {"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": [2**level, 2**level]}]}
            for level in range(2)
        ]
        whole = [{"type": "scale", "scale": [0.25, 0.325]}]
        pyramids: Any = [{"axes": axes, "datasets": datasets, "coordinateTransformations": whole}]
        group.attrs.update({"multiscales": pyramids} if version == 2 else {"ome": {"multiscales": pyramids}})
        assert lepton.open(tmp_path / "g.zarr").axes == (Y, X)
        assert lepton.open(tmp_path / "g.zarr" / "1").axes == (Y.every(2), X.every(2))

    def test_names_of_dimensions(self, tmp_path: Path) -> None:
        zarr.create_array(str(tmp_path / "a.zarr"), data=VOLUME, dimension_names=["t", None, "x"])
        assert lepton.open(tmp_path / "a.zarr").axes == (T, Axis(), Axis("x"))

    def test_what_nobody_can_read_is_left_out(self, tmp_path: Path) -> None:
        for number, axes in enumerate(("yx", {"a": 1}, [{"name": "y"}], ["y", "x"], 3)):
            attributes: Any = {"axes": axes, "coordinateTransformations": 5 if number == 1 else []}
            zarr.create_array(str(tmp_path / f"{number}.zarr"), data=VOLUME[0], attributes=attributes)
            expected = (Axis("y"), Axis("x")) if axes in ("yx", ["y", "x"]) else ()
            assert lepton.open(tmp_path / f"{number}.zarr").axes == expected
        tifffile.imwrite(tmp_path / "a.tif", RGB, photometric="rgb", extratags=[(296, 2, 0, "?", True)])
        assert lepton.open(tmp_path / "a.tif").shape == RGB.shape
        group = zarr.open_group(str(tmp_path / "g.zarr"), mode="w")
        group.attrs.update({"ome": "yes", "multiscales": [3]})
        with pytest.raises(errors.StoreError, match="is a Zarr group"):
            lepton.open(tmp_path / "g.zarr")

    def test_damaged_descriptions_are_unknown_axes(self) -> None:
        for size, unit in ((float("nan"), "um"), (-1, "um"), ("a", "um"), (None, "um"), (1, None), (1, "pixel")):
            assert axis("y", size, unit) == Axis("y")
        assert axis("q", 1, "um") == Axis("", 1, "micrometer")


def close(found: Axes, expected: Axes) -> bool:
    """Whether the axes are the same, with sizes as exact as fractions of two integers of 32 bits."""
    return [(a.name, a.unit) for a in found] == [(a.name, a.unit) for a in expected] and np.allclose(
        [a.size for a in found], [a.size for a in expected], rtol=1e-6
    )


def planned(node: Any) -> Axes:
    made = make_plan({"a": node})
    return axes_of(made.plan.nodes, made.lowered.axes).get(made.plan.outputs["a"], ())


def test_axes_change_as_the_image_does(tmp_path: Path) -> None:
    image, none = imagej(tmp_path / "a.tif"), lepton.open(VOLUME)
    expected: list[tuple[Any, Axes]] = [
        (image, (Z, Y, X)),
        (filters.gaussian(image, 1), (Z, Y, X)),
        (filters.gaussian(image, 1, mode="wrap"), (Z, Y, X)),
        (measure.label(image > filters.threshold_otsu(image)), (Z, Y, X)),
        (image[1::2, ::-3], (Z.every(2), Y.every(3), X)),
        (image[2], (Y, X)),
        (image[:, None, 4:9], (Z, Axis(), Y, X)),
        (image.transpose(2, 0, 1), (X, Z, Y)),
        (np.rot90(image, axes=(1, 2)), (Z, X, Y)),
        (np.pad(image, 3), (Z, Y, X)),
        (image.max(axis=0), (Y, X)),
        (image.mean(axis=(0, 2)), (Y,)),
        (np.percentile(image, 50, axis=1), (Z, X)),
        (image.sum(axis=-1, keepdims=True), (Z, Y, Axis("x"))),
        (color.gray2rgb(image), (Z, Y, X, C)),
        (color.rgb2gray(color.gray2rgb(image)), (Z, Y, X)),
        (image * none, (Z, Y, X)),
        (image - image[::-1], (Z, Y, X)),
        (image[::2] + image[:3], ()),  # two grids
        (transform.resize(image, (6, 20, 20)), ()),
        (none, ()),
    ]
    for node, axes in expected:
        found = planned(node)
        assert close(found, axes), (node, found)


@pytest.mark.parametrize("suffix", [".tif", ".ome.tif", ".zarr"])
def test_axes_pass_through_a_job(tmp_path: Path, suffix: str) -> None:
    image = imagej(tmp_path / "a.tif")
    outputs = {"smooth": filters.gaussian(image, 1), "half": image[::2, ::2, ::2], "slice": image[2], "bits": image > 9}
    job = lepton.run({str(tmp_path / (name + suffix)): node for name, node in outputs.items()})
    found = {Path(path).name.removesuffix(suffix): node for path, node in job.result().items()}
    assert close(found["smooth"].axes, (Z, Y, X)) and close(found["bits"].axes, (Z, Y, X))
    assert close(found["half"].axes, (Z.every(2), Y.every(2), X.every(2)))
    assert close(found["slice"].axes, (Y, X))
    assert np.array_equal(lepton.compute(found["bits"]), VOLUME > 9)


def test_other_programs_find_the_axes(tmp_path: Path) -> None:
    image = imagej(tmp_path / "a.tif") + np.uint16(1)
    lepton.run({str(tmp_path / name): image for name in ("o.tif", "o.ome.tif", "o.zarr")})
    for name, kind in (("o.tif", "shaped"), ("o.ome.tif", "ome")):
        with tifffile.TiffFile(tmp_path / name) as tif:
            page: Any = tif.pages[0]
            assert (tif.series[0].kind, tif.series[0].axes) == (kind, "ZYX")
            assert page.tags.valueof("ResolutionUnit") == 3  # centimetres
            pixels_per_cm = np.divide(*page.tags.valueof("XResolution"))
            assert np.isclose(1e4 / pixels_per_cm, 0.325)
            assert 'PhysicalSizeX="0.325' in (tif.ome_metadata or 'PhysicalSizeX="0.325')
    array = zarr.open_array(str(tmp_path / "o.zarr"), mode="r")
    attributes: Any = array.attrs.asdict()
    assert getattr(array.metadata, "dimension_names") == ("z", "y", "x")  # noqa: B009 - of version 3 only
    assert attributes["axes"][2] == {"name": "x", "type": "space", "unit": "micrometer"}
    assert np.allclose(attributes["coordinateTransformations"][0]["scale"], (2, 0.25, 0.325))


def test_an_ome_tiff_has_the_axes_of_ome(tmp_path: Path) -> None:
    image = imagej(tmp_path / "a.tif")
    names = {"turned": image.transpose(2, 0, 1), "unknown": lepton.open(VOLUME), "colours": lepton.open(RGB)}
    lepton.run({str(tmp_path / f"{name}.ome.tif"): node for name, node in names.items()})
    for name, node in names.items():
        path = tmp_path / f"{name}.ome.tif"
        with tifffile.TiffFile(path) as tif:
            assert (tif.series[0].kind, tif.series[0].axes) == ("ome", "YXS" if name == "colours" else "ZYX")
            assert "PhysicalSizeX" not in (tif.ome_metadata or "")
        assert open_array(path).shape == node.shape
    for shape, dtype, says in (((40, 33), "uint64", "OME-TIFF holds"), ((1, 40, 33), "uint8", "an axis of length 1")):
        with pytest.raises(errors.InputError, match=says):
            check_dtype(tmp_path / "a.ome.tif", shape, dtype)
