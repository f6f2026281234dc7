"""The permissions that one ambassador needs of NATS, for a user of its own.

Without them the account is the boundary: whoever has its credentials may do everything in it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from msgspec import UNSET

from choregos_contract.configuration import Configuration
from choregos_contract.names import BusNames, token


@dataclass(frozen=True, slots=True)
class Permission:
    """A subject, wildcards included, and what for."""

    subject: str
    purpose: str


@dataclass(frozen=True, slots=True)
class Permissions:
    """What to allow; beside it `allow_responses`, by which NATS' service API is answered."""

    publish: tuple[Permission, ...]
    subscribe: tuple[Permission, ...]


def permissions(configuration: Configuration) -> Permissions:
    """Return what the ambassador of this configuration needs, and no more."""
    names, service = configuration.bus, configuration.service
    stream, notes = names.event_stream, names.note_bucket
    counted = [count for reaction in configuration.reactions for count in _counted(names, service, reaction.event)]
    durables = [names.durable(service, reaction.event) for reaction in configuration.reactions]
    publish = [
        Permission(f"$JS.API.STREAM.INFO.{stream}", "see whether the bus is wired"),
        *(Permission(f"{names.root}.ev.{token(each)}.*.*", "store an event") for each in _emitted(configuration)),
    ]
    if durables:
        publish += [
            *(Permission(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}", "pull events") for durable in durables),
            *(
                Permission(f"$JS.API.CONSUMER.INFO.{stream}.{durable}", "see how far behind it is")
                for durable in durables
            ),
            *(
                Permission(f"$JS.API.CONSUMER.CREATE.{stream}.{counter}.{filter_}", "count what expired unread")
                for counter, filter_ in counted
            ),
            *(
                Permission(f"$JS.API.CONSUMER.DELETE.{stream}.{counter}", "leave nothing of that count")
                for counter, _ in counted
            ),
            *(Permission(f"$JS.ACK.{stream}.{durable}.>", "acknowledge, before 2.15") for durable in durables),
            *(Permission(f"$JS.ACK.*.*.{stream}.{durable}.>", "acknowledge, from 2.15 on") for durable in durables),
            Permission(f"{names.root}.dl.{service}.*.*", "store a dead letter"),
            Permission(f"$JS.API.STREAM.MSG.GET.{stream}", "look for what an earlier delivery stored"),
            Permission(f"$JS.API.DIRECT.GET.{stream}", "look for it in many events at once"),
            Permission(f"$JS.API.STREAM.MSG.GET.{names.dead_letter_stream}", "look for its dead letter"),
            Permission(f"$KV.{notes}.*", "note that an event was handed back in order"),
            Permission(f"$JS.API.STREAM.MSG.GET.KV_{notes}", "read such a note"),
        ]
    if any(reaction.idempotency is not UNSET for reaction in configuration.reactions):
        inbox = names.inbox_bucket
        publish += [
            Permission(f"$KV.{inbox}.*", "claim an event before the call, and remember what came of it"),
            Permission(f"$JS.API.STREAM.MSG.GET.KV_{inbox}", "read who has claimed it, or what came of it"),
            Permission(f"$JS.API.STREAM.INFO.KV_{inbox}", "see whether the inbox is there, how full, and its clock"),
        ]
    subscribe = (
        Permission("_INBOX.>", "hear answers, and receive events"),
        Permission("$SRV.>", "be found by NATS' service API"),
        Permission(f"{names.root}.status.{service}", "be asked for its status"),
        *(
            Permission(
                f"$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.{stream}.{durable}", "hear what expires in a backoff"
            )
            for durable in durables
        ),
    )
    return Permissions(tuple(publish), subscribe)


def _counted(names: BusNames, service: str, event: str) -> Iterable[tuple[str, str]]:
    """Pair the consumers that count with what they may count."""
    return zip(names.counters(service, event), names.durable_filters(service, event), strict=True)


def _emitted(configuration: Configuration) -> list[str]:
    """Types of all events that it stores, of its own accord or as replies."""
    return sorted({*configuration.emits, *(event for each in configuration.reactions for event in each.emits)})
