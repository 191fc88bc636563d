"""The public names of the package, which import Celery and Redis on first use."""

from __future__ import annotations

import pytest

import lepton_celery


@pytest.mark.parametrize("name", lepton_celery.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(lepton_celery, name) is not None
