"""A process of a site imports scikit-image with its first request, and not with its first job, nor when it starts."""

from __future__ import annotations

import pytest

from tests.unit.test_layers import run

DJANGO = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.django_site.settings"
import django
django.setup()
from django.core.signals import request_started
ask = lambda: request_started.send(None)
"""
FLASK = """
import tempfile
from flask import Flask
from lepton_celery.contrib.flask import Lepton
app = Flask("shop", instance_path=tempfile.mkdtemp())
app.config["LEPTON"] = {"pipelines": {"edges": ["sobel"], "wrong": ["no such step"]}}
app.config["LEPTON_BROKER_URL"] = "redis://localhost:1/0"
lepton = Lepton(app)
ask = lambda: app.test_client().get("/nothing")
"""
CHECKED = """
import sys, threading
loaded = lambda: any(name.startswith("skimage.") for name in sys.modules)
assert not loaded(), [name for name in sys.modules if "skimage" in name][:9]
for _ in range(3):
    ask()
threads = [one for one in threading.enumerate() if one.name == "lepton-preload"]
assert len(threads) <= 1
for thread in threads:
    thread.join()
print(loaded())
"""


@pytest.mark.parametrize("site", [DJANGO, FLASK], ids=["django", "flask"])
def test_the_first_request_imports_what_the_first_job_needs(site: str) -> None:
    assert run(site + CHECKED).split() == ["True"]
