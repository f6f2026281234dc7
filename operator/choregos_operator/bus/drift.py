"""A stream that is not as it is wanted: because the wish is new, or because somebody changed the stream.

A new wish is applied. What other hands changed is reported and left: an administrator may have had to, and two who set a
stream to and fro would be worse than either. The stream's metadata records what was last asked of it, field by field; where
the wish is still the same and the stream is not, it was other hands. A stream that no EventBus speaks of keeps its
settings, as with `choregos up`: the defaults must not shorten what a stream remembers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from choregos_contract.plan import Create, Existing, Nothing, Refuse, Step, Update, step
from choregos_contract.quantities import format_duration, format_size
from choregos_contract.wiring import APPLIED, Stream

SETTINGS: Final = {
    "num_replicas": "replicas",
    "max_age": "maxAge",
    "max_bytes": "maxBytes",
    "duplicate_window": "duplicateWindow",
}
"""What an EventBus says, in JetStream's words and in its own."""


@dataclass(frozen=True, slots=True)
class Drift:
    """One field of a stream that is not as it is wanted, and is left so."""

    what: str
    field: str
    wanted: str
    found: str
    by_default: bool
    """Whether nobody asked for the wanted value: no EventBus speaks of the stream."""

    def __str__(self) -> str:
        if self.by_default:
            mend = f"write an EventBus that says which {self.field} it shall have"
            return (
                f"{self.what}: its {self.field} is {self.found}, and the default is {self.wanted}; it is kept: {mend}"
            )
        mend = f"set it back to {self.wanted} with `nats stream edit`, or write {self.found} into the EventBus"
        return f"{self.what}: somebody set its {self.field} to {self.found}; it is left so: {mend}"


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """The step for one stream, and what is left as it is."""

    step: Step
    drift: tuple[Drift, ...] = ()


def plan_stream(
    stream: Stream, existing: Existing | None, *, server_version: str, now: str, explicit: bool
) -> StreamPlan:
    """Return what to do about a stream. `explicit`: an EventBus says how it shall be."""
    planned = step(stream, existing, server_version=server_version, now=now)
    wish = {name: value for name, value in stream.to_config(server_version).items() if name not in ("name", "metadata")}
    if isinstance(planned, Refuse):
        return StreamPlan(planned)
    if existing is None:
        assert isinstance(planned, Create)
        return StreamPlan(Create(stream, {**planned.config, **_metadata(planned.config, wish)}))
    differing = [name for name in planned.fields if name != "metadata"] if isinstance(planned, Update) else []
    asked = _asked(existing)
    foreign = {name for name in differing if name in asked and asked[name] == wish[name]}
    kept = {name for name in differing if not explicit and name in SETTINGS} - foreign
    if stream.inbox:
        kept -= {"max_age"}  # no bus says it: it follows from the reactions
    drift = tuple(
        _drift(stream, name, wish[name], existing.config.get(name), name in kept) for name in sorted(foreign | kept)
    )
    changed = {name: wish[name] for name in differing if name not in foreign | kept}
    base = planned.config if isinstance(planned, Update) else existing.config
    metadata = _metadata(base, {name: value for name, value in wish.items() if name not in kept})
    fields = tuple(changed) if metadata["metadata"] == existing.config.get("metadata") else (*changed, "metadata")
    if not fields:
        return StreamPlan(Nothing(stream), drift)
    return StreamPlan(Update(stream, {**existing.config, **changed, **metadata}, fields), drift)


def _metadata(config: Mapping[str, Any], wish: Mapping[str, Any]) -> dict[str, Any]:
    record = msgspec.json.encode(wish, order="sorted").decode()
    return {"metadata": {**(config.get("metadata") or {}), APPLIED: record}}


def _asked(existing: Existing) -> dict[str, Any]:
    """Return what was last asked of a stream; nothing, if that is not recorded or cannot be read."""
    try:
        return msgspec.json.decode((existing.config.get("metadata") or {}).get(APPLIED, "{}"), type=dict[str, Any])
    except msgspec.DecodeError:  # other hands again: then the wish counts as new
        return {}


def _drift(stream: Stream, name: str, wanted: Any, found: Any, by_default: bool) -> Drift:
    return Drift(str(stream), SETTINGS.get(name, name), _spelled(name, wanted), _spelled(name, found), by_default)


def _spelled(name: str, value: Any) -> str:
    """Spell a value as an EventBus would."""
    if name in ("max_age", "duplicate_window") and isinstance(value, int):
        return format_duration(value / 1e9) if value else "unlimited"
    if name == "max_bytes" and isinstance(value, int):
        return format_size(value) if value > 0 else "unlimited"
    return msgspec.json.encode(value).decode()
