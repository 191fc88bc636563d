"""The routes of the HTTP API: what each path answers and which parameters it takes."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta

from lepton_celery.api.answers import Answer, Request
from lepton_celery.api.parameters import Parameter
from lepton_celery.config import Settings
from lepton_celery.errors import InputError, JobError
from lepton_celery.grid import BlockIndex, StageIndex, StageOrdinal
from lepton_celery.jobs.eager import find_job
from lepton_celery.jobs.job import Job
from lepton_celery.jobs.rendering import Look
from lepton_celery.jobs.retry import Retried
from lepton_celery.ledger import Ledger
from lepton_celery.ledger.entries import not_found
from lepton_celery.priority import LANES, priority_of
from lepton_celery.views.blocks import BlockState, BlockStory, block_map, block_story
from lepton_celery.views.course import Course, course
from lepton_celery.views.fleet import MOST_DECISIONS, FleetView, fleet_view
from lepton_celery.views.fleet_course import FleetCourse, fleet_course
from lepton_celery.views.job import JobView, view_of
from lepton_celery.views.listing import MOST_IN_PAGE, JobPage, JobQuery, Listing
from lepton_celery.views.pictures import JobPictures, Pictures, PictureView, TileQuery
from lepton_celery.views.scope import ALL
from lepton_celery.views.timeline import Timeline, timeline

IN_PATHS: Mapping[str, tuple[str, str]] = {
    "job": ("[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}", "The id of the job."),
    "upload": ("[A-Za-z0-9_-]{22}", "The id of the upload."),
    "name": ("[^/]{1,120}", "The name of the result."),
    "picture": ("(?:input|output)-[1-9][0-9]{0,5}", "The name of the picture, such as `input-1`."),
}
"""What the names in paths stand for: a pattern, and what it means."""

Stage = Annotated[int, Meta(ge=1, le=10_000)]
Count = Annotated[int, Meta(ge=1, le=MOST_IN_PAGE)]
Start = Annotated[int, Meta(ge=0, le=1_000_000)]
Block = Annotated[int, Meta(ge=0, le=1 << 32)]
Sort = Literal["created", "title", "state", "lane", "tenant", "owner", "progress", "remaining", "took"]
Layer = Literal["states", "attempts", "seconds", "ended", "slots"]
State = Literal["running", "paused", "done", "failed", "cancelled", "damaged"]
Lane = Literal[LANES]  # type: ignore[valid-type]  # a tuple of texts

_LAYERS: Mapping[Layer, str] = {"states": "u1", "attempts": "u1", "seconds": "<f4", "ended": "<f4", "slots": "<u2"}
"""The layers of a block map, each with the type of its items."""


@dataclass(frozen=True, slots=True)
class BlockLayers:
    """The block map of a stage. Each layer has an item for each block, in C order of the grid, in base64.

    Layers that were not asked for are empty.
    """

    stage: StageOrdinal
    shape: tuple[int, ...]
    """Shape of the image that the grid tiles, in pixels."""
    block_shape: tuple[int, ...]
    grid: tuple[int, ...]
    """Number of blocks along each axis."""
    names: tuple[str, ...]
    """The name of each number in `states`."""
    counts: Mapping[str, int]
    """Number of blocks in each state."""
    states: str
    """Unsigned bytes."""
    attempts: str
    """Lost attempts, as unsigned bytes."""
    seconds: str
    """The time that a block took, as little-endian 32-bit floats; NaN if it is not known."""
    ended: str
    """When it was done, in seconds since the job began, as little-endian 32-bit floats; NaN if it is not known."""
    slots: str
    """Index in `slot_names`, as little-endian unsigned 16-bit integers; 65535 if it is not known."""
    slot_names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """What an action did."""

    job: str
    state: str
    priority: str


@dataclass(frozen=True, slots=True)
class TriedAgain:
    """What is tried again of a job."""

    job: str
    """The job that does it: the same one, or a new one."""
    state: str
    what: Literal["blocks", "resumed", "whole job"]
    """Filled blocks; the missing blocks of a job that had failed; or all of a job that had ended, as a new one."""
    blocks: int
    """Number of blocks of its current stage that are to be done."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where answers come from."""

    ledger: Ledger
    settings: Settings
    listing: Listing
    pictures: Pictures
    resume: Callable[[str], Any]
    """Resumes a job by its id."""
    retry: Callable[[str], Retried]
    """Tries again what was given up of a job, by its id."""

    def job(self, job_id: str, request: Request) -> Job:
        """A job that the caller may see.

        Raises:
            JobNotFound: there is none.
        """
        here = find_job(job_id)  # of an application with `task_always_eager`
        info = self.ledger.info(job_id) if here is None else here.info()
        if not request.scope.has(info):
            raise not_found(job_id)  # as of one that does not exist
        if here is not None:
            return here
        return Job(job_id, self.ledger, self.settings.secret_key, self.settings.roots)


Given = Mapping[str, Any]
Handler = Callable[[Sources, Request, Given], Any]


@dataclass(frozen=True, slots=True)
class Http:
    """What a request and its answer have beside the path, the query and a document."""

    takes: type | None = None
    """The document in the body of the request, as JSON; None for no document."""
    takes_bytes: tuple[str, ...] = ()
    """Media types of a body that is a file, or a part of one."""
    headers: tuple[Parameter, ...] = ()
    """Of the request."""
    status: int = 200
    """Of the answer if nothing is refused."""
    gives_headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    """What each header of the answer means."""
    refusals: tuple[int, ...] = ()
    """Statuses of errors beside those that every route may have."""


@dataclass(frozen=True, slots=True)
class Route:
    """A path of the API."""

    method: str
    path: str
    """As in OpenAPI: `/jobs/{job}`."""
    about: str
    """What it answers, as a sentence."""
    handler: Handler
    gives: type
    parameters: tuple[Parameter, ...] = ()
    media_type: str = "application/json"
    """Of what it gives; other types than JSON are bytes."""
    http: Http = Http()

    @property
    def pattern(self) -> re.Pattern[str]:
        """Matches the paths of this route."""
        named = re.sub(r"{(\w+)}", lambda found: f"(?P<{found[1]}>{IN_PATHS[found[1]][0]})", self.path)
        return re.compile(named + "/?", re.ASCII)

    @property
    def in_path(self) -> list[str]:
        """The names in its path."""
        return re.findall(r"{(\w+)}", self.path)


def _list(sources: Sources, request: Request, given: Given) -> JobPage:
    query = JobQuery(
        states=given["state"],
        lane=given["lane"],
        tenant=given["tenant"],
        owner=given["owner"],
        text=given["text"],
        sort=given["sort"],
        descending=given["order"] == "descending",
        start=given["start"],
        count=given["count"],
    )
    return sources.listing.page(query, request.scope)


def _job(sources: Sources, request: Request, given: Given) -> JobView:
    # of code and paths of the workers nothing is told to those who may see some jobs only
    return view_of(sources.job(given["job"], request), shows_tracebacks=request.scope == ALL)


def _stage_of(job: Job, number: int | None) -> StageIndex:
    """A stage that is counted from 1; the current one for None."""
    info = job.info()
    if number is not None and number > info.stages:
        raise InputError(f"stage is {number}; job {job.id} has the stages 1 to {info.stages}")
    return info.stage_index if number is None else StageIndex(number - 1)


def _blocks(sources: Sources, request: Request, given: Given) -> BlockLayers:
    job = sources.job(given["job"], request)
    stage = _stage_of(job, given["stage"])
    shown, asked = block_map(job, stage), given["layer"] or _LAYERS
    return BlockLayers(
        stage=StageOrdinal(stage + 1),
        shape=shown.grid.shape,
        block_shape=shown.grid.block_shape,
        grid=shown.grid.counts,
        names=tuple(state.name.lower() for state in BlockState),
        counts={state.name.lower(): count for state, count in shown.counts().items()},
        slot_names=shown.slot_names,
        **{name: _encoded(getattr(shown, name), kind) if name in asked else "" for name, kind in _LAYERS.items()},
    )


def _encoded(array: np.ndarray[Any, Any], dtype: str) -> str:
    return base64.b64encode(array.astype(dtype).tobytes()).decode("ascii")


def _block(sources: Sources, request: Request, given: Given) -> BlockStory:
    job = sources.job(given["job"], request)
    return block_story(job, _stage_of(job, given["stage"]), BlockIndex(given["block"]))


def _timeline(sources: Sources, request: Request, given: Given) -> Timeline:
    return timeline(sources.job(given["job"], request))


def _course(sources: Sources, request: Request, given: Given) -> Course:
    return course(sources.job(given["job"], request))


def _fleet_course(sources: Sources, request: Request, given: Given) -> FleetCourse:
    return fleet_course(sources.ledger)


def _pictures(sources: Sources, request: Request, given: Given) -> JobPictures:
    return sources.pictures.of(sources.job(given["job"], request))


def _picture(sources: Sources, request: Request, given: Given) -> PictureView:
    query = TileQuery(planes=tuple(given["plane"]), channel=given["channel"], look=given["look"])
    return sources.pictures.view(sources.job(given["job"], request), given["picture"], query)


def _picture_tile(sources: Sources, request: Request, given: Given) -> Answer:
    names = ("level", "column", "row", "channel", "look", "black", "white", "version")
    query = TileQuery(planes=tuple(given["plane"]), **{name: given[name] for name in names})
    made = sources.pictures.picture_tile(sources.job(given["job"], request), given["picture"], query)
    caching = f"private, max-age={_FINAL_TILE_S}" if made.is_final else "private, no-cache"
    headers = {"Content-Type": "image/png", "Cache-Control": caching, "ETag": made.etag}
    return Answer(304, b"", headers) if request.has(made.etag) else Answer(200, made.draw(), headers)


def _fleet(sources: Sources, request: Request, given: Given) -> FleetView:
    is_all = request.scope == ALL
    return fleet_view(sources.ledger, sources.settings, decisions=given["decisions"], shows_jobs=is_all)


def _done(job: Job) -> Done:
    info = job.info()
    return Done(job.id, str(info.state), info.priority)


def _act(what: str, act: Callable[[Sources, Job, Given], bool]) -> Handler:
    """A handler that changes a job; it refuses if the job cannot be changed so."""

    def handler(sources: Sources, request: Request, given: Given) -> Done:
        job = sources.job(given["job"], request)
        if not act(sources, job, given):
            info = job.info()
            why = "its outputs are being published" if info.state.is_open else f"it is {info.state} already"
            raise JobError(f"job {job.id} cannot be {what}: {why}", job.id)
        return _done(job)

    return handler


def _resume(sources: Sources, job: Job, given: Given) -> bool:
    if job.info().state not in ("paused", "failed"):
        return False
    sources.resume(job.id)
    return True


def _retry(sources: Sources, request: Request, given: Given) -> TriedAgain:
    found = sources.retry(sources.job(given["job"], request).id)
    return TriedAgain(found.job.id, str(found.job.info().state), found.what.value, found.blocks)


_FINAL_TILE_S = 24 * 3600
"""Seconds for which a browser keeps a tile of a file that does not change any more."""

_Index = Annotated[int, Meta(ge=0, le=1 << 40)]
_CHOICE = (
    Parameter("plane", _Index, "The position along each further axis; the middle ones by default.", many=True),
    Parameter("channel", _Index, "The channel; by default all as colours, or the first one."),
    Parameter("look", Look, "How values are shown; by default as the image's dtype and pixels suggest."),
)

_STAGE = Parameter("stage", Stage, "The stage, counted from 1; the current one if it is left out.")

ROUTES: tuple[Route, ...] = (
    Route(
        "GET",
        "/jobs",
        "A page of the newest 10,000 jobs, filtered and sorted.",
        _list,
        JobPage,
        (
            Parameter("state", State, "Only jobs in this state; may be repeated.", many=True),
            Parameter("lane", Lane, "Only jobs of this lane."),
            Parameter("tenant", str, "Only jobs of this tenant; the empty one is that of jobs without one."),
            Parameter("owner", str, "Only jobs of this owner; the empty one is that of jobs without one."),
            Parameter("text", str, "Only jobs whose id, title or error contains this text.", ""),
            Parameter("sort", Sort, "What the jobs are sorted by.", "created"),
            Parameter("order", Literal["ascending", "descending"], "The order of the jobs.", "descending"),
            Parameter("start", Start, "Number of jobs before the page.", 0),
            Parameter("count", Count, "Largest number of jobs of the page.", 50),
        ),
    ),
    Route("GET", "/jobs/{job}", "All about a job but its blocks and its timeline.", _job, JobView),
    Route(
        "GET",
        "/jobs/{job}/blocks",
        "The block map of a stage.",
        _blocks,
        BlockLayers,
        (_STAGE, Parameter("layer", Layer, "Only this layer; may be repeated.", many=True)),
    ),
    Route(
        "GET",
        "/jobs/{job}/block",
        "All that is known of one block.",
        _block,
        BlockStory,
        (_STAGE, Parameter("block", Block, "The block, counted from 0 in C order of the grid.", 0)),
    ),
    Route("GET", "/jobs/{job}/timeline", "What each worker process did when.", _timeline, Timeline),
    Route("GET", "/jobs/{job}/course", "Blocks left and busy slots over time.", _course, Course),
    Route("GET", "/fleet/course", "Depth of lanes, and slots, over time.", _fleet_course, FleetCourse),
    Route("GET", "/jobs/{job}/pictures", "The images of a job: its inputs and outputs.", _pictures, JobPictures),
    Route(
        "GET",
        "/jobs/{job}/pictures/{picture}",
        "What is known of an image, and how it is shown.",
        _picture,
        PictureView,
        _CHOICE,
    ),
    Route(
        "GET",
        "/jobs/{job}/pictures/{picture}/tile",
        "A square of an image, as an 8-bit PNG file.",
        _picture_tile,
        bytes,
        (
            Parameter(
                "level", _Index, "The level: 0 is the image, each further one has half as many pixels a side.", 0
            ),
            Parameter("column", _Index, "The column among the squares of the level.", 0),
            Parameter("row", _Index, "The row among the squares of the level.", 0),
            *_CHOICE,
            Parameter("black", float, "The value that is shown as black; by default the image's own."),
            Parameter("white", float, "The value that is shown as white; by default the image's own."),
            Parameter("version", str, "The version of the file; browsers keep tiles that name the right one.", ""),
        ),
        "image/png",
    ),
    Route(
        "GET",
        "/fleet",
        "Lanes, workers, and what autoscalers decided.",
        _fleet,
        FleetView,
        (Parameter("decisions", Annotated[int, Meta(ge=0, le=MOST_DECISIONS)], "Largest number of decisions.", 50),),
    ),
    Route(
        "POST",
        "/jobs/{job}/cancel",
        "Stop a job and remove its files.",
        _act("cancelled", lambda s, j, g: j.cancel()),
        Done,
    ),
    Route(
        "POST", "/jobs/{job}/pause", "Start no more blocks of a job.", _act("paused", lambda s, j, g: j.pause()), Done
    ),
    Route(
        "POST",
        "/jobs/{job}/resume",
        "Continue a job that was paused or failed: only missing blocks are done.",
        _act("resumed", _resume),
        Done,
    ),
    Route(
        "POST",
        "/jobs/{job}/retry",
        "Try again what was given up: filled blocks, a job that failed, or all of a job that has ended, as a new one.",
        _retry,
        TriedAgain,
    ),
    Route(
        "POST",
        "/jobs/{job}/priority",
        "Change the lane of a job, and its rank there.",
        _act("given another priority", lambda s, j, g: j.reprioritize(str(priority_of(g["priority"])))),
        Done,
        (Parameter("priority", str, "A lane, or a lane and a rank such as batch:5.", ""),),
    ),
)
