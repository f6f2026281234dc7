"""What an ambassador says on its standard output, one JSON object a line, read back."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, get_args

from choregos_cli.happenings import HopEnded, Notice, Verdict

_OWN: Final = frozenset({"time", "level", "message", "service"})
_ROUTINE: Final = frozenset({"listening", "connected", "configured"})
_WORTH_TELLING: Final = frozenset({"breaker", "disconnected"})
_VERDICTS: Final = get_args(Verdict)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an ambassador's log."""

    message: str
    level: str
    time: float
    fields: Mapping[str, Any]


def parse(text: str) -> Line | None:
    """Return what a line says; None if it is no line of the log, such as a part of a traceback."""
    try:
        fields = json.loads(text)
        return Line(fields["message"], fields["level"], _time(fields), fields)
    except (ValueError, KeyError, TypeError):
        return None


def happening(line: Line, service: str, replica: int) -> HopEnded | Notice | None:
    """Return what a line means for whoever watches the run; None if it is routine."""
    if line.message == "hop" and line.fields.get("verdict") in _VERDICTS and "event_id" in line.fields:
        return _hop(line, service, replica)
    serious = line.level in ("warning", "error", "critical") and line.message not in _ROUTINE
    if not serious and line.message not in _WORTH_TELLING:
        return None
    details = {name: value for name, value in line.fields.items() if name not in _OWN}
    return Notice(
        time=line.time, service=service, replica=replica, level=line.level, message=line.message, details=details
    )


def _hop(line: Line, service: str, replica: int) -> HopEnded:
    fields = line.fields
    return HopEnded(
        time=line.time,
        service=service,
        replica=replica,
        event_id=fields["event_id"],
        event_type=fields["event_type"],
        correlation_id=fields["correlation_id"],
        sequence=fields["sequence"],
        attempt=fields["attempt"],
        verdict=fields["verdict"],
        status=fields.get("status"),
        duration_ms=fields.get("duration_ms"),
        replies=tuple(fields.get("replies") or ()),
        reason=fields.get("reason"),
        error=" ".join(filter(None, (fields.get("error"), fields.get("said")))) or None,
        delay_s=fields.get("delay_s"),
    )


def _time(fields: Mapping[str, Any]) -> float:
    stamp = fields.get("time")
    return datetime.fromisoformat(stamp).timestamp() if stamp else time.time()
