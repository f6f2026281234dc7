"""Wiring a bus that may have been there before us, and be used by others.

What is missing is made. A stream that exists keeps its settings unless an EventBus among the files says otherwise, and a
reaction that belongs to somebody else is refused: two who share a durable would take each other's events.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from nats.aio.client import Client
from nats.errors import Error as NatsError

from choregos_cli.errors import RefusedError, UnreachableError
from choregos_cli.interrupts import raise_swallowed_cancel
from choregos_contract.configure import bus_names_of
from choregos_contract.event_bus import EventBus
from choregos_contract.names import BusNames
from choregos_contract.resources import Choreography
from choregos_contract.wire import JetStreamError, WiringRefused, wire
from choregos_contract.wiring import OURS, Durable, Stream, Wanted, wanted

_PATIENCE: Final = 10.0
_NOT_ENABLED: Final = 10039


@dataclass(frozen=True, slots=True)
class Joined:
    """What the run now stands on."""

    names: BusNames
    wiring: Wanted
    duplicate_window: float
    """Seconds, of the event stream as it is."""
    last_sequences: dict[str, int]
    """What each stream held before the run began."""


async def join(client: Client, choreographies: Sequence[Choreography], bus: EventBus | None) -> Joined:
    """Wire what the choreographies, which share one bus, need; raise RefusedError or UnreachableError."""
    names = bus_names_of(choreographies, bus)
    try:
        everything = wanted(choreographies, bus, names.namespace)
        streams = everything.streams
        if bus is None:
            streams = tuple([await _as_it_is(client, stream) for stream in streams])
        for durable in everything.durables:
            await _refuse_if_foreign(client, durable)
        wiring = Wanted(streams, everything.durables)
        now = datetime.fromtimestamp(time.time(), UTC).isoformat().replace("+00:00", "Z")
        version = client.connected_server_version
        await wire(lambda subject, body: _ask(client, subject, body), wiring, server_version=str(version), now=now)
        last = {stream.name: await last_sequence(client, stream.name) for stream in streams}
    except WiringRefused as refused:
        first = refused.refusals[0]
        raise RefusedError(f"{first.what}: {first.reason}", first.mend) from None
    except JetStreamError as error:
        if error.err_code == _NOT_ENABLED or error.code == 503:
            raise UnreachableError("JetStream is not enabled on the NATS server", "start it with `-js`") from None
        raise UnreachableError(str(error), "look at the server's log") from None
    except NatsError as error:
        what = f"the NATS server does not answer as JetStream: {error}"
        raise UnreachableError(what, "start it with `-js`, and give its account JetStream") from None
    return Joined(names, wiring, streams[0].duplicate_window, last)


async def backlog(client: Client, joined: Joined) -> dict[tuple[str, str], int]:
    """Return, by service and event, the events that are unread or unacknowledged; raises nats.errors.Error.

    JetStream counts an event only a moment after it has confirmed it to whoever stored it: until then there is one.
    """
    found = {}
    for durable in joined.wiring.durables:
        info = await _info(client, f"CONSUMER.INFO.{durable.stream}.{durable.name}")
        assert info, f"{durable} is gone"
        counted = int(info["num_pending"]) + int(info["num_ack_pending"])
        uncounted = not counted and await _last_for(client, durable) > info["delivered"]["stream_seq"]
        found[durable.service, durable.event] = counted or int(uncounted)
    return found


async def _last_for(client: Client, durable: Durable) -> int:
    """Return the sequence of the last event that is for a durable; 0 if there is none."""
    queries = [msgspec.json.encode({"last_by_subj": each}) for each in durable.filters]
    found = [await _info(client, f"STREAM.MSG.GET.{durable.stream}", query) for query in queries]
    return max((int(each["message"]["seq"]) for each in found if each), default=0)


async def _as_it_is(client: Client, stream: Stream) -> Stream:
    """Return a wanted stream with the settings that it has, if it exists; what must agree is still compared."""
    existing = await _info(client, f"STREAM.INFO.{stream.name}")
    if existing is None:
        return stream
    config = existing["config"]
    return replace(
        stream,
        replicas=config.get("num_replicas", 1),
        max_age=stream.max_age if stream.inbox else config.get("max_age", 0) / 1e9,
        max_bytes=config.get("max_bytes", -1),
        duplicate_window=config.get("duplicate_window", 0) / 1e9,
        atomic=config.get("allow_atomic", False),
    )


async def _refuse_if_foreign(client: Client, durable: Durable) -> None:
    existing = await _info(client, f"CONSUMER.INFO.{durable.stream}.{durable.name}")
    owner = ((existing or {}).get("config", {}).get("metadata") or {}).get(OURS + "owner", durable.owner)
    if owner != durable.owner:
        what = f"the reaction of {durable.service} to {durable.event} belongs to {owner} on this bus"
        raise RefusedError(what, "give the service another name here, or the choreography another namespace")


async def _info(client: Client, subject: str, query: bytes = b"") -> dict[str, Any] | None:
    answer = msgspec.json.decode(await _ask(client, f"$JS.API.{subject}", query), type=dict[str, Any])
    return None if "error" in answer else answer


async def last_sequence(client: Client, stream: str) -> int:
    """Return the sequence of the last message that a stream stored; raises nats.errors.Error."""
    info = await _info(client, f"STREAM.INFO.{stream}")
    return int(info["state"]["last_seq"]) if info else 0


async def _ask(client: Client, subject: str, body: bytes) -> bytes:
    answer = await client.request(subject, body, timeout=_PATIENCE)
    raise_swallowed_cancel()
    return bytes(answer.data)
