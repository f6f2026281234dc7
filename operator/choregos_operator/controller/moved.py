"""A bus whose streams would be others than those that its ambassadors work with.

The names of streams follow from prefix, partitions and shards, which no edit can change. Deleting the EventBus, or deleting it
and making another, does: every event that is unread would stay behind on streams that nobody looks at any more.
"""

from collections.abc import Container, Iterable
from typing import Any, Final

import msgspec

from choregos_contract.names import BusNames
from choregos_operator.annotations import CONFIGURATION_HASH, SERVICE_LABEL
from choregos_operator.configured import CONFIG_KEY, configmap_name, digest
from choregos_operator.kube import Body

_MOST: Final = 3
"""Names in a sentence."""


def moved(configmaps: Iterable[Body], services: Container[str], names: BusNames, *, explicit: bool) -> str:
    """Return why a bus must not be wired by `names`, in a sentence with the mend; empty if it may.

    `services` are those whose ConfigMaps count. `explicit`: whether an EventBus says these names. A service that moved to a
    bus of another name is that one's business.
    """
    told: dict[str, BusNames] = {}
    for body in configmaps:
        service = body["metadata"].get("labels", {}).get(SERVICE_LABEL)
        if service in services and body["metadata"]["name"] == configmap_name(service):
            before = _told(body)
            if before and (before.namespace, before.bus) == (names.namespace, names.bus) and before != names:
                told[service] = before
    if not told:
        return ""
    now = "the EventBus now says" if explicit else "without its EventBus the bus has"
    return (
        f"the ambassadors of {_listed(sorted(told))} are configured for {_said(told[min(told)])}, {now} {_said(names)}: put"
        f" the EventBus {names.bus} back as it was, or, to move for good, let them process what is unread, delete the ConfigMaps"
        f" {_listed(sorted(map(configmap_name, told)))} and restart the pods"
    )


class _OfBus(msgspec.Struct):
    bus: BusNames


def _told(body: Body) -> BusNames | None:
    """Return the bus that a ConfigMap tells of; None if it is damaged, or other hands wrote it: then it is put right."""
    content = str((body.get("data") or {}).get(CONFIG_KEY, ""))
    try:
        bus = msgspec.json.decode(content, type=_OfBus).bus
        as_written = msgspec.json.decode(content, type=dict[str, Any]) | {"generation": 0}
    except (msgspec.DecodeError, RecursionError):
        return None
    found = digest(msgspec.json.encode(as_written))
    return bus if body["metadata"].get("annotations", {}).get(CONFIGURATION_HASH, found) == found else None


def _said(names: BusNames) -> str:
    return f"prefix {names.prefix}, {names.partitions} partitions and {names.shards} shards"


def _listed(words: list[str]) -> str:
    more = len(words) - _MOST
    return ", ".join(words[:_MOST]) + (f" and {more} more" if more > 0 else "")
