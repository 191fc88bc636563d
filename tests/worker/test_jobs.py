"""Jobs on real workers: pixels, messages, memory, lanes and failures."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import redis
import zarr
from celery import Celery
from numpy.typing import NDArray
from skimage import color as sk_color
from skimage import data
from skimage import exposure as sk_exposure
from skimage import filters as sk_filters
from skimage import measure as sk_measure
from skimage import morphology as sk_morphology

import lepton_celery as lepton
from lepton_celery import stores
from lepton_celery.config import load_settings
from lepton_celery.engines.celery.app import settings_of
from lepton_celery.engines.celery.sending import canvas
from lepton_celery.engines.celery.sending.publisher import publisher_of
from lepton_celery.errors import BrokerUnreachable, InputError, JobCancelled, JobFailed, JobNotFound
from lepton_celery.grid import Region
from lepton_celery.jobs.report import progress_of
from lepton_celery.ledger import open_ledger
from lepton_celery.ledger.info import JobState
from lepton_celery.local.server import RedisServer
from lepton_celery.local.stack import LocalStack
from lepton_celery.planning.batches import batches, places_between
from lepton_celery.planning.cost import keep as costs
from lepton_celery.skimage import color, exposure, filters, measure, morphology
from tests.faults.disk import damaged
from tests.stacks import some_workers
from tests.waiting import eventually
from tests.worker.conftest import app_of

pytestmark = pytest.mark.worker

Array = NDArray[np.generic]


def read(path: Path) -> Array:
    reader = stores.open_array(path)
    pixels: Array = reader.read(Region.whole(reader.shape))
    return pixels


def left_behind(directory: Path) -> list[str]:
    """All files in a directory except inputs, including hidden files."""
    return sorted(path.name for path in directory.iterdir() if not path.name.startswith("input"))


def assert_nothing_is_left(directory: Path) -> None:
    """Wait until workers have cleaned up, which they do a moment after the job has ended in the ledger."""
    eventually(lambda: not left_behind(directory), f"an empty {directory}")


def slow(tmp_path: Path, app: Celery, seconds: float, side: int = 1024, **options: Any) -> tuple[lepton.Job, Path]:
    """Submit a job whose blocks sleep until a file exists; the job and the file."""
    np.save(tmp_path / "input-slow.npy", np.full((side, side), 40, np.uint8))
    source, enough = lepton.open(tmp_path / "input-slow.npy"), tmp_path / "input-enough"
    image = lepton.map_blocks("tests.faults.blocks:slow", source, seconds=seconds, until=str(enough))
    return lepton.submit({str(tmp_path / "slow.npy"): image}, app=app, block_shape=(64, 64), **options), enough


def assert_slow_is_right(tmp_path: Path) -> None:
    assert np.array_equal(read(tmp_path / "slow.npy"), 255 - read(tmp_path / "input-slow.npy"))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "input.npy"
    np.save(path, np.tile(data.astronaut(), (2, 2, 1)))
    return path


def test_a_job_of_every_class_gives_scikit_images_pixels(app: Celery, tmp_path: Path, photo: Path) -> None:
    rgb = np.load(photo)
    gray = sk_color.rgb2gray(rgb)
    smooth = sk_filters.gaussian(gray, sigma=2)
    labels = sk_measure.label(smooth > sk_filters.threshold_otsu(smooth))
    columns = ("label", "area", "bbox", "centroid", "intensity_mean")

    lazy_gray = color.rgb2gray(lepton.open(photo))
    lazy_smooth = filters.gaussian(lazy_gray, sigma=2)
    lazy_labels = measure.label(lazy_smooth > filters.threshold_otsu(lazy_smooth))
    outputs = {
        str(tmp_path / "gamma.npy"): exposure.adjust_gamma(lazy_gray, 0.5) * 2 + 1,
        str(tmp_path / "edges.zarr"): filters.sobel(filters.median(lazy_gray)),
        str(tmp_path / "opened.tif"): morphology.opening(lepton.open(photo)[..., 0]),
        str(tmp_path / "rescaled.npy"): exposure.rescale_intensity(lazy_gray),
        str(tmp_path / "labels.zarr"): lazy_labels,
        str(tmp_path / "objects.csv"): measure.regionprops_table(lazy_labels, lazy_gray, properties=columns),
        str(tmp_path / "percentiles.csv"): np.percentile(lazy_gray, (2, 98)),
    }
    job = lepton.submit(outputs, app=app, block_shape=(240, 208))
    result = job.result(timeout_s=180)

    assert np.array_equal(read(tmp_path / "gamma.npy"), sk_exposure.adjust_gamma(gray, 0.5) * 2 + 1)
    assert np.array_equal(read(tmp_path / "edges.zarr"), sk_filters.sobel(sk_filters.median(gray)))
    assert np.array_equal(read(tmp_path / "opened.tif"), sk_morphology.opening(rgb[..., 0]))
    assert np.array_equal(read(tmp_path / "rescaled.npy"), sk_exposure.rescale_intensity(gray))
    assert read(tmp_path / "labels.zarr").dtype == labels.dtype
    assert np.array_equal(read(tmp_path / "labels.zarr"), labels)
    table = result[str(tmp_path / "objects.csv")]
    for name, column in sk_measure.regionprops_table(labels, gray, properties=columns).items():
        assert np.array_equal(table[name], column), name
    assert np.array_equal(result[str(tmp_path / "percentiles.csv")]["value"], np.percentile(gray, (2, 98)))
    assert left_behind(tmp_path) == sorted(Path(path).name for path in outputs)


def test_arrays_and_pictures_are_copied_for_workers_and_removed(app: Celery, tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(data.coffee()).save(tmp_path / "input.png")
    outputs = {
        str(tmp_path / "array.npy"): filters.gaussian(lepton.open(data.camera()), sigma=1),
        str(tmp_path / "picture.npy"): color.rgb2gray(lepton.open(tmp_path / "input.png")),
    }
    lepton.submit(outputs, app=app, block_shape=(100, 100)).wait(180)
    assert np.array_equal(read(tmp_path / "array.npy"), sk_filters.gaussian(data.camera(), sigma=1))
    assert np.array_equal(read(tmp_path / "picture.npy"), sk_color.rgb2gray(data.coffee()))
    eventually(lambda: left_behind(tmp_path) == ["array.npy", "picture.npy"])


def test_shards_are_read_by_pool_children_and_images_pass_through_scratch(workers: LocalStack, tmp_path: Path) -> None:
    image = np.tile(data.camera(), (2, 2))
    array = zarr.create_array(
        str(tmp_path / "input.zarr"), shape=image.shape, chunks=(64, 64), shards=(256, 256), dtype=image.dtype
    )
    array[...] = image
    scratch = tmp_path / "input-scratch"
    settings = {"LEPTON_SETTINGS": "test", "LEPTON_BROKER_URL": workers.broker_url, "LEPTON_SCRATCH": str(scratch)}
    labels = measure.label(filters.gaussian(lepton.open(tmp_path / "input.zarr"), sigma=2) > 0.4)
    outputs = {str(tmp_path / "labels.zarr"): labels, str(tmp_path / "bright.npy"): labels > 0}
    job = lepton.submit(outputs, app=lepton.create_app(load_settings(settings)), block_shape=(200, 300))
    job.wait(180)
    expected = sk_measure.label(sk_filters.gaussian(image, sigma=2) > 0.4)
    assert np.array_equal(read(tmp_path / "labels.zarr"), expected)
    assert np.array_equal(read(tmp_path / "bright.npy"), expected > 0)
    assert not list(scratch.iterdir())


def test_progress_rises_to_one_and_counts_each_block_once(app: Celery, tmp_path: Path, photo: Path) -> None:
    image = lepton.open(photo)[..., 1]
    job = lepton.submit(
        {str(tmp_path / "out.npy"): image > filters.threshold_otsu(image)}, app=app, block_shape=(64, 64)
    )
    seen: list[float] = []
    plan = job.manifest().plan
    info = job.wait(60, on_change=lambda info: seen.append(progress_of(info)))
    assert seen == sorted(seen)
    assert job.progress() == 1.0
    assert info.blocks_done == info.blocks_total == len(plan.stages[-1].grid)
    assert info.stats["write_bytes"] >= 1024 * 1024


def test_a_job_is_planned_with_figures_of_the_jobs_before_it(app: Celery, tmp_path: Path, photo: Path) -> None:
    ledger = open_ledger(settings_of(app).ledger)
    before = costs.model_of_workers(ledger, "default").jobs
    gray = color.rgb2gray(lepton.open(photo))
    job = lepton.submit({str(tmp_path / "0.npy"): gray}, app=app, block_shape=(64, 64))
    info = job.wait(180)
    eventually(lambda: costs.model_of_workers(ledger, "default").jobs != before, "the refined model", 10)
    found = costs.model_of_workers(ledger, "default")
    assert found.figure("compute", "color.rgb2gray uint8").seconds > 0
    assert {"batches", "batch_s", "blocks", "block_s", "compute_s"} <= info.stats.keys()
    assert info.stats["batch_s"] >= info.stats["block_s"] > info.stats["compute_s"] > 0
    again = lepton.submit({str(tmp_path / "1.npy"): gray}, app=app, block_shape=(64, 64))
    assert "refined by" in again.manifest().plan.costs
    again.wait(180)
    assert "predicted" in again.report()


# ------------------------------------------------------------------------------------------------ messages


def test_messages_stay_under_a_kilobyte_and_the_chord_body_does_not_grow(tmp_path: Path) -> None:
    np.save(tmp_path / "input.npy", np.zeros((6400, 6400), np.uint8))
    image = lepton.open(tmp_path / "input.npy")
    with RedisServer(tmp_path / "server") as server:
        app = lepton.create_app(load_settings({"LEPTON_BROKER_URL": server.url}))
        broker = redis.Redis.from_url(server.url)
        bodies = {}
        for blocks, block_shape in ((10, (640, 6400)), (10_000, (64, 64))):
            job = lepton.submit({str(tmp_path / f"{blocks}.npy"): ~image}, app=app, block_shape=block_shape)
            info = job.info()
            assert info.blocks_total == blocks
            # the last blocks have the longest numbers, and scattered blocks the longest texts
            canvas.send_wave(app, info, [places_between(place, place + 2) for place in range(blocks - 8, blocks, 2)])
            plan = job.manifest().plan
            canvas.send_wave(app, info, batches(plan.stages[0], plan.workers, places_between(0, blocks)[::3]))
            canvas.send_merge(app, info)
            sent = broker.lrange("lepton.default", 0, -1)
            broker.delete("lepton.default")
            assert isinstance(sent, list)
            assert len(sent) > 5
            assert max(len(message) for message in sent) < 1000
            bodies[blocks] = {_chord_body_size(message) for message in sent}
            job.cancel()
    assert bodies[10] == bodies[10_000]


def _chord_body_size(message: bytes | str) -> int:
    import json

    embed = json.loads(json.loads(message)["body"])[2]
    chord = embed.get("chord")
    return 0 if chord is None else len(json.dumps(chord))


def test_the_broker_holds_one_window_of_a_job(tmp_path: Path) -> None:
    np.save(tmp_path / "input.npy", np.zeros((6400, 6400), np.uint8))
    with RedisServer(tmp_path / "server") as server:
        settings = load_settings({"LEPTON_BROKER_URL": server.url})
        app = lepton.create_app(settings)
        image = lepton.open(tmp_path / "input.npy")
        slow = filters.median(image, footprint=np.ones((25, 25)))
        job = lepton.submit({str(tmp_path / "out.npy"): slow}, app=app, block_shape=(64, 64))
        messages = redis.Redis.from_url(server.url).llen("lepton.default")
        assert 2 <= messages <= 100 and 0 < job.info().dispatched < job.info().blocks_total
        job.cancel()


def test_publishing_keeps_no_results_in_the_submitter(app: Celery, tmp_path: Path) -> None:
    np.save(tmp_path / "input.npy", np.zeros((640, 640), np.uint8))
    lepton.submit({str(tmp_path / "o.npy"): ~lepton.open(tmp_path / "input.npy")}, app=app, block_shape=(64, 64)).wait(
        30
    )
    backend: Any = publisher_of(app).backend
    assert not any(backend._pending_results)
    assert not backend.result_consumer.subscribed_to


# ------------------------------------------------------------------------------------------------ memory


def test_an_image_larger_than_the_workers_memory_limit_is_processed(tmp_path: Path) -> None:
    side, limit = 21_000, 400 << 20
    image = np.lib.format.open_memmap(tmp_path / "input.npy", "w+", np.uint8, (side, side))
    image[12_345, 20_456] = 200
    image[-1, -1] = 100
    image.flush()
    assert image.nbytes > limit
    with pytest.raises(subprocess.CalledProcessError):  # the whole image exceeds the limit
        subprocess.run(
            [sys.executable, "-c", f"import numpy; numpy.zeros({image.nbytes}, 'u1') + 1"],
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
            check=True,
            capture_output=True,
        )
    with some_workers(tmp_path / "stack") as stack:
        for worker in (psutil.Process(one.pid) for one in stack.processes):  # other tests may have workers too
            for process in (worker, *worker.children(recursive=True)):
                if "celery" in " ".join(process.cmdline()):
                    process.rlimit(psutil.RLIMIT_DATA, (limit, limit))
        lazy = lepton.open(tmp_path / "input.npy")
        outputs = {str(tmp_path / "out.npy"): lazy > 150, str(tmp_path / "max.csv"): lazy.max()}
        result = lepton.submit(outputs, app=app_of(stack)).result(timeout_s=180)
    assert result[str(tmp_path / "max.csv")]["value"] == [200]
    found = np.load(tmp_path / "out.npy", mmap_mode="r")
    assert found[12_345, 20_456]
    assert not found[-1, -1]
    assert sum(int(found[row : row + 1000].sum()) for row in range(0, side, 1000)) == 1


# ------------------------------------------------------------------------------------------------ lanes


def test_an_interactive_job_overtakes_a_batch_job(app: Celery, tmp_path: Path, photo: Path) -> None:
    batch, enough = slow(tmp_path, app, 0.4, side=2048, priority="batch", workers=64)  # takes 205 s
    quick = {str(tmp_path / "quick.npy"): color.rgb2gray(lepton.open(photo)) * 2}
    interactive = lepton.submit(quick, app=app, priority="interactive", block_shape=(512, 512))
    interactive.wait(180)
    assert batch.info().state is JobState.RUNNING
    enough.touch()
    batch.wait(180)
    assert_slow_is_right(tmp_path)


def test_a_lane_that_does_not_exist_is_refused(app: Celery, tmp_path: Path, photo: Path) -> None:
    with pytest.raises(InputError, match="interactive, default, batch"):
        lepton.submit({str(tmp_path / "o.npy"): lepton.open(photo)}, app=app, priority="urgent")


# ------------------------------------------------------------------------------------------------ failures


def test_a_cancelled_job_leaves_nothing(app: Celery, tmp_path: Path) -> None:
    job, enough = slow(tmp_path, app, 0.2, workers=64)  # takes 25 s
    eventually(lambda: job.info().blocks_done >= 5)
    assert job.cancel()
    enough.touch()
    assert not job.cancel()
    with pytest.raises(JobCancelled):
        job.wait(5)
    assert_nothing_is_left(tmp_path)
    assert_only_the_record_is_left(app, job)


def assert_only_the_record_is_left(app: Celery, job: lepton.Job) -> None:
    """The ledger keeps of a cancelled job what it keeps of a done one, and nothing once the job is forgotten."""
    with redis.Redis.from_url(settings_of(app).ledger, decode_responses=True) as ledger:

        def keys() -> set[str]:
            return {str(key).rpartition(":")[2] for key in ledger.scan_iter(f"*{job.id}*")}

        assert keys() == {"job", "manifest", "stats", "history"}
        # workers notice, and hand in what they did
        eventually(lambda: not ledger.llen("lepton.default") and not ledger.hlen("unacked"), "the end of all messages")
        assert keys() == {"job", "manifest", "stats", "history"}
        job.forget()
        assert keys() == set()


def test_a_job_that_fails_says_why_and_leaves_nothing_once_forgotten(app: Celery, tmp_path: Path) -> None:
    pixels = np.ones((200, 200))
    pixels[150, 20] = np.nan
    np.save(tmp_path / "input.npy", pixels)
    image = lepton.open(tmp_path / "input.npy")
    job = lepton.submit({str(tmp_path / "o.npy"): image > filters.threshold_otsu(image)}, app=app, block_shape=(64, 64))
    with pytest.raises(JobFailed, match="a histogram needs finite") as caught:
        job.wait(180)
    assert caught.value.job_id == job.id
    assert caught.value.stage == 1
    assert left_behind(tmp_path) != []  # the job could be resumed
    job.forget()
    assert left_behind(tmp_path) == []


def test_an_input_that_vanishes_fails_the_job(app: Celery, tmp_path: Path) -> None:
    np.save(tmp_path / "input.npy", np.ones((200, 200)))
    image = lepton.open(tmp_path / "input.npy")
    (tmp_path / "input.npy").unlink()
    with pytest.raises((JobFailed, FileNotFoundError), match=r"input\.npy"):
        lepton.submit({str(tmp_path / "o.npy"): image + 1}, app=app).wait(180)
    assert_nothing_is_left(tmp_path)


def test_without_a_broker_nothing_is_left(tmp_path: Path, photo: Path) -> None:
    app = lepton.create_app(load_settings({"LEPTON_BROKER_URL": "redis://:secret@127.0.0.1:1/0"}))
    with pytest.raises(BrokerUnreachable) as caught:
        lepton.submit({str(tmp_path / "o.npy"): lepton.open(photo)}, app=app)
    assert "secret" not in str(caught.value)
    assert left_behind(tmp_path) == []


def test_an_unknown_job_is_not_found(app: Celery) -> None:
    from lepton_celery.engines.celery.app import settings_of

    with pytest.raises(JobNotFound, match="nosuchjob"):
        lepton.get_job("nosuchjob", settings=settings_of(app))


def _pool_children(worker: psutil.Process) -> list[psutil.Process]:
    return [child for child in worker.children() if child.is_running()]


def _worker_mains(stack: LocalStack) -> list[psutil.Process]:
    return [psutil.Process(process.pid) for process in stack.processes if process.name.startswith("worker")]


def test_killed_children_and_a_killed_worker_cost_no_block(tmp_path: Path) -> None:
    with some_workers(tmp_path / "stack", 2) as stack:
        job, enough = slow(tmp_path, app_of(stack), 0.1)
        first, second = _worker_mains(stack)
        for done in (10, 20, 30):
            eventually(lambda done=done: job.info().blocks_done >= done)  # type: ignore[misc]
            for child in _pool_children(first):
                child.send_signal(signal.SIGKILL)
        second.kill()
        enough.touch()
        info = job.wait(180)
    assert_slow_is_right(tmp_path)
    assert info.blocks_done == info.blocks_total == 256


def test_messages_that_are_lost_are_sent_again(workers: LocalStack, app: Celery, tmp_path: Path) -> None:
    broker = redis.Redis.from_url(workers.broker_url)
    job, enough = slow(tmp_path, app, 0.2, priority="batch")
    for _ in range(3):
        eventually(lambda: broker.lpop("lepton.batch") is not None, "a message")
    assert job.info().state is JobState.RUNNING
    enough.touch()
    job.wait(180)
    assert_slow_is_right(tmp_path)


def test_a_temporary_error_is_retried(tmp_path: Path) -> None:
    np.save(tmp_path / "input.npy", data.camera())
    image = lepton.open(tmp_path / "input.npy")
    with RedisServer(tmp_path / "server") as server:
        app = lepton.create_app(load_settings({"LEPTON_SETTINGS": "test", "LEPTON_BROKER_URL": server.url}))
        job = lepton.submit({str(tmp_path / "o.npy"): filters.gaussian(image, sigma=1)}, app=app)
        with ExitStack() as running:
            with damaged(tmp_path / "input.npy"):
                stack = running.enter_context(some_workers(tmp_path / "stack", broker_url=server.url))
                eventually(lambda: "Retry in" in (stack.logs / "worker-1.log").read_text())
                assert job.info().state is JobState.RUNNING
            job.wait(180)
    assert np.array_equal(read(tmp_path / "o.npy"), sk_filters.gaussian(data.camera(), sigma=1))


def test_pool_children_start_with_the_kernels_that_their_worker_compiled(workers: LocalStack) -> None:
    processes = [psutil.Process(process.pid) for process in workers.processes]
    children = [child for one in processes if "celery" in " ".join(one.cmdline()) for child in one.children()]
    assert children
    for child in children:
        assert any("llvmlite" in mapped.path for mapped in child.memory_maps())
