"""Times as the bus carries them."""

from datetime import UTC, datetime


def rfc3339(seconds: float | None = None) -> str:
    """Write a Unix time, or now, in UTC with milliseconds."""
    moment = datetime.now(UTC) if seconds is None else datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
