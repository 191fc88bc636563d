"""The whole site on this machine with one command: a broker, Celery workers and Django's development server.

python examples/django_app/run.py
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path

from django.core.management import execute_from_command_line

from lepton_celery.errors import LeptonError
from lepton_celery.local.stack import LocalStack, Project

HERE = Path(__file__).resolve().parent
QUEUES = ("lepton.interactive", "lepton.default", "lepton.batch", "celery")
"""The lanes of image jobs, the most urgent first, and the queue of the project's own tasks."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Start the Django example; Ctrl-C stops it.")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--workers", type=int, default=2, help="worker processes")
    parser.add_argument("--state", type=Path, default=HERE / ".lepton", help="folder of logs, uploads and results")
    options = parser.parse_args()
    try:
        socket.create_server(("127.0.0.1", options.port)).close()
    except OSError as error:
        sys.exit(f"port {options.port} is not available: {error.strerror}; choose another with --port")

    options.state.mkdir(parents=True, exist_ok=True)
    os.environ |= {"DJANGO_SETTINGS_MODULE": "django_app.settings", "CELLS_STATE": str(options.state.absolute())}
    os.environ.setdefault("DJANGO_DEBUG", "1")
    stack = LocalStack(
        options.state,
        workers=options.workers,
        flower=False,
        broker_url=os.environ.get("LEPTON_BROKER_URL"),
        project=Project(app="django_app", cwd=HERE, settings="", queues=QUEUES),  # the settings are Django's
    )
    stack.stop_on_signals()
    try:
        with suppress(KeyboardInterrupt), stack:
            os.environ["LEPTON_BROKER_URL"] = stack.broker_url
            execute_from_command_line(["manage.py", "migrate", "--verbosity=0"])
            print(f"cells     http://127.0.0.1:{options.port}/  (Ctrl-C stops everything)", flush=True)
            print(stack.describe(), flush=True)
            execute_from_command_line(["manage.py", "runserver", "--noreload", f"127.0.0.1:{options.port}"])
    except LeptonError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
