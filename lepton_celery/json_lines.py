"""Logs as JSON, one object a line, for the processes whose logs Celery, Flower or a command of this package writes.

python-json-logger makes the lines: it has no dependencies, is maintained, and fits into the logging of the standard library,
which Celery, Flower and this package use. structlog would be another interface for callers besides.
"""

from __future__ import annotations

import logging
import sys
import warnings
from typing import Any

from lepton_celery.config import Settings
from lepton_celery.log_fields import FIELDS, add_fields
from lepton_celery.text import as_text, shown_lines

_OWN_FORMATTERS = ("celery.", "tornado.")
"""Where formatters are from that are replaced. Those of a program's own stay."""
_LEFT_OUT = ("data", "color", "end_color")
"""Attributes that Celery and Tornado add to records for themselves."""


def is_json(settings: Settings) -> bool:
    """Whether logs are to be JSON."""
    return settings.log_format == "json"


def json_formatter() -> logging.Formatter:
    """The formatter."""
    from pythonjsonlogger.core import RESERVED_ATTRS
    from pythonjsonlogger.json import JsonFormatter

    class Lines(JsonFormatter):
        def formatException(self, ei: Any) -> str:  # noqa: N802 - the name is logging's
            return shown_lines(super().formatException(ei))

        def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
            return {name: value for name, value in log_data.items() if value != "" or name not in FIELDS}

    return Lines(
        ["levelname", "name", "message", "process", *FIELDS],
        rename_fields={"levelname": "level", "name": "logger", "exc_info": "exception"},
        reserved_attrs=[*RESERVED_ATTRS, *_LEFT_OUT],
        timestamp="time",
        json_ensure_ascii=True,
    )


def use_json(logger: logging.Logger) -> None:
    """Have the handlers write JSON that Celery, Flower or Tornado have given a logger."""
    for handler in logger.handlers:
        formatter = handler.formatter
        if formatter is not None and type(formatter).__module__.startswith(_OWN_FORMATTERS):
            handler.setFormatter(json_formatter())
            handler.addFilter(add_fields)
            handler.addFilter(as_text)


def log_to_stderr() -> None:
    """Have the whole program log JSON to standard error, from INFO on, unless it has configured its logs."""
    logging.basicConfig(level=logging.INFO, handlers=[_stderr_handler()])
    logging.captureWarnings(True)


def warn_in_json() -> None:
    """Write Python's warnings as JSON to standard error until logs are set up."""
    handler = _stderr_handler()

    def show(message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: Any) -> None:
        text = f"{filename}:{lineno}: {category.__name__}: {message}"
        handler.handle(logging.makeLogRecord({"name": "py.warnings", "levelname": "WARNING", "msg": text}))

    warnings.showwarning = show  # type: ignore[assignment]  # it takes the same arguments


def _stderr_handler() -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(json_formatter())
    handler.addFilter(add_fields)
    handler.addFilter(as_text)
    return handler
