"""The whole site on this machine with one command: a broker, Celery workers and Flask's development server.

python examples/flask_app/run.py
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path

from cells import create_app

from lepton_celery.contrib.flask.commands import WORKER
from lepton_celery.errors import LeptonError
from lepton_celery.local.stack import LocalStack, Project

HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description="Start the Flask example; Ctrl-C stops it.")
    parser.add_argument("--port", type=int, default=5000)
    parser.add_argument("--workers", type=int, default=2, help="worker processes")
    parser.add_argument(
        "--state", type=Path, default=HERE / ".lepton", help="folder of logs, accounts, uploads and results"
    )
    options = parser.parse_args()
    try:
        socket.create_server(("127.0.0.1", options.port)).close()
    except OSError as error:
        sys.exit(f"port {options.port} is not available: {error.strerror}; choose another with --port")

    os.environ["CELLS_STATE"] = str(options.state.absolute())
    queues = ("lepton.interactive", "lepton.default", "lepton.batch", "celery")  # the lanes, and the site's own tasks
    project = Project(app=WORKER, cwd=HERE, settings="", env={"FLASK_APP": "cells"}, queues=queues)
    stack = LocalStack(
        options.state,
        workers=options.workers,
        flower=False,
        broker_url=os.environ.get("LEPTON_BROKER_URL"),
        project=project,
    )
    stack.stop_on_signals()
    try:
        with suppress(KeyboardInterrupt), stack:
            os.environ["LEPTON_BROKER_URL"] = stack.broker_url
            print(f"cells     http://127.0.0.1:{options.port}/  (Ctrl-C stops everything)", flush=True)
            print(stack.describe(), flush=True)
            create_app().run("127.0.0.1", options.port)
    except LeptonError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
