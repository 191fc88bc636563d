"""Real workers on a real broker, shared by the tests that need no workers of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from celery import Celery
from numpy.typing import NDArray
from playwright.sync_api import Browser

from lepton_celery import create_app
from lepton_celery.config import load_settings
from lepton_celery.local.server import RedisServer
from lepton_celery.local.stack import LocalStack
from tests.stacks import some_workers
from tests.worker.browser import chromium
from tests.worker.dark_images import BLOCK, BRIGHT, SIDE


def app_of(stack: LocalStack) -> Celery:
    """An application that submits to a stack."""
    return create_app(load_settings({"LEPTON_SETTINGS": "test", "LEPTON_BROKER_URL": stack.broker_url}))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Two prefork workers with kernels, for all tests. Blocks that wait for their test to go on are not duplicated."""
    env = {"LEPTON_KERNELS": "1", "LEPTON_DUPLICATE_AFTER": "600"}  # else both workers would wait
    with some_workers(tmp_path_factory.mktemp("stack"), 2, env=env) as stack:
        yield stack


@pytest.fixture(scope="session")
def app(workers: LocalStack) -> Celery:
    """An application that submits to `workers`."""
    return app_of(workers)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server for the tests of one file, which start their workers themselves."""
    with RedisServer(tmp_path_factory.mktemp("broker")) as server:
        yield server


@pytest.fixture
def dark(tmp_path: Path) -> NDArray[np.uint8]:
    """An image whose blocks of 64 x 64 have different first pixels, with one bright pixel; its last pixel is 1."""
    image = np.full((SIDE, SIDE), 40, np.uint8)
    image[::BLOCK, ::BLOCK] = np.arange(16).reshape(4, 4)
    image[BRIGHT], image[-1, -1] = 255, 1
    np.save(tmp_path / "input.npy", image)
    return image
