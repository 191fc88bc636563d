"""Measures how fast images are written and read, by store, codec and chunk: `python -m benchmarks.datapath`."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import numpy as np
import zarr
from zarr.codecs import BloscCodec, ZstdCodec

from benchmarks import document, inputs
from benchmarks.folder import work_folder
from benchmarks.inputs import Array
from lepton_celery.grid import BlockGrid, BlockIndex, Region
from lepton_celery.stores.base import Target
from lepton_celery.stores.npy import NpyOutput, NpyReader
from lepton_celery.stores.zarr3 import ZarrOutput, ZarrReader

_HALO = 16
_PIPELINES = {
    "zarr-python": "zarr.core.codec_pipeline.BatchedCodecPipeline",
    "zarrs": "zarrs.ZarrsCodecPipeline",
}
_MAP = "memory map, .npy"

Order = Iterable[Region]
Read = Callable[[Region], Array]


@dataclass(frozen=True)
class Way:
    """A way to write an image to a store and to read regions of it."""

    name: str
    write: Callable[[Path, Array, BlockGrid], None] | None
    """None if the way only reads the files of another way, `reads_of`."""
    open: Callable[[Path], Read] | None
    """None if the way only writes."""
    reads_of: str = ""


@dataclass
class Rates:
    """The speeds of a way in MB per second of processor time, one for each round."""

    write: list[float] = field(default_factory=list)
    aligned: list[float] = field(default_factory=list)
    halo: list[float] = field(default_factory=list)
    stored: float = 0.0
    """Bytes on disk per byte of pixels."""


# ------------------------------------------------------------------------------------------------ ways


def _target(path: Path, image: Array, grid: BlockGrid) -> Target:
    return Target(str(path), image.shape, image.dtype.name, grid.block_shape, "bench")


def _write_map(path: Path, image: Array, grid: BlockGrid) -> None:
    _fill(NpyOutput(_target(path, image, grid)), image, grid)


def _write_ours(path: Path, image: Array, grid: BlockGrid) -> None:
    _fill(ZarrOutput(_target(path, image, grid)), image, grid)


def _fill(output: NpyOutput | ZarrOutput, image: Array, grid: BlockGrid) -> None:
    output.create()
    for region in grid:
        output.write(region, image[region.slices])
    output.publish()


def _read_map(path: Path) -> Read:
    return NpyReader(path).read


def _read_ours(path: Path) -> Read:
    return ZarrReader(path).read


def _write_raw(path: Path, image: Array, grid: BlockGrid) -> None:
    """Write each block to a file of its own, which is renamed when it is complete."""
    path.mkdir()
    for index, region in enumerate(grid):
        temporary = path / "temporary"
        with temporary.open("wb") as file:
            file.write(np.ascontiguousarray(image[region.slices]).data)
        temporary.rename(path / str(index))


@contextmanager
def _pipeline(name: str) -> Iterator[None]:
    with zarr.config.set({"codec_pipeline.path": _PIPELINES[name], "threading.max_workers": 1}):
        yield


def _by_zarr(pipeline: str, codec: str, chunk: int, shard: int) -> Way:
    def write(path: Path, image: Array, grid: BlockGrid) -> None:
        codecs: dict[str, Any] = {
            "none": None,
            "lz4": BloscCodec(typesize=image.itemsize, cname="lz4", clevel=5, shuffle="shuffle"),
            "zstd": ZstdCodec(level=1),
        }
        with _pipeline(pipeline):
            array = zarr.create_array(
                str(path),
                shape=image.shape,
                dtype=image.dtype,
                chunks=(chunk, chunk),
                shards=(shard, shard) if shard else None,
                compressors=codecs[codec],
                config={"write_empty_chunks": True},
            )
            for region in grid:
                array[region.slices] = image[region.slices]

    def opened(path: Path) -> Read:
        with _pipeline(pipeline):
            array = zarr.open_array(str(path), mode="r")
        return lambda region: np.asarray(array[region.slices])

    sharded = f", {chunk}² in shards" if shard else ""
    return Way(f"{pipeline}, {codec}{sharded}", write, opened)


def ways(block: int) -> list[Way]:
    """The compared ways, for blocks of `block`² pixels."""
    found = [
        Way(_MAP, _write_map, _read_map),
        Way("files of blocks, renamed", _write_raw, None),
        Way("our Zarr, lz4", _write_ours, _read_ours),
    ]
    pipelines = [name for name in _PIPELINES if name == "zarr-python" or find_spec(name)]
    for pipeline in pipelines:
        found += [_by_zarr(pipeline, codec, block, 0) for codec in ("none", "lz4", "zstd")]
        found += [_by_zarr(pipeline, codec, block // 4, block) for codec in ("none", "lz4", "zstd")]
    ours = [Way(f"our Zarr, {codec}", None, _read_ours, f"zarr-python, {codec}") for codec in ("none", "zstd")]
    return [*found[:3], *ours, *found[3:]]


# ------------------------------------------------------------------------------------------------ measuring


def raster(grid: BlockGrid) -> list[Region]:
    """The blocks in raster order."""
    return list(grid)


def tiles(grid: BlockGrid, side: int) -> list[Region]:
    """The blocks by squares of `side` × `side` blocks, in raster order within each square."""
    _, columns = grid.counts
    places = sorted(range(len(grid)), key=lambda at: (at // columns // side, at % columns // side, at))
    return [grid.region(BlockIndex(at)) for at in places]


def _spent(work: Callable[[], None]) -> float:
    before = time.process_time()
    work()
    return time.process_time() - before


def _read_all(read: Read, image: Array, order: Order, halo: int) -> Callable[[], None]:
    def work() -> None:
        for region in order:
            wide = region.expand((halo,) * image.ndim, image.shape)
            found = read(wide)
            # few pixels, so that comparing takes no time; `_check` compares all of them
            assert np.array_equal(found[::97, ::97], image[wide.slices][::97, ::97])

    return work


def _check(read: Read, image: Array) -> None:
    """Raise if a store returns other pixels than were written."""
    if not np.array_equal(read(Region.whole(image.shape)), image):
        raise AssertionError("what was read is not what was written")


def measure(chosen: Sequence[Way], image: Array, block: int, folder: Path, rounds: int) -> dict[str, Rates]:
    """The speeds of all ways, which take turns on one thread."""
    grid = BlockGrid(image.shape, (block, block))
    rates = {way.name: Rates() for way in chosen}
    for _ in range(rounds):
        for way in sorted(chosen, key=lambda way: bool(way.reads_of)):
            path = folder / (way.reads_of or way.name).replace(" ", "-").replace("²", "")
            path = path.with_name(path.name + (".npy" if way.name == _MAP else ".zarr"))
            found = rates[way.name]
            if write := way.write:
                found.write.append(image.nbytes / _spent(lambda: write(path, image, grid)) / 1e6)  # noqa: B023
            found.stored = _stored(path) / image.nbytes
            if way.open is None:
                continue
            _check(way.open(path), image)
            for halo, kept in ((0, found.aligned), (_HALO, found.halo)):
                work = _read_all(way.open(path), image, raster(grid), halo)
                kept.append(image.nbytes / _spent(work) / 1e6)
        for left in folder.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
    return rates


def _stored(path: Path) -> int:
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)


@dataclass(frozen=True)
class Decoding:
    """The cost of reading blocks with their halos from an array in chunks."""

    chunk: int
    order: str
    times: float
    """Average number of times that a pixel was decoded."""
    naive: float
    """The same number if chunks were always decoded whole and never kept."""
    rate: float
    """MB per second of processor time."""
    write: float


def decodings(image: Array, block: int, folder: Path, rounds: int, chunks: Sequence[int]) -> list[Decoding]:
    """Measure our Zarr reader by size of chunk and order of blocks."""
    grid = BlockGrid(image.shape, (block, block))
    found: dict[tuple[int, str], list[Decoding]] = {}
    for _ in range(rounds):
        for chunk in chunks:
            cut = BlockGrid(image.shape, (chunk, chunk))
            path = folder / "chunks.zarr"
            write = image.nbytes / _spent(lambda: _write_ours(path, image, cut)) / 1e6  # noqa: B023
            orders = {"raster": raster(grid), "tiles of 2 × 2": tiles(grid, 2), "tiles of 4 × 4": tiles(grid, 4)}
            for name, order in orders.items():
                reader = ZarrReader(path)
                seconds = _spent(_read_all(reader.read, image, order, _HALO))
                assert reader.files is not None
                times = reader.files.decoded_bytes / image.nbytes
                naive = _naive(image, order, cut)
                found.setdefault((chunk, name), []).append(
                    Decoding(chunk, name, times, naive, image.nbytes / seconds / 1e6, write)
                )
            shutil.rmtree(path)
    return [_middle(measured) for measured in found.values()]


def _naive(image: Array, order: Order, cut: BlockGrid) -> float:
    wide = (region.expand((_HALO,) * image.ndim, image.shape) for region in order)
    touched = sum(cut.region(chunk).size for region in wide for chunk in cut.overlapping(region))
    return touched / image.size


def _middle(measured: Sequence[Decoding]) -> Decoding:
    first = measured[0]
    rate, write = statistics.median(m.rate for m in measured), statistics.median(m.write for m in measured)
    return Decoding(first.chunk, first.order, statistics.median(m.times for m in measured), first.naive, rate, write)


# ------------------------------------------------------------------------------------------------ the document


def section(
    tables: dict[str, dict[str, Rates]], chunks: Sequence[Decoding], *, side: int, block: int, rounds: int
) -> str:
    """The section of the document."""
    lines = [
        "## The data path",
        "",
        f"Images of {side}² pixels, blocks of {block}² in raster order, chunks of {block}² unless stated otherwise, a halo",
        f"of {_HALO}; files in memory (tmpfs), read from the page cache. Figures are MB per second of processor time of all",
        f"threads of the process, because other programs run on the machine. They are medians of {rounds} rounds in which",
        "the ways take turns. In brackets: relative to the memory map. Every store returned the pixels that were written.",
        "",
    ]
    for title, found in tables.items():
        base = found[_MAP]
        rows = [
            (
                name,
                *(_rate(getattr(rates, kind), getattr(base, kind)) for kind in ("write", "aligned", "halo")),
                f"{rates.stored:.2f}",
            )
            for name, rates in found.items()
        ]
        head = ("way", "write", "read aligned", "read with halo", "bytes stored")
        lines += [f"### {title}", "", *document.table(head, rows), ""]
    lines += [
        f"### Our Zarr, lz4, float32, by size of chunk: blocks of {block}² read with their halo",
        "",
        "Decoded: how often a pixel is decoded on average. Else: how often it would be if each block decoded every chunk",
        "that it touches completely, and no chunk were cached.",
        "",
    ]
    by_chunk = [
        (str(c.chunk), c.order, f"{c.times:.2f}", f"{c.naive:.2f}", f"{c.rate:.0f}", f"{c.write:.0f}") for c in chunks
    ]
    columns = ("chunk", "order of blocks", "decoded ×", "else ×", "read with halo", "write")
    return "\n".join([*lines, *document.table(columns, by_chunk)])


def _rate(rates: list[float], base: list[float]) -> str:
    if not rates:
        return "-"
    middle = statistics.median(rates)
    return f"{middle:.0f} ({middle / statistics.median(base):.2f})"


def labels(shape: tuple[int, ...]) -> Array:
    """Labels of small objects, int32, with nine of ten pixels zero."""
    image = np.zeros(shape, np.int32)
    rng = np.random.default_rng(0)
    count = image.size // 1440
    for label, (y, x) in enumerate(rng.integers(0, min(shape) - 12, (count, 2)), start=1):
        image[y : y + 12, x : x + 12] = label
    return image


@click.command(help="Measure how quickly pixels get to disk and back.")
@click.option("--quick", is_flag=True, help="Small images, one round: to see that everything runs.")
@click.option("--repeat", type=click.IntRange(1), default=3, show_default=True, help="Rounds.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("docs"), show_default=True, help="Where to write.")
@click.option("--work", type=click.Path(path_type=Path), help="Where files go meanwhile; in memory unless given.")
def main(quick: bool, repeat: int, out: Path, work: Path | None) -> None:
    side, block, rounds = (512, 128, 1) if quick else (4096, 1024, repeat)
    shape = (side, side)
    images = {
        "float32, a photograph with noise": inputs.photograph(shape, 0),
        "uint8, coins with noise": inputs.coins(shape, 0),
        "int32, labels, nine of ten pixels zero": labels(shape),
    }
    with work_folder(work) as folder:
        tables = {}
        for title, image in images.items():
            tables[title] = measure(ways(block), image, block, folder, rounds)
            click.echo(f"measured: {title}")
        chunks = decodings(next(iter(images.values())), block, folder, rounds, [2 * block >> down for down in range(5)])
    text = section(tables, chunks, side=side, block=block, rounds=rounds)
    document.replace_section(out / "benchmarks.md", "datapath", text)
    click.echo(text)


if __name__ == "__main__":
    main()
