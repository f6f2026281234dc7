"""JSON logs, a line each on standard output. They carry ids, types and verdicts, never a payload."""

import logging
import sys
from typing import Any

import orjson
import structlog

_service: dict[str, str] = {}

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


def configure(level: str) -> None:
    """Write lines of `level` and above."""
    structlog.configure(
        processors=[
            _add_service,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            structlog.processors.EventRenamer("message"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_serialize),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.BytesLoggerFactory(sys.stdout.buffer),
        cache_logger_on_first_use=False,
    )


def name_service(service: str) -> None:
    """Have every line carry the service's name from now on."""
    _service["service"] = service


def _add_service(_logger: Any, _method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return {**_service, **line}


def _serialize(line: dict[str, Any], default: Any) -> bytes:
    return orjson.dumps({key: value for key, value in line.items() if value is not None}, default=default)
