"""Importing a module of the package, also one that uses Celery or Redis, has no side effects."""

from __future__ import annotations

import json

from tests.unit.test_layers import run

SPY = """
import importlib, json, logging, os, pkgutil, sys, threading

import lepton_celery

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.django_site.settings"  # its models need a project
import django

django.setup()
names = [m.name for m in pkgutil.walk_packages(lepton_celery.__path__, "lepton_celery.")]
skipped = []
for name in names:  # once, so that other people's packages have done what they do
    try:
        importlib.import_module(name)
    except ImportError as error:
        if str(getattr(error, "name", "")).startswith("lepton_celery"):
            raise
        skipped.append(name)
for name in [name for name in sys.modules if name.startswith("lepton_celery")]:
    del sys.modules[name]

threads = set(threading.enumerate())
handlers = {name: list(getattr(log, "handlers", [])) for name, log in logging.root.manager.loggerDict.items()}
root = list(logging.root.handlers)
seen = []


def caller():
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name not in ("os", "_collections_abc", "__main__") and not name.startswith("importlib"):
            return name
        frame = frame.f_back
    return ""


class Spy(type(os.environ)):
    def __getitem__(self, key):
        if caller().startswith("lepton_celery"):
            seen.append(f"{caller()} reads the environment: {key}")
        return super().__getitem__(key)


environ = os.environ
os.environ = Spy(environ._data, environ.encodekey, environ.decodekey, environ.encodevalue, environ.decodevalue)


def audit(event, args):
    wanted = event.startswith(("socket.", "subprocess.", "os.fork", "os.exec", "os.mkdir", "os.remove", "os.rename"))
    if event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+") and ".pyc" not in str(args[0]):
        wanted = True
    if wanted:
        seen.append(f"{event} {args!r}")


sys.addaudithook(audit)
for name in names:
    if name not in skipped:
        importlib.import_module(name)
sys.dont_write_bytecode = True
seen += [f"thread {thread.name}" for thread in set(threading.enumerate()) - threads]
seen += [f"handler {handler}" for handler in logging.root.handlers if handler not in root]
for name, log in logging.root.manager.loggerDict.items():
    seen += [f"handler of {name}" for handler in getattr(log, "handlers", []) if handler not in handlers.get(name, [])]
print(json.dumps({"seen": seen, "skipped": skipped}))
"""


def test_importing_reads_no_environment_opens_nothing_and_starts_nothing() -> None:
    found = json.loads(run(SPY))
    assert found["seen"] == []
    # modules that need an extra that is not installed
    assert all(name.startswith("lepton_celery.contrib") for name in found["skipped"])
