"""A second run without Numba repeats the tests that used a kernel in the first run: `pytest --again-without-kernels`.

A test that used none took the same path as it does without Numba. The first run notes in pytest's cache which did; tests of
which nothing is noted are run.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest

from lepton_celery import kernels

_NOTES = "lepton/uses_kernels"
_PROPERTY = ("used a kernel", True)
_SAMPLE = 50
"""One of so many tests is repeated though it used none."""


class _Noted(dict[str, Callable[..., Any] | None]):
    """The loaded kernels of this process, which knows whether one was used."""

    is_used = False

    def __getitem__(self, path: str) -> Callable[..., Any] | None:
        found = super().__getitem__(path)
        self.is_used |= found is not None
        return found


_loaded = kernels._loaded = _Noted(kernels._loaded)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--again-without-kernels", action="store_true", help="repeat what used a kernel; LEPTON_KERNELS=0")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    _loaded.is_used = False
    try:
        yield
    finally:
        if _loaded.is_used:
            item.user_properties.append(_PROPERTY)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    assert config.cache is not None
    uses: dict[str, bool] = config.cache.get(_NOTES, {})
    if config.getoption("--again-without-kernels"):
        chosen = [item for at, item in enumerate(items) if uses.get(item.nodeid, True) or at % _SAMPLE == 0]
        config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
        items[:] = chosen


class _Notes:
    """Collects the tests that used a kernel, from all processes of a run."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._uses: dict[str, bool] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "teardown":
            self._uses[report.nodeid] = _PROPERTY in map(tuple, report.user_properties)

    def pytest_sessionfinish(self) -> None:
        assert self._config.cache is not None
        self._config.cache.set(_NOTES, self._config.cache.get(_NOTES, {}) | self._uses)


def pytest_configure(config: pytest.Config) -> None:
    is_first_run = kernels.installed() and not hasattr(config, "workerinput")
    if is_first_run:
        config.pluginmanager.register(_Notes(config))
