"""Structured logs: one event a line, with the ID of the request that it belongs to."""

import logging.config
# {% if "socketio" in components %}
import os
# {% endif %}
import sys
from contextlib import suppress
from typing import Any, NoReturn

import structlog
from flask import Flask
from structlog.typing import Processor, WrappedLogger

SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def init_app(app: Flask) -> None:
    style, level = app.config["LOG_FORMAT"], app.config["LOG_LEVEL"]
    if app.testing:  # pytest's caplog needs the standard library's records
        wrap = structlog.stdlib.ProcessorFormatter.wrap_for_formatter
        processors = [structlog.stdlib.filter_by_level, *SHARED, wrap]
    else:
        processors = own_processors(style)
        logging.captureWarnings(True)
        logging.config.dictConfig(logging_config(style, level))
    structlog.configure(
        processors=processors,
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def own_processors(style: str) -> list[Processor]:
    """Write the events of the service without the standard library's handlers, which take as long
    as the rest of a small request.
    """
    return [structlog.stdlib.filter_by_level, *SHARED, *renderers(style), write_line]


def renderers(style: str) -> list[Processor]:
    if style == "json":
        json = structlog.processors.JSONRenderer(default=str)
        return [structlog.processors.format_exc_info, json]
    return [
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    ]


def write_line(logger: WrappedLogger, method: str, line: Any) -> NoReturn:
    with suppress(OSError):  # a full disk, for example
        sys.stderr.write(f"{line}\n")
    raise structlog.DropEvent  # nothing is left to do


# {% if "socketio" in components %}
def server_logging_config(*loggers: str) -> dict[str, Any]:
    """Return the same configuration for the loggers of a server, from environment variables."""
    style = os.environ.get("LOG_FORMAT") or ("json" if os.environ.get("APP_ENV") == "prod" else "")
    config = logging_config(style, os.environ.get("LOG_LEVEL") or "INFO")
    return config | {"loggers": {name: {"propagate": True} for name in loggers}}


# {% endif %}
def logging_config(style: str, level: str) -> dict[str, Any]:
    """Configure the standard library's logging, which libraries and servers use as well."""
    remove_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structured": {
                "()": structlog.stdlib.ProcessorFormatter,
                "processors": [remove_meta, *renderers(style)],
                "foreign_pre_chain": [*SHARED, structlog.stdlib.ExtraAdder()],
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
        # {% if database %}
        "loggers": {"alembic.runtime.plugins": {"level": "WARNING"}},
        # {% endif %}
        "root": {"handlers": ["stderr"], "level": level},
    }
