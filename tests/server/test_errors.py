"""Errors that pass through Celery's result backend."""

from __future__ import annotations

import json
from typing import Any

import pytest
from celery import Celery

from lepton_celery.errors import LeptonError
from tests.unit.test_errors import CLASSES, example, fields_of


@pytest.mark.parametrize("cls", CLASSES)
def test_an_error_comes_back_whole_from_celerys_json_result_backend(cls: type[LeptonError]) -> None:
    app = Celery("test", set_as_current=False, broker="memory://", backend="cache+memory://")
    error = example(cls)
    stored = json.loads(json.dumps(app.backend.prepare_exception(error, serializer="json")))
    again: Any = app.backend.exception_to_python(stored)
    assert type(again) is cls
    assert (str(again), fields_of(again)) == ("it broke", fields_of(error))
