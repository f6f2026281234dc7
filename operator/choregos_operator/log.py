"""JSON logs of both processes, a line each on standard output. They carry names and sentences, never a whole object."""

import logging
import sys
from typing import Any, Final

import orjson
import structlog

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


def configure(level: str) -> None:
    """Write lines of `level` and above; of the libraries' own lines only warnings and above, unless it is `debug`."""
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*_SHARED, structlog.processors.format_exc_info, _RENDER],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.BytesLoggerFactory(sys.stdout.buffer),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_of_libraries()]
    root.setLevel(number if number <= logging.DEBUG else max(number, logging.WARNING))


def _of_libraries() -> logging.Handler:
    """Have what kopf, aiohttp and the others log look like our own lines."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *_SHARED],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                lambda _logger, _method, line: _serialize(line, str).decode(),
            ],
        )
    )
    return handler


def _serialize(line: structlog.typing.EventDict, default: Any) -> bytes:
    return orjson.dumps({key: value for key, value in line.items() if value is not None}, default=default)


_SHARED: Final[tuple[structlog.typing.Processor, ...]] = (
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    structlog.processors.EventRenamer("message"),
)
_RENDER: Final = structlog.processors.JSONRenderer(serializer=_serialize)
