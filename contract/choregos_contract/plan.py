"""The steps from the wiring that exists to the wiring that is wanted.

Pure: what exists comes in as JetStream's own answers, what is to be done goes out as steps. Two rules stand above all
others: nothing is ever deleted, and nothing is changed that would lose or repeat events; such a wish is refused with the
way out. What the server or an administrator set beyond our own fields is left as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from choregos_contract.wiring import (
    APPLIED,
    CREATED,
    OURS,
    PARTITIONS,
    SHARDS,
    START_FROM,
    Durable,
    Stream,
    Wanted,
    moment,
    version,
)

OLDEST_SERVER = (2, 10)

Config = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Existing:
    """A stream or a durable as the server reports it."""

    config: Config
    created: str
    last_sequence: int = 0
    """Sequence of the last event that a stream ever stored; 0 for a durable."""

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> "Existing":
        """Read the answer of `STREAM.INFO` or `CONSUMER.INFO`."""
        return cls(info["config"], info.get("created", ""), info.get("state", {}).get("last_seq", 0))

    @property
    def ours(self) -> dict[str, str]:
        """The part of the metadata that a plan sets; the operator's record of a stream is not of it."""
        metadata = self.config.get("metadata") or {}
        return {key: value for key, value in metadata.items() if key.startswith(OURS) and key != APPLIED}


@dataclass(frozen=True, slots=True)
class Actual:
    """What exists: streams by name, durables by stream and name."""

    streams: Mapping[str, Existing] = field(default_factory=dict)
    durables: Mapping[tuple[str, str], Existing] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Create:
    """It is not there: make it, with this configuration."""

    target: Stream | Durable
    config: Config


@dataclass(frozen=True, slots=True)
class Update:
    """It is there, and these fields of it are to change; the configuration is whole, as JetStream wants it."""

    target: Stream | Durable
    config: Config
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Nothing:
    """It is as it is wanted."""

    target: Stream | Durable


@dataclass(frozen=True, slots=True)
class Refuse:
    """It cannot be had: what, why not, and the way out, each a sentence for the user."""

    what: str
    reason: str
    mend: str

    def __str__(self) -> str:
        return f"{self.what}: {self.reason}; {self.mend}"


Step = Create | Update | Nothing | Refuse


def plan(wanted: Wanted, actual: Actual, *, server_version: str, now: str) -> tuple[Step, ...]:
    """Return the step for every wanted stream, then for every durable. `now` (RFC 3339) is recorded in new durables."""
    if refusal := refuse_server(server_version):
        return (refusal,)
    found: list[tuple[Stream | Durable, Existing | None]] = [
        *((stream, actual.streams.get(stream.name)) for stream in wanted.streams),
        *((durable, actual.durables.get((durable.stream, durable.name))) for durable in wanted.durables),
    ]
    return tuple(step(target, existing, server_version=server_version, now=now) for target, existing in found)


def step(target: Stream | Durable, existing: Existing | None, *, server_version: str, now: str) -> Step:
    """Return the step that makes one stream or durable what it should be."""
    if isinstance(target, Stream):
        return _stream_step(target, target.to_config(server_version), existing)
    return _durable_step(target, target.to_config(now), existing)


def refuse_server(server_version: str) -> Refuse | None:
    """Refuse a server that knows neither `filter_subjects` nor metadata."""
    major, minor = version(server_version)
    if (major, minor) >= OLDEST_SERVER:
        return None
    return Refuse(
        f"nats-server {major}.{minor}" if major else "nats-server of an unknown version",
        "durables with two filters and recorded metadata need nats-server 2.10",
        "upgrade the NATS servers to 2.10 or later (2.12 brings atomic batches)",
    )


def _stream_step(stream: Stream, config: dict[str, Any], existing: Existing | None) -> Step:
    if existing is None:
        return Create(stream, config)
    if stream.inbox:
        config["max_age"] = _longer(existing.config.get("max_age", 0), config["max_age"])
    return _refused_stream(stream, config, existing) or _change(stream, config, existing)


def _durable_step(durable: Durable, config: dict[str, Any], existing: Existing | None) -> Step:
    if existing is None:
        return Create(durable, config)
    if refusal := _refused_durable(durable, existing):
        return refusal
    config["metadata"][CREATED] = existing.ours.get(CREATED, existing.created)
    for fixed in ("deliver_policy", "opt_start_time", "opt_start_seq", "filter_subjects"):
        config.pop(fixed, None)
    return _change(durable, config, existing)


def _refused_stream(stream: Stream, config: Config, existing: Existing) -> Refuse | None:
    for name in ("retention", "storage"):
        if (found := existing.config.get(name)) != config[name]:
            return Refuse(
                str(stream),
                f"its {name} is '{found}', wanted is '{config[name]}', and a stream never changes it",
                f"set {name} back to '{found}', or give the bus another prefix and drain the old one"
                if name == "storage"
                else "give the bus another prefix: this stream was made for something else",
            )
    if PARTITIONS not in existing.ours and SHARDS not in existing.ours:
        return _refused_adoption(stream, existing)
    for key in (PARTITIONS, SHARDS):
        name, found = key.removeprefix(OURS), existing.ours.get(key)
        if found != config["metadata"][key]:
            return Refuse(
                str(stream),
                f"its subjects were written with {found} {name}, wanted are {config['metadata'][key]}",
                f"set {name} back to {found}, or give the bus another prefix and drain the old one",
            )
    return None


def _refused_adoption(stream: Stream, existing: Existing) -> Refuse | None:
    """Adopt a stream that somebody else made only while it is empty: its moduli are not recorded."""
    mend = "give the bus another prefix, or remove the stream if nobody needs it"
    if set(existing.config.get("subjects") or ()) != set(stream.subjects):
        return Refuse(str(stream), "it is not ours: it carries no metadata of Choregos, and other subjects", mend)
    if existing.last_sequence:
        return Refuse(str(stream), "it is not ours: it carries no metadata of Choregos, and holds messages", mend)
    return None


def _refused_durable(durable: Durable, existing: Existing) -> Refuse | None:
    found = existing.config
    if found.get("deliver_subject") or found.get("ack_policy") != "explicit":
        reason = "it is not ours: it pushes, or takes no explicit acknowledgement"
        return Refuse(str(durable), reason, "remove the consumer if nobody needs it, or give the bus another prefix")
    filters = found.get("filter_subjects") or [found.get("filter_subject", "")]
    if set(filters) != set(durable.filters):
        return Refuse(
            str(durable),
            f"it reads {', '.join(filters)}, wanted is {', '.join(durable.filters)}, and a durable never changes what it "
            "reads: the server would deliver old events again and lose others",
            "remove the durable yourself if its position is of no more use",
        )
    started = existing.ours.get(START_FROM) or _start_of(found)
    if started not in (durable.start_from, "by_start_sequence"):  # a sequence: we put it in the place of a lost one
        return Refuse(
            str(durable),
            f"startFrom is '{durable.start_from}', but the reaction started from '{started}', and that is immutable",
            f"set startFrom back to '{started}', or remove the durable to start anew, which repeats or skips events",
        )
    return None


def _start_of(config: Config) -> str:
    """Return the startFrom that a durable without our metadata stands for."""
    policy: str = config.get("deliver_policy", "all")
    if policy == "by_start_time":
        return moment(config["opt_start_time"])
    return "created" if policy == "new" else policy


def _change(target: Stream | Durable, config: Config, existing: Existing) -> Update | Nothing:
    """Compare what we set, and only that; an update carries over all the rest, because JetStream replaces the whole."""
    found, ours = existing.config, config["metadata"]
    fields = [name for name, value in config.items() if name != "metadata" and not _same(found.get(name), value)]
    if existing.ours != ours:
        fields.append("metadata")
    if not fields:
        return Nothing(target)
    others = {key: value for key, value in (found.get("metadata") or {}).items() if key not in existing.ours}
    return Update(target, {**found, **config, "metadata": others | ours}, tuple(fields))


def _longer(found: int, wanted: int) -> int:
    """Return what forgets nothing that is remembered for anybody: who wires may not know all who use the inbox."""
    return max(found, wanted) if found else 0


def _same(found: Any, value: Any) -> bool:
    return set(found or ()) == set(value) if isinstance(value, list) else bool(found == value)
