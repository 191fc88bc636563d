"""A worker's log: one telling line for each message instead of a result, and only text in all lines of all libraries."""

from __future__ import annotations

import logging
import threading
from functools import lru_cache

from celery.app.trace import LOG_SUCCESS

from lepton_celery.text import as_text, logger

log = logger(__name__)

_NOTHING = "nothing was left to do"

_this_thread = threading.local()


def tell(text: str) -> None:
    """Say in the log line of the current message what was done; several texts are joined."""
    before = getattr(_this_thread, "text", "")
    _this_thread.text = f"{before}; {text}" if before else text


def begin() -> None:
    """Forget what was said of the message before."""
    _this_thread.text = ""


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
            handler.addFilter(as_text)


def _told(record: logging.LogRecord) -> bool:
    arguments = record.args
    if record.msg == LOG_SUCCESS and isinstance(arguments, dict) and str(arguments["name"]).startswith("lepton."):
        record.args = {**arguments, "return_value": getattr(_this_thread, "text", "") or _NOTHING}
    return True
