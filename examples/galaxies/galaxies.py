"""Count the galaxies in a large photograph on local workers, and compare with scikit-image on the whole image.

    python examples/galaxies/galaxies.py --side 4096

`make run` and `lepton demo` run this file. Change `find_galaxies` to see what other functions do.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import skimage
import tifffile
from PIL import Image

import lepton_celery as lepton
from lepton_celery import skimage as lazy_skimage
from lepton_celery import stores
from lepton_celery.calibration import calibrate as calibration
from lepton_celery.local.stack import LocalStack

SHRINK = 4
"""Factor by which the picture of the result is smaller than the photograph."""


def make_photograph(path: Path, side: int) -> None:
    """Write the Hubble deep field that scikit-image ships, enlarged to `side` × `side` pixels, as a tiled TIFF."""
    field = skimage.data.hubble_deep_field()
    height, width = field.shape[:2]
    left = (width - height) // 2
    middle = Image.fromarray(field[:, left : left + height])
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{os.getpid()}.{path.name}")  # so that an interrupted run leaves no partial photograph
    enlarged = np.asarray(middle.resize((side, side), Image.Resampling.LANCZOS))
    tifffile.imwrite(draft, enlarged, tile=(512, 512), photometric="rgb")
    draft.replace(path)


def find_galaxies(photo: Any, sk: Any) -> tuple[Any, Any]:
    """Labels of the galaxies, and a table of them. `sk` is `skimage` or `lepton_celery.skimage`."""
    gray = sk.color.rgb2gray(photo)
    smooth = sk.filters.gaussian(gray, sigma=4)
    mask = smooth > sk.filters.threshold_otsu(smooth)
    del smooth  # an array of eight bytes per pixel, if `sk` is scikit-image
    labels = sk.measure.label(mask)
    properties = ("label", "area", "bbox", "centroid", "intensity_mean")
    return labels, sk.measure.regionprops_table(labels, gray, properties=properties)


def draw_outlines(photo: Any, labels: Any) -> Any:
    """A lazy, smaller picture of the photograph in which the galaxies are outlined."""
    small = lazy_skimage.transform.downscale_local_mean(photo, (SHRINK, SHRINK, 1)) / 255
    outlined = lazy_skimage.segmentation.mark_boundaries(
        small, labels[::SHRINK, ::SHRINK], color=(1.0, 0.75, 0.1), mode="outer"
    )
    return lazy_skimage.util.img_as_ubyte(outlined)


def run_on_workers(photograph: Path, options: argparse.Namespace) -> tuple[Path, Path]:
    """Run the job on workers that are started for it. Returns the paths of the labels and of the table."""
    photo = lepton.open(photograph)
    labels, table = find_galaxies(photo, lazy_skimage)
    folder: Path = options.directory
    outputs = {"galaxies.zarr": labels, "galaxies.csv": table, "galaxies.png": draw_outlines(photo, labels)}
    say("stack", f"starting a broker and {options.workers} workers")
    stack = LocalStack(folder / ".stack", workers=options.workers, flower=options.flower, broker_url=options.broker_url)
    stack.stop_on_signals()
    try:
        stack.start()
        if stack.flower_url:
            say("flower", stack.flower_url)
        os.environ["LEPTON_BROKER_URL"] = stack.broker_url  # where `submit` looks for the broker
        calibration.estimate()
        job = lepton.submit(
            {str(folder / name): node for name, node in outputs.items()},
            priority="interactive",
            title="galaxies",
            workers=options.workers,
            overwrite=True,
        )
        say("job", job.id)
        job.wait(progress=True)
        print(job.report())
    finally:
        say("stack", "stopping: workers finish their current batches")
        stack.stop()
    say("wrote", ", ".join(str(folder / name) for name in outputs))
    return folder / "galaxies.zarr", folder / "galaxies.csv"


def compare(photograph: Path, labels: Path, table: Path) -> None:
    """Do the same with scikit-image on the whole image in this process, and exit if any result differs."""
    started = time.perf_counter()
    whole_labels, whole_table = find_galaxies(tifffile.imread(photograph), skimage)
    seconds = time.perf_counter() - started
    pixels = lepton.compute(lepton.open(labels))
    if pixels.dtype != whole_labels.dtype or not np.array_equal(pixels, whole_labels):
        sys.exit(f"{np.count_nonzero(pixels != whole_labels):,} label pixels differ from scikit-image's")
    columns = stores.read_table(table)
    for name, column in whole_table.items():
        if not np.array_equal(columns[name], column):
            sys.exit(f"column {name} of the table differs from scikit-image's")
    say("check", f"identical to scikit-image on the whole image, which took {seconds:.1f} s in one process")


def say(what: str, text: object) -> None:
    print(f"{what:<8} {text}", flush=True)


def at_least(least: int) -> Callable[[str], int]:
    """A parser of whole numbers that are not less than `least`."""

    def number(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"{text} is less than {least}")
        return int(text)

    return number


def main(arguments: Sequence[str] | None = None, program: str | None = None) -> None:
    parser = argparse.ArgumentParser(prog=program, description=str(__doc__).partition("\n")[0])
    parser.add_argument("--directory", type=Path, default=Path("examples/output"), help="where to write (%(default)s)")
    parser.add_argument("--side", type=at_least(256), default=8192, help="pixels along each side (%(default)s)")
    parser.add_argument("--workers", type=at_least(1), default=2, help="worker processes (%(default)s)")
    parser.add_argument("--flower", action=argparse.BooleanOptionalAction, default=True, help="run the dashboard too")
    parser.add_argument(
        "--compare", action=argparse.BooleanOptionalAction, default=True, help="compare with scikit-image"
    )
    parser.add_argument("--broker-url", default=os.environ.get("LEPTON_BROKER_URL"), help="use this broker, start none")
    parser.add_argument("--photograph-only", action="store_true", help="only write the photograph, and print its path")
    options = parser.parse_args(arguments)
    options.directory = options.directory.absolute()
    photograph = options.directory / f"hubble-{options.side}.tif"
    if not photograph.exists():
        make_photograph(photograph, options.side)
    if options.photograph_only:
        print(photograph)
        return
    say("input", f"{photograph}, {options.side} × {options.side} × 3, {photograph.stat().st_size / 1e6:.0f} MB")
    try:
        labels, table = run_on_workers(photograph, options)
        count = len(stores.read_table(table)["label"])
        say("found", f"{count:,} galaxies")
        if options.compare:
            compare(photograph, labels, table)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
