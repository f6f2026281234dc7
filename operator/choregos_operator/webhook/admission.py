"""The AdmissionReview of `admission.k8s.io/v1`: read from the API server, and written back to it.

Warnings are made fit for the header that they travel in: one line each, at most 256 characters, because the API server
cuts or drops what is more.
"""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import orjson

API_VERSION: Final = "admission.k8s.io/v1"
LONGEST_WARNING: Final = 256
LONGEST_WARNINGS: Final = 4096
"""Characters that the API server passes on in all."""
_LONGEST_MESSAGE: Final = 4096
_ROOM_FOR_MORE: Final = 48


class MalformedError(ValueError):
    """What was posted is no admission review; the message says why."""


class Kind(msgspec.Struct, frozen=True):
    """Group, version and kind of an object."""

    kind: str
    group: str = ""
    version: str = ""


class User(msgspec.Struct, frozen=True):
    """Who asks."""

    username: str = ""


class Request(msgspec.Struct, frozen=True, rename="camel"):
    """What the API server asks: whether this object may be stored."""

    uid: str
    kind: Kind
    operation: str
    namespace: str = ""
    """Of the object, whose own metadata may leave it out."""
    sub_resource: str = ""
    """What of the object is written, such as `status`; empty for the object itself."""
    name: str = ""
    """Of the object; empty while the API server still has to make one up."""
    object: dict[str, Any] | None = None
    old_object: dict[str, Any] | None = None
    """The object as it is stored; None unless this is an update."""
    user_info: User = User()

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The metadata of the object; empty if it has none that could be read."""
        metadata = (self.object or {}).get("metadata")
        return metadata if isinstance(metadata, dict) else {}

    @property
    def label(self) -> str:
        """The object's name for readers, also if the API server still has to make one up."""
        return self.name or self.metadata.get("name") or f"{self.metadata.get('generateName', '')}*"


class _Review(msgspec.Struct, frozen=True, rename="camel"):
    api_version: str
    kind: str
    request: Request | None = None


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason of a refusal, with the field that it is about."""

    message: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the object must not be stored."""

    message: str
    """In sentences for whoever created the object, or reads the Events of whatever did."""
    causes: tuple[Cause, ...] = ()
    """The same one by one; kubectl prints them as a list."""
    code: int = 422
    reason: str = "Invalid"
    """As in metav1.Status; kubectl only looks at the causes if it is `Invalid`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API server is told."""

    refusal: Refusal | None = None
    patch: tuple[Mapping[str, Any], ...] = ()
    """Operations of a JSON patch (RFC 6902)."""
    warnings: tuple[str, ...] = ()


def read(body: bytes) -> Request:
    """Read a review's request; raises MalformedError."""
    try:
        review = msgspec.json.decode(body, type=_Review)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedError(f"this is no AdmissionReview: {error}") from None
    if review.api_version != API_VERSION or review.kind != "AdmissionReview":
        given = f"{review.kind} of {review.api_version}"
        raise MalformedError(f"this is {given[:200]}; post an AdmissionReview of {API_VERSION}")
    if review.request is None:
        raise MalformedError("this AdmissionReview holds no request; the API server sends one")
    return review.request


def write(request: Request, answer: Answer) -> bytes:
    """Write the review that answers a request."""
    response: dict[str, Any] = {"uid": request.uid, "allowed": answer.refusal is None}
    if answer.refusal:
        response["status"] = _status(request, answer.refusal)
    elif answer.patch:
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(orjson.dumps(answer.patch)).decode()
    if answer.warnings:
        response["warnings"] = fit(answer.warnings)
    return orjson.dumps({"apiVersion": API_VERSION, "kind": "AdmissionReview", "response": response})


def fit(warnings: Iterable[str]) -> list[str]:
    """Return warnings as the API server passes them on, each once; the last one counts those that have no room."""
    lines = list(dict.fromkeys(_line(warning) for warning in warnings))
    fitting: list[str] = []
    room = LONGEST_WARNINGS
    for line in lines:
        left = len(lines) - len(fitting)
        if len(line) + (_ROOM_FOR_MORE if left > 1 else 0) > room:
            return [*fitting, f"and {left} more warnings, see choregos lint"]
        fitting.append(line)
        room -= len(line)
    return fitting


def _line(text: str) -> str:
    """Return a text as one line of printable characters, cut to the length of a warning."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= LONGEST_WARNING else f"{line[: LONGEST_WARNING - 3]}..."


def _status(request: Request, refusal: Refusal) -> dict[str, Any]:
    message = refusal.message
    status: dict[str, Any] = {
        "status": "Failure",
        "code": refusal.code,
        "reason": refusal.reason,
        "message": message if len(message) <= _LONGEST_MESSAGE else f"{message[: _LONGEST_MESSAGE - 3]}...",
    }
    if refusal.causes:
        status["details"] = {
            "group": request.kind.group,
            "kind": request.kind.kind,
            "name": request.label,
            "causes": [
                {"reason": "FieldValueInvalid", "message": each.message, "field": each.field} for each in refusal.causes
            ],
        }
    return status
