"""JSON logs, a line each on standard output. They carry ids, types and verdicts, never a payload.

Our own, because structlog brings a library for colours where it finds one: 4 of the 45 MiB that an ambassador at rest may take.
"""

import sys
import traceback
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

LEVELS: Final = ("debug", "info", "warning", "error")


class Log:
    """Writes a line for each call whose level is wanted: a message that is always the same, and fields, without those that are None.

    The field `exc_info` is an exception; its traceback is written as `exception`.
    """

    def __init__(self) -> None:
        self.always: dict[str, str] = {}
        """Fields of every line."""
        self.least = LEVELS.index("info")
        """Index of the lowest level that is written."""

    def debug(self, message: str, /, **fields: Any) -> None:
        """Tell what only who looks for a fault wants to know."""
        self._write(0, message, fields)

    def info(self, message: str, /, **fields: Any) -> None:
        """Tell what happened."""
        self._write(1, message, fields)

    def warning(self, message: str, /, **fields: Any) -> None:
        """Tell what somebody should look at some time."""
        self._write(2, message, fields)

    def error(self, message: str, /, **fields: Any) -> None:
        """Tell what somebody should look at now."""
        self._write(3, message, fields)

    def _write(self, level: int, message: str, fields: dict[str, Any]) -> None:
        if level >= self.least:
            output = sys.stdout.buffer
            output.write(_line(LEVELS[level], message, self.always | fields))
            output.flush()


log: Final = Log()


def configure(level: str) -> None:
    """Write lines of `level` and above."""
    log.least = LEVELS.index(level)


def name_service(service: str) -> None:
    """Have every line carry the service's name from now on."""
    log.always["service"] = service


def _line(level: str, message: str, fields: dict[str, Any]) -> bytes:
    error = fields.pop("exc_info", None)
    if error is not None:
        fields["exception"] = "".join(traceback.format_exception(error)).rstrip()
    told = {name: value for name, value in fields.items() if value is not None}
    time = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return msgspec.json.encode({**told, "level": level, "time": time, "message": message}, enc_hook=repr) + b"\n"
