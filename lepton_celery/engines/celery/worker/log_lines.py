"""A worker's log: one telling line for each message instead of a result, and only text in all lines of all libraries.

Lines about a job have the job, the stage and the blocks as fields, those of Celery too.
"""

from __future__ import annotations

import logging
import re
import threading
from functools import lru_cache
from typing import Any

from celery import Celery
from celery._state import get_current_task
from celery.app.trace import LOG_SUCCESS
from celery.signals import after_setup_logger, after_setup_task_logger, celeryd_init, task_postrun
from celery.utils.log import get_multiprocessing_logger

from lepton_celery.config import Settings
from lepton_celery.json_lines import is_json, use_json, warn_in_json
from lepton_celery.log_fields import add_fields
from lepton_celery.log_fields import begin as begin_fields
from lepton_celery.text import as_text, logger

log = logger(__name__)

_NOTHING = "nothing was left to do"

_DESCRIBED = re.compile(
    r"job (?P<job>[\w.-]+)(?: stage (?P<stage>\d+/\d+(?: round \d+)?)(?: blocks (?P<blocks>[\d,-]+))?)?"
)
"""What Flower shows of a message in place of its arguments; see `sending.canvas`."""

_this_thread = threading.local()


def tell(text: str) -> None:
    """Say in the log line of the current message what was done; several texts are joined."""
    before = getattr(_this_thread, "text", "")
    _this_thread.text = f"{before}; {text}" if before else text


def begin() -> None:
    """Forget what was said of the message before."""
    _this_thread.text = ""
    begin_fields()


@lru_cache(maxsize=64)
def warn_once(text: str) -> None:
    """Warn in the log, unless this process has done so with the same text before."""
    log.warning("%s", text)


def install() -> None:
    """Let the lines in which Celery says that a task of this package succeeded say what was done. Idempotent.

    Messages name tasks, ids and arguments, which Celery logs as they are: handlers show them as text.
    """
    logging.getLogger("celery.app.trace").addFilter(_told)
    for name in ("", "celery", "celery.task", "celery.redirected"):
        for handler in logging.getLogger(name).handlers:
            for add in (_of_message, add_fields, as_text):
                handler.removeFilter(add)
                handler.addFilter(add)
    task_postrun.connect(_end, weak=False, dispatch_uid="lepton.log_fields")


def write_json(app: Celery[Any]) -> None:
    """Have the handlers that Celery makes for an application write JSON if the settings say so. Idempotent."""

    def choose(logger: logging.Logger, **_: Any) -> None:
        settings: Settings | None = app.conf.get("lepton")
        if settings is not None and is_json(settings):
            use_json(logger)
            if (of_pool := get_multiprocessing_logger()) is not None:  # Celery configures it just before
                use_json(of_pool)

    def begin_worker(instance: Any, **_: Any) -> None:
        settings: Settings | None = app.conf.get("lepton")
        if settings is not None and is_json(settings):
            instance.quiet = True  # Celery's banner is no JSON
            warn_in_json()  # Celery warns before it sets logs up

    celeryd_init.connect(begin_worker, weak=False, dispatch_uid="lepton.json_lines")
    after_setup_logger.connect(choose, weak=False, dispatch_uid="lepton.json_lines")
    after_setup_task_logger.connect(choose, weak=False, dispatch_uid="lepton.json_lines")


def _end(**_: Any) -> None:
    begin_fields()


def _told(record: logging.LogRecord) -> bool:
    arguments = record.args
    if record.msg == LOG_SUCCESS and isinstance(arguments, dict) and str(arguments["name"]).startswith("lepton."):
        record.args = {**arguments, "return_value": getattr(_this_thread, "text", "") or _NOTHING}
    return True


def _of_message(record: logging.LogRecord) -> bool:
    """Give a line of Celery about a message the fields of the job that its message names, and the id of the task."""
    data = getattr(record, "data", None) or record.args
    if isinstance(data, dict):
        if str(data.get("name", "")).startswith("lepton.") and (found := _DESCRIBED.match(str(data.get("args", "")))):
            for name, value in found.groupdict(default="").items():
                setattr(record, name, value)
        if "id" in data:
            record.task_id = str(data["id"])
    elif (task := get_current_task()) is not None:
        record.task_id = str(task.request.id)
    return True
