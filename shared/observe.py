"""Logs: one JSON line an event on stdout, with the ids bound by the session. Names are `noun.verbed`."""

import logging
import sys
from typing import Any

import structlog


def configure(service: str, level: str) -> None:
    """Called once by a service's main."""
    number = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    logging.basicConfig(level=max(number, logging.WARNING), stream=sys.stdout, format="%(message)s")
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)


def bind(**ids: Any) -> None:
    """Every later line of this task bears these."""
    structlog.contextvars.bind_contextvars(**ids)
