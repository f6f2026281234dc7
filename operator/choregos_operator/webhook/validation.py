"""Whether a choreography or a bus may be stored: the findings of the linter, and what an edit may not do.

Errors are only what the one document proves wrong. What depends on other objects is a warning. An update that leaves the
spec as it is, or that is part of a deletion, always passes; and an error that the stored object has already refuses
nothing, so that a stricter release locks nobody out of what is stored.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from choregos_contract.checks import check, check_beside
from choregos_contract.document import resource_of
from choregos_contract.event_bus import EventBus
from choregos_contract.findings import Finding, Severity
from choregos_contract.resources import IGNORE_ANNOTATION, Choreography
from choregos_operator.store import Store, Stored
from choregos_operator.webhook import edits, ratchet, surroundings
from choregos_operator.webhook.admission import Answer, Cause, Refusal, Request

_MOST_ERRORS: Final = 20
_YOUNGEST: Final = "~"
"""Sorts behind every time: an object that is being created has none yet."""


@dataclass(frozen=True, slots=True)
class Review:
    """What is found about an object that is to be stored."""

    errors: tuple[Finding, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def allowed(self) -> bool:
        """Whether the object may be stored."""
        return not self.errors


@dataclass(frozen=True, slots=True)
class _Version:
    """One version of an object: read, if it can be, and all that is found about it by itself."""

    resource: Choreography | EventBus | None
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(each for each in self.findings if each.severity is Severity.ERROR)


def validate(request: Request, store: Store, *, orphan_ttl: float) -> Review:
    """Return what is found about a request's object; `orphan_ttl`: seconds that a durable without a reaction is kept."""
    new, old = request.object, request.old_object
    if new is None or request.operation not in ("CREATE", "UPDATE") or request.sub_resource:
        return Review()
    if old is not None and (request.metadata.get("deletionTimestamp") or _unchanged(old, new)):
        return Review()
    after = _version(new, request, store)
    if old is None:
        return Review(after.errors, tuple(_warnings(None, after, request, store, orphan_ttl)))
    before = _version(old, request, store)
    told = ratchet.sort(before.errors, (*after.errors, *_forbidden(before, after)))
    warnings = (*(_known(each) for each in told.known), *_warnings(before, after, request, store, orphan_ttl))
    return Review(told.new, warnings)


def answer(request: Request, review: Review) -> Answer:
    """Return a review as the API server is told it."""
    if review.allowed:
        return Answer(warnings=review.warnings)
    shown = review.errors[:_MOST_ERRORS]
    causes = [Cause(f"{each.message}; {each.hint} [{each.code}]", each.place) for each in shown]
    if len(review.errors) > len(shown):
        causes.append(Cause(f"and {len(review.errors) - len(shown)} more; choregos lint shows all of them"))
    sentences = ", ".join(f"{each.field}: {each.message}" if each.field else each.message for each in causes)
    message = f'{request.kind.kind} "{request.label}" is invalid: {sentences}'
    return Answer(Refusal(message, tuple(causes)), warnings=review.warnings)


def _unchanged(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Tell whether nothing has changed that a finding could depend on."""
    return old.get("spec") == new.get("spec") and _ignores(old) == _ignores(new)


def _ignores(body: Mapping[str, Any]) -> object:
    return (body.get("metadata", {}).get("annotations") or {}).get(IGNORE_ANNOTATION)


def _version(body: Mapping[str, Any], request: Request, store: Store) -> _Version:
    metadata = {**body.get("metadata", {}), "namespace": request.namespace}
    metadata.setdefault("name", request.name or "unnamed")
    read = resource_of({**body, "metadata": metadata})
    if isinstance(read, Choreography):
        return _Version(read, tuple(check(read, store.bus(request.namespace, read.spec.bus))))
    return _Version(None, tuple(read)) if isinstance(read, list) else _Version(read, ())


def _forbidden(before: _Version, after: _Version) -> Iterator[Finding]:
    if before.resource is not None and after.resource is not None:
        yield from edits.forbidden(before.resource, after.resource)


def _known(error: Finding) -> str:
    return f"not mended: {error.place}: {error.message}; {error.hint} [{error.code}]"


def _warnings(
    before: _Version | None, after: _Version, request: Request, store: Store, orphan_ttl: float
) -> Iterator[str]:
    old, new = before.resource if before else None, after.resource
    if isinstance(new, EventBus):
        yield from _warnings_of_bus(old if isinstance(old, EventBus) else None, new, store)
    elif isinstance(new, Choreography):
        yield from _warnings_of_choreography(old if isinstance(old, Choreography) else None, new, after, request, store)
        if isinstance(old, Choreography):
            others = [other for _, other in _others(store, new)]
            yield from edits.consequences_of_choreography(old, new, others, orphan_ttl)


def _warnings_of_choreography(
    old: Choreography | None, new: Choreography, after: _Version, request: Request, store: Store
) -> Iterator[str]:
    """Yield what is doubtful by itself, then beside the others; of a choreography with errors, neither means anything."""
    if after.errors:
        return
    age = (str(request.metadata.get("creationTimestamp") or _YOUNGEST), new.metadata.name)
    others = [(each.age < age, choreography) for each, choreography in _others(store, new)]
    elders = [choreography for older, choreography in others if older]
    younger = [choreography for older, choreography in others if not older]
    yield from (_told(each) for each in (*after.findings, *check_beside(new, elders, [*elders, new, *younger])))
    yield from surroundings.without_bus(new, store)
    yield from surroundings.upon_others(old, new, elders, younger)


def _others(store: Store, candidate: Choreography) -> Iterator[tuple[Stored, Choreography]]:
    """Yield the other choreographies of the namespace that can be wired, oldest first."""
    for stored in store.of_namespace(candidate.metadata.namespace):
        other = stored.choreography
        if other and stored.valid and other.metadata.name != candidate.metadata.name:
            yield stored, other


def _warnings_of_bus(old: EventBus | None, new: EventBus, store: Store) -> Iterator[str]:
    """Yield what an edit does to the bus, and which of its choreographies it makes doubtful."""
    users = store.of_bus(new.metadata.namespace, new.metadata.name)
    yield from edits.consequences_of_bus(old, new, used=bool(users))
    for stored in users:
        if stored.choreography and stored.valid:
            known = {each.message for each in check(stored.choreography, old)} if old else set()
            for doubt in check(stored.choreography, new):
                if doubt.code == "short-duplicate-window" and doubt.message not in known:
                    yield f"{stored.choreography.metadata.name}: {_told(doubt)}"


def _told(doubt: Finding) -> str:
    return f"{doubt.place}: {doubt.message}; {doubt.hint} [{doubt.code}]"
