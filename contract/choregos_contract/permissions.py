"""The permissions that one ambassador needs of NATS, for a user of its own.

Without them the account is the boundary: whoever has its credentials may do everything in it.
"""

from dataclasses import dataclass

from choregos_contract.configuration import Configuration
from choregos_contract.names import token


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
            *(Permission(f"$JS.ACK.{stream}.{durable}.>", "acknowledge, before 2.15") for durable in durables),
            *(Permission(f"$JS.ACK.*.*.{stream}.{durable}.>", "acknowledge, from 2.15 on") for durable in durables),
            Permission(f"{names.root}.dl.{service}.*.*", "store a dead letter"),
            Permission(f"$JS.API.STREAM.MSG.GET.{stream}", "look for what an earlier delivery stored"),
            Permission(f"$JS.API.STREAM.MSG.GET.{names.dead_letter_stream}", "look for its dead letter"),
            Permission(f"$KV.{notes}.*", "note that an event was handed back in order"),
            Permission(f"$JS.API.STREAM.MSG.GET.KV_{notes}", "read such a note"),
        ]
    subscribe = (
        Permission("_INBOX.>", "hear answers, and receive events"),
        Permission("$SRV.>", "be found by NATS' service API"),
        Permission(f"{names.root}.status.{service}", "be asked for its status"),
    )
    return Permissions(tuple(publish), subscribe)


def _emitted(configuration: Configuration) -> list[str]:
    """Types of all events that it stores, of its own accord or as replies."""
    return sorted({*configuration.emits, *(event for each in configuration.reactions for event in each.emits)})
