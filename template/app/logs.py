"""Structured logs: one event a line, with the ID of the request that it belongs to."""

import logging.config
# {% if "socketio" in components %}
import os
# {% endif %}
import sys
from typing import Any

import structlog
from flask import Flask

SHARED: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def init_app(app: Flask) -> None:
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    if not app.testing:  # a test runner has handlers of its own
        logging.captureWarnings(True)
        logging.config.dictConfig(logging_config(app.config["LOG_FORMAT"], app.config["LOG_LEVEL"]))


# {% if "socketio" in components %}
def server_logging_config(*loggers: str) -> dict[str, Any]:
    """Return the same configuration for the loggers of a server, from environment variables."""
    style = os.environ.get("LOG_FORMAT") or ("json" if os.environ.get("APP_ENV") == "prod" else "")
    config = logging_config(style, os.environ.get("LOG_LEVEL") or "INFO")
    return config | {"loggers": {name: {"propagate": True} for name in loggers}}


# {% endif %}
def logging_config(style: str, level: str) -> dict[str, Any]:
    """Configure the standard library's logging, which libraries and servers use as well."""
    renderers: list[structlog.typing.Processor] = [
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    ]
    if style == "json":
        json = structlog.processors.JSONRenderer(default=str)
        renderers = [structlog.processors.format_exc_info, json]
    remove_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structured": {
                "()": structlog.stdlib.ProcessorFormatter,
                "processors": [remove_meta, *renderers],
                "foreign_pre_chain": [*SHARED, structlog.stdlib.ExtraAdder()],
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
        # {% if database %}
        "loggers": {"alembic.runtime.plugins": {"level": "WARNING"}},
        # {% endif %}
        "root": {"handlers": ["stderr"], "level": level},
    }
