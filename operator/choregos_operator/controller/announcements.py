"""What is told once, as a Kubernetes Event beside the object that it is about.

A condition says how things stand, an event that something happened. Pure: who calls says what happened, here are the
words; `Announcer` sends them, and does not repeat itself within the hour.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Literal, Self

from choregos_contract.status import Condition
from choregos_contract.survey import Reaction
from choregos_operator.annotations import SERVICE_LABEL
from choregos_operator.bus.state import Lost, Orphan, Restored
from choregos_operator.controller.api import Api, ApiError, Forbidden, NotThere, Refused
from choregos_operator.controller.conditions import Reason, Type
from choregos_operator.controller.pods import Pod
from choregos_operator.kube import Body
from choregos_operator.log import log

CONTROLLER: Final = "choregos.dev/controller"
LONGEST_NOTE: Final = 1024
"""Bytes of a note, as Kubernetes bounds them."""
LONGEST_INSTANCE: Final = 128
QUIET: Final = timedelta(hours=1)
"""For how long the same is not said again of the same object."""

_DAILY_LIFE: Final = (Reason.STARTING, Reason.BEHIND, Reason.NO_PODS)
"""What every rollout and every edit passes through."""


class Happened(StrEnum):
    """Why an event is written, beside the reasons of conditions. The set only grows."""

    EVENTS_PENDING = "EventsPending"
    """An edit dropped a reaction that had yet to process events."""
    REACTION_ORPHANED = "ReactionOrphaned"
    """An edit dropped a reaction that had processed everything."""
    REACTION_SWEPT = "ReactionSwept"
    """The position of a dropped reaction was kept for long enough, and is gone."""
    ORPHAN_IN_USE = "OrphanInUse"
    """A durable that no choreography wants is still read, and kept for longer."""
    POSITION_RESTORED = "PositionRestored"
    """A durable was deleted by hand, and made anew where it had been."""
    POSITION_LOST = "PositionLost"
    """A durable was deleted by hand, and nobody knows where it had been."""
    STREAM_REMADE = "StreamRemade"
    """A stream was deleted by hand, and made anew, empty."""
    EDITED_BY_HAND = "EditedByHand"
    """A durable or ConfigMap was edited by hand, and is as wanted again."""
    NO_AMBASSADOR = "NoAmbassador"
    """A labelled pod started without an ambassador."""
    NOT_DECLARED = "NotDeclared"
    """A labelled pod is of a service that no choreography declares."""
    EVICTED = "EvictedForAmbassador"
    """A pod without an ambassador was evicted, so that the next one has one."""
    LABEL_NOT_ON_PODS = "LabelNotOnPods"
    """A workload carries the label, but the template of its pods does not."""


@dataclass(frozen=True, slots=True)
class Regarding:
    """The object that an announcement is about."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str

    @classmethod
    def of(cls, body: Body) -> Self:
        """Return the reference to an object."""
        metadata = body["metadata"]
        return cls(body["apiVersion"], body["kind"], metadata["namespace"], metadata["name"], metadata["uid"])

    @classmethod
    def pod(cls, pod: Pod) -> Self:
        """Return the reference to a pod."""
        return cls("v1", "Pod", pod.namespace, pod.name, pod.uid)


@dataclass(frozen=True, slots=True)
class Announcement:
    """One thing to tell."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    regarding: Regarding


def transitions(
    regarding: Regarding, before: Iterable[Condition], after: Iterable[Condition]
) -> tuple[Announcement, ...]:
    """Return what to tell of conditions that changed.

    `Ready` is only the sum, ambassadors that start or load are daily life, and an object that is invalid says so once.
    What was well from the beginning is told of the wiring alone.
    """
    known = {condition.type: condition for condition in before}
    told = []
    for condition in after:
        old = known.get(condition.type)
        if condition.type == Type.READY or not _news(old, condition):
            continue
        well = condition.status == "True" and condition.reason != Reason.DRIFT
        told.append(
            Announcement("Normal" if well else "Warning", condition.reason, condition.message, regarding),
        )
    return tuple(told)


def orphaned(regarding: Regarding, orphan: Orphan, kept: timedelta) -> Announcement:
    """Tell that an edit dropped a reaction, and what becomes of its events; durables are `kept` for so long."""
    reaction, days = f"{orphan.service}/{orphan.event}", f"{kept / timedelta(days=1):g} days"
    if orphan.in_use:
        message = (
            f"{reaction} is in no choreography, but its durable is read or has events in hand, so it is kept for another {days}:"
            " stop who reads it, or, if another cluster shares the NATS account, give one of the two another prefix"
        )
        return Announcement("Warning", Happened.ORPHAN_IN_USE, message, regarding)
    if orphan.pending:
        message = (
            f"{reaction} is gone from the choreography with {orphan.pending} events that it had yet to process; they are"
            f" kept for it for {days}: put the reaction back and it goes on where it was"
        )
        return Announcement("Warning", Happened.EVENTS_PENDING, message, regarding)
    message = f"{reaction} is gone from the choreography; its position is kept for {days}, in case it comes back"
    return Announcement("Normal", Happened.REACTION_ORPHANED, message, regarding)


def swept(regarding: Regarding, reaction: Reaction) -> Announcement:
    """Tell that the position of a dropped reaction is gone."""
    message = f"the position of {reaction} was kept for as long as orphans are, and is gone"
    return Announcement("Normal", Happened.REACTION_SWEPT, message, regarding)


def restored(regarding: Regarding, found: Restored) -> Announcement:
    """Tell that a durable was removed by hand and nothing was lost."""
    return Announcement("Warning", Happened.POSITION_RESTORED, str(found), regarding)


def lost(regarding: Regarding, found: Lost) -> Announcement:
    """Tell that a durable was removed by hand, and its position with it."""
    return Announcement("Warning", Happened.POSITION_LOST, str(found), regarding)


def remade(regarding: Regarding, stream: str) -> Announcement:
    """Tell that a stream was removed by hand, with all that it held."""
    message = (
        f"the stream {stream} was gone with all that it held, and was made again, empty: publish again what is needed,"
        " and keep others from removing it"
    )
    return Announcement("Warning", Happened.STREAM_REMADE, message, regarding)


def edited(regarding: Regarding, what: str) -> Announcement:
    """Tell that something was edited by hand and is as wanted again; `what` is a phrase such as `durable x`."""
    message = f"somebody edited {what} by hand; it is as wanted again: change the choreography or the bus instead"
    return Announcement("Warning", Happened.EDITED_BY_HAND, message, regarding)


def without_ambassador(pod: Pod) -> Announcement:
    """Tell a pod that it lacks its ambassador."""
    message = (
        f"it is labelled {SERVICE_LABEL}: {pod.service}, but has no ambassador, so no event reaches it: it was made"
        " while the webhook was not there; delete the pod, or restart its owner"
    )
    return Announcement("Warning", Happened.NO_AMBASSADOR, message, Regarding.pod(pod))


def not_declared(pod: Pod) -> Announcement:
    """Tell a pod that its ambassador has nothing to do yet."""
    message = (
        f"no choreography of {pod.namespace} declares the service {pod.service}, so its ambassador waits: apply one, or"
        f" mend the label {SERVICE_LABEL}"
    )
    return Announcement("Warning", Happened.NOT_DECLARED, message, Regarding.pod(pod))


def evicted(pod: Pod) -> Announcement:
    """Tell why a pod was evicted."""
    message = f"it had no ambassador for {pod.service}; its owner makes another, which gets one"
    return Announcement("Normal", Happened.EVICTED, message, Regarding.pod(pod))


def manifest(announcement: Announcement, *, instance: str, now: datetime) -> dict[str, Any]:
    """Return the Event, by events.k8s.io/v1; `instance` is the name of this controller's process."""
    about = announcement.regarding
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"generateName": f"{about.name[:200].rstrip('.-')}-", "namespace": about.namespace},
        "eventTime": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": CONTROLLER,
        "reportingInstance": instance[:LONGEST_INSTANCE],
        "action": "Reconcile",
        "reason": announcement.reason,
        "note": _cut(announcement.message),
        "type": announcement.type,
        "regarding": {
            "apiVersion": about.api_version,
            "kind": about.kind,
            "namespace": about.namespace,
            "name": about.name,
            "uid": about.uid,
        },
    }


class Announcer:
    """Sends announcements, and remembers them for an hour."""

    def __init__(self, api: Api, instance: str) -> None:
        self._api = api
        self._instance = instance
        self._said: dict[Announcement, datetime] = {}
        self._hindrance = ""

    async def tell(self, announcements: Iterable[Announcement], *, now: datetime) -> ApiError | None:
        """Write an Event for each that was not said lately; raises Away.

        One that is refused (a missing right, a quota) is told in the log, and keeps nothing else from being done; returns
        why, for who would rather come again.
        """
        hindrance: ApiError | None = None
        self._said = {each: when for each, when in self._said.items() if now - when < QUIET}
        for each in announcements:
            if each in self._said:
                continue
            event: Mapping[str, Any] = manifest(each, instance=self._instance, now=now)
            try:
                await self._api.create_event(each.regarding.namespace, event)
            except NotThere:
                continue  # the namespace is being deleted: nobody is left to read it
            except (Forbidden, Refused) as error:
                self._hinder(str(error))
                hindrance = error
                continue
            self._said[each] = now
            self._hindrance = ""
            about = each.regarding
            log.info(
                "event",
                kind=about.kind,
                namespace=about.namespace,
                name=about.name,
                reason=each.reason,
                note=each.message,
            )
        return hindrance

    def _hinder(self, reason: str) -> None:
        """Warn, once while it lasts."""
        if reason != self._hindrance:
            log.warning("an event is not written", reason=reason)
            self._hindrance = reason


def _news(old: Condition | None, new: Condition) -> bool:
    if new.reason in _DAILY_LIFE or (new.reason == Reason.INVALID and new.type != Type.VALID):
        return False
    if old is None or (old.reason == Reason.INVALID and new.type != Type.VALID):
        return new.status != "True" or new.type == Type.WIRED
    if old.reason in _DAILY_LIFE:
        return new.status != "True"
    return (old.status, old.reason) != (new.status, new.reason) and _differs(old, new)


def _differs(old: Condition, new: Condition) -> bool:
    """Two ways of being well, such as pods that are current and no pods, are no event; drift is."""
    return not (old.status == new.status == "True" and Reason.DRIFT not in (old.reason, new.reason))


def _cut(message: str) -> str:
    if len(message.encode()) <= LONGEST_NOTE:
        return message
    return message.encode()[: LONGEST_NOTE - 3].decode(errors="ignore") + "..."
