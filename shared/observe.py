"""Logs: one JSON line an event on stdout, with the ids bound by the session. Names are `noun.verbed`."""

import logging
import sys
from typing import Any, Final

import structlog

_SHARED: Final[tuple[structlog.types.Processor, ...]] = (
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
)


def configure(service: str, level: str) -> None:
    """Called once by a service's main. What libraries have to say comes as `library.said`, from warnings on."""
    number = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    of_libraries = logging.StreamHandler(sys.stdout)
    of_libraries.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *_SHARED, _rename],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[of_libraries])
    structlog.configure(
        processors=[*_SHARED, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)


def bind(**ids: Any) -> None:
    """Every later line of this task bears these."""
    structlog.contextvars.bind_contextvars(**ids)


def _rename(_logger: Any, _method: str, line: structlog.types.EventDict) -> structlog.types.EventDict:
    """A library's words are no name of an event of ours."""
    line["said"], line["event"] = line["event"], "library.said"
    return line
