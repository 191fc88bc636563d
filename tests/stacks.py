"""Workers for a test, which are killed when it is done with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from lepton_celery.local.stack import LocalStack, Project


@contextmanager
def short_lived(stack: LocalStack) -> Iterator[LocalStack]:
    """A stack that runs during the `with` block, and is killed then."""
    stack.start()
    try:
        yield stack
    finally:
        stack.kill()


@contextmanager
def some_workers(
    directory: Path,
    count: int = 1,
    *,
    concurrency: int = 1,
    broker_url: str | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[LocalStack]:
    """Workers with the settings of the tests, on a server of their own unless `broker_url` names one.

    They touch the file `alive` in the directory with each sweep.
    """
    project = Project(settings="test", env={"LEPTON_ALIVE_FILE": str(directory / "alive"), **(env or {})})
    stack = LocalStack(
        directory, workers=count, concurrency=concurrency, flower=False, broker_url=broker_url, project=project
    )
    with short_lived(stack):
        yield stack
