"""The evidence of a round: ledgers and streams as plain values, gathered from the files that the round left."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from chaos.choreography import SERVICES
from chaos.ledger import Accepted, Begun, Died, Effect, Ended, GivenUp, HungUp, Record, Struck, read
from chaos.records import read_effects
from chaos.streams import Streams


@dataclass(frozen=True)
class Call:
    """A call of a service, from the moment it reached it to the moment it was over, if that is known."""

    event: str
    reaction: str
    key: str
    attempt: int
    begun: float
    ended: float | None = None
    status: int = 0
    good: bool = False
    replies: tuple[str, ...] = ()

    @property
    def completed(self) -> bool:
        """Whether it was answered with a 2xx that holds what was asked for."""
        return self.good and 200 <= self.status < 300


@dataclass(frozen=True)
class Evidence:
    """All that the judge knows."""

    accepted: tuple[Accepted, ...]
    calls: tuple[Call, ...]
    effects: tuple[Effect, ...]
    streams: Streams
    given_up: tuple[GivenUp, ...] = ()
    struck: tuple[Struck, ...] = ()
    hung_up: tuple[HungUp, ...] = ()


def gather(directory: Path, streams: Streams) -> Evidence:
    """Read every ledger in a directory, and every effect."""
    found: defaultdict[type, list[Record]] = defaultdict(list)
    for record in read(sorted(directory.glob("*.ledger"))):
        found[type(record)].append(record)
    stores = [path for service in SERVICES if (path := directory / f"{service}.sqlite").exists()]
    return Evidence(
        accepted=tuple(each for each in found[Accepted] if isinstance(each, Accepted)),
        calls=calls(record for kind in (Begun, Ended, Died) for record in found[kind]),
        effects=tuple(effect for path in stores for effect in read_effects(path)),
        streams=streams,
        given_up=tuple(each for each in found[GivenUp] if isinstance(each, GivenUp)),
        struck=tuple(each for each in found[Struck] if isinstance(each, Struck)),
        hung_up=tuple(each for each in found[HungUp] if isinstance(each, HungUp)),
    )


def calls(records: Iterable[Record]) -> tuple[Call, ...]:
    """Join what the ledgers say of each call: it ends with its answer, or with the process that had it."""
    begun: list[Begun] = []
    ended: dict[str, Ended] = {}
    died: dict[str, float] = {}
    for record in records:
        if isinstance(record, Begun):
            begun.append(record)
        elif isinstance(record, Ended):
            ended.setdefault(record.call, record)
        elif isinstance(record, Died):
            died[record.process] = min(record.at, died.get(record.process, record.at))
    return tuple(_joined(each, ended.get(each.call), died.get(each.process)) for each in begun)


def _joined(begun: Begun, ended: Ended | None, died: float | None) -> Call:
    call = Call(begun.event, begun.reaction, begun.key, begun.attempt, begun.at)
    if ended is None:
        return Call(*_identity(call), ended=died)
    return Call(*_identity(call), ended.at, ended.status, ended.good, ended.replies)


def _identity(call: Call) -> tuple[str, str, str, int, float]:
    return call.event, call.reaction, call.key, call.attempt, call.begun
