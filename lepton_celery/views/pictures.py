"""The images of a job as pictures: which there are, what is known of one, and squares of their pixels as PNG files."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeVar

from lepton_celery import stores
from lepton_celery.config import Settings
from lepton_celery.errors import InputError, JobError, StoreNotFound
from lepton_celery.jobs.job import Job
from lepton_celery.jobs.rendering import DisplayRange, Look, eight_bits, png
from lepton_celery.ledger import JobInfo, JobState
from lepton_celery.stores.base import Target
from lepton_celery.stores.chunk_cache import CACHE_BYTES
from lepton_celery.views.deep_zoom import DeepZoom, Shown
from lepton_celery.views.job_images import JobImage, JobImages, Role, images_of
from lepton_celery.views.kept import Kept

T = TypeVar("T")

MOST_OPEN_BYTES = 256 << 20
"""Largest size of what open images may keep in memory, all together."""
MOST_KEPT_BYTES = 32 << 20
"""Largest size of the PNG files that are kept for the next viewer."""
_OPEN_BYTES = 1 << 20
"""What an open image counts for that keeps no pixels."""
_MOST_JOBS = 64


@dataclass(frozen=True, slots=True)
class JobPictures:
    """The images of a job, inputs first."""

    pictures: tuple[JobImage, ...]
    arrays: int
    """Number of inputs that came with the job as arrays, of which there are no pictures."""


@dataclass(frozen=True, slots=True)
class PlaneAxis:
    """An axis of which one plane is shown at a time."""

    axis: int
    name: str
    """`z`, `t`, or empty if it is not known."""
    length: int
    plane: int
    """The plane that is shown if none is chosen."""


@dataclass(frozen=True, slots=True)
class PictureView:
    """What is known of an image, and how it is shown."""

    picture: str
    role: Role
    path: str
    shape: tuple[int, ...]
    dtype: str
    width: int
    height: int
    rows: int | None
    """The axis that is shown from top to bottom; None if there is none."""
    columns: int | None
    """The axis that is shown from left to right; None if there is none."""
    channel_axis: int | None
    channels: int
    """Number of channels; 0 for an image without any."""
    has_colours: bool
    """Whether all channels can be shown as colours."""
    planes: tuple[PlaneAxis, ...]
    block_shape: tuple[int, ...]
    """Shape of the blocks in which the job writes it; empty for an input."""
    levels: int
    """Level 0 is the image; each further one has half as many pixels along both sides."""
    stored_levels: int
    """Number of levels that the file has; others have every n-th pixel of a stored one."""
    square_px: int
    """Width and height of the picture's tiles."""
    look: Look
    """How it is shown unless another way is chosen."""
    channel: int | None
    """The channel that is shown unless another one is chosen; None for colours."""
    black: float
    """The value that is shown as black."""
    white: float
    """The value that is shown as white."""
    is_finished: bool
    """Whether all its blocks are done; pixels of others are those of an empty file."""
    version: str
    """Changes when the file is written again."""


@dataclass(frozen=True, slots=True)
class PictureTile:
    """A square of a picture."""

    etag: str
    """Names the PNG file, for HTTP."""
    is_final: bool
    """Whether the same request has the same answer for as long as the file is not written again."""
    draw: Callable[[], bytes]
    """The PNG file, read and drawn when it is asked for."""


@dataclass(frozen=True, slots=True)
class TileQuery:
    """What is asked for of a picture."""

    level: int = 0
    column: int = 0
    row: int = 0
    planes: tuple[int, ...] = ()
    channel: int | None = None
    look: Look | None = None
    black: float | None = None
    """The value that is shown as black; None for the image's own range."""
    white: float | None = None
    version: str = ""
    """The version of the file that is asked for; empty for any."""

    def __post_init__(self) -> None:
        ends = [value for value in (self.black, self.white) if value is not None]
        if len(ends) == 1 or (ends and not (all(map(math.isfinite, ends)) and ends[0] < ends[1])):
            raise InputError(
                f"black is {self.black} and white is {self.white}; give two finite numbers, white the larger one, or neither"
            )


class Pictures:
    """The pictures of jobs. It may be used in several threads."""

    def __init__(self, settings: Settings) -> None:
        self._roots, self._timeout_s = settings.roots, settings.store_timeout_s
        self._jobs: Kept[tuple[str, float], JobImages] = Kept(_MOST_JOBS)
        self._open: Kept[tuple[str, str], DeepZoom] = Kept(MOST_OPEN_BYTES)
        self._made: Kept[tuple[str, str, TileQuery], bytes] = Kept(MOST_KEPT_BYTES)

    def of(self, job: Job) -> JobPictures:
        """The images of a job.

        Raises:
            JobNotFound, JobError, BrokerUnreachable: the ledger does not know the job, or does not answer.
        """
        images = self._images(job, job.info())
        return JobPictures(images.shown, images.arrays)

    def view(self, job: Job, picture: str, query: TileQuery | None = None) -> PictureView:
        """What is known of an image, with the display range of the chosen channel.

        Raises:
            StoreNotFound: the job has no such image, or its file is gone.
            StoreError, InputError: it cannot be read, or must not be read here.
            JobError: its format does not tell what is written before the job is done.
        """
        query = query or TileQuery()
        opened = self._opened(job, picture)
        image = opened.image

        def choose() -> tuple[Shown, DisplayRange]:
            shown = image.shown(query.planes, query.channel, query.look)
            return shown, image.range_of(shown)

        shown, within = self._answered(opened.path, choose)
        axes, shape = image.axes, image.full.shape
        return PictureView(
            picture=picture,
            role=opened.about.role,
            path=opened.about.path,
            shape=shape,
            dtype=str(image.full.dtype),
            width=image.width,
            height=image.height,
            rows=axes.rows,
            columns=axes.columns,
            channel_axis=axes.channels,
            channels=image.channels,
            has_colours=image.has_colours,
            planes=tuple(
                PlaneAxis(axis, axes.names[axis], shape[axis], plane)
                for axis, plane in zip(axes.planes, shown.planes, strict=True)
            ),
            block_shape=opened.target.block_shape if opened.target else (),
            levels=image.levels,
            stored_levels=image.stored_levels,
            square_px=image.square_px,
            look=shown.look,
            channel=shown.channel,
            black=within.black,
            white=within.white,
            is_finished=opened.is_finished,
            version=opened.version,
        )

    def picture_tile(self, job: Job, picture: str, query: TileQuery) -> PictureTile:
        """A square of an image.

        Raises:
            StoreNotFound, StoreError, InputError, JobError: as `view`; and when it is drawn, InputError for a level, column,
                row, plane or channel that the image does not have.
        """
        opened = self._opened(job, picture)
        key = (opened.path, opened.version, query)
        is_final = opened.is_finished and query.version == opened.version
        etag = blake2b(repr(key).encode(), digest_size=12).hexdigest()

        def draw() -> bytes:
            body = self._made.get(key)
            if body is None:
                body = self._answered(opened.path, lambda: _drawn(opened.image, query))
                self._made.put(key, body, len(body))
            return body

        return PictureTile(f'"{etag}"', is_final, draw)

    def _images(self, job: Job, info: JobInfo) -> JobImages:
        key = (job.id, info.created_at)
        images = self._jobs.get(key)
        if images is None:
            images = images_of(job.manifest())
            self._jobs.put(key, images, 1)
        return images

    def _opened(self, job: Job, picture: str) -> _Opened:
        """An image with its levels, opened again if its file was written again."""
        info = job.info()
        images = self._images(job, info)
        about = next((one for one in images.shown if one.picture == picture), None)
        if about is None:
            raise StoreNotFound(f"job {job.id} has no picture {picture!r}; it has {', '.join(images.paths) or 'none'}")
        path, target = images.paths[picture], images.targets.get(picture)
        if target is None or info.state is JobState.DONE:
            return self._answered(path, lambda: self._file(about, path, target))
        if info.state is JobState.CANCELLED:
            raise StoreNotFound(f"job {job.id} was cancelled, and its unfinished output {about.path} was removed")
        return self._answered(path, lambda: self._part(about, target, info))

    def _file(self, about: JobImage, path: str, target: Target | None) -> _Opened:
        version = stores.stamp(path, roots=self._roots)
        image = self._kept(path, version, lambda: DeepZoom(stores.open_levels(path, roots=self._roots)))
        return _Opened(about, target, path, image, version, is_finished=True)

    def _part(self, about: JobImage, target: Target, info: JobInfo) -> _Opened:
        """What is written so far of an output, which changes all the time."""
        path = str(target.part)
        try:
            version = f"{stores.stamp(path, roots=self._roots)}-{info.stage}-{info.blocks_done}"
            reader = stores.open_part(target, roots=self._roots)
        except StoreNotFound as error:
            raise StoreNotFound(f"the output {about.path} is not there: the job is {info.state}") from error
        if reader is None:
            raise JobError(f"the output {about.path} can be seen when the job is done", info.job_id)
        image = self._kept(path, version, lambda: DeepZoom([reader], is_finished=False))
        return _Opened(about, target, path, image, version, is_finished=False)

    def _kept(self, path: str, version: str, make: Callable[[], DeepZoom]) -> DeepZoom:
        image = self._open.get((path, version))
        if image is None:
            image = make()
            self._open.put((path, version), image, _kept_bytes(image))
        return image

    def _answered(self, path: str, call: Callable[[], T]) -> T:
        return stores.answered(path, call, self._timeout_s)


@dataclass(frozen=True, slots=True)
class _Opened:
    """An image of a job that is open."""

    about: JobImage
    target: Target | None
    """What the job writes; None for an input."""
    path: str
    image: DeepZoom
    version: str
    is_finished: bool


def _kept_bytes(image: DeepZoom) -> int:
    """The most that an open image keeps of its pixels."""
    if not image.full.reads_whole_chunks:
        return _OPEN_BYTES
    whole = math.prod(image.full.shape) * image.full.dtype.itemsize
    return whole if image.full.chunks == image.full.shape else min(whole, CACHE_BYTES)


def _drawn(image: DeepZoom, query: TileQuery) -> bytes:
    shown = image.shown(query.planes, query.channel, query.look)
    pixels = image.square(shown, query.level, query.column, query.row)
    given = None if query.black is None or query.white is None else DisplayRange(query.black, query.white)
    return png(eight_bits(pixels, shown.look, given or image.range_of(shown)), quick=True)
