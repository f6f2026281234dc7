"""Every label and annotation under `choregos.dev/` of a pod, in one place, and what a pod may ask of its ambassador.

A pod joins a service by a label, and tunes its ambassador by annotations: the fields of `Tuning`, with dashes. Their
documentation is generated from here. A value that cannot be used refuses the pod, and the refusal shows what can; a name
that nobody knows is only warned of, because it may be meant for another release.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Any, Final

from choregos_contract.findings import closest
from choregos_contract.resources import LABEL
from choregos_operator.resource_quantity import amount

PREFIX: Final = "choregos.dev/"
SERVICE_LABEL: Final = "choregos.dev/service"
"""Label of a pod, set by its owner: the service that it is a replica of. Also of the service's ConfigMap."""
INJECTED_LABEL: Final = "choregos.dev/injected"
"""Label of a pod, set by the webhook: it has its ambassador."""
INJECTED: Final = "true"
"""The one value of `INJECTED_LABEL`."""
CONFIGURATION_HASH: Final = "choregos.dev/configuration-hash"
"""Annotation of a pod and of a ConfigMap, set by the operator: the configuration that it was last told of, or holds."""
CONFIGURATION_GENERATION: Final = "choregos.dev/configuration-generation"
"""Annotation of a pod, set by the controller: the generation of that configuration. A pod that was injected before the
ConfigMap was written has the right hash already; this is what changes on it then, so that the kubelet looks."""
BUS_HASH: Final = "choregos.dev/bus-hash"
"""Annotation of a pod, set by the webhook: the servers and the prefix that its ambassador was injected for."""
INJECT: Final = "choregos.dev/inject"
"""Annotation of a pod: `false` leaves it as it is."""
BUS: Final = "choregos.dev/bus"
"""Annotation of a pod: the bus that its ambassador connects to; written by the webhook where its owner wrote none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """What a pod asks of its ambassador. Each field is the annotation of that name, with dashes, under `choregos.dev/`."""

    inject: bool = True
    """`false` starts the pod without an ambassador, although it is labelled. Nobody brings it events then."""
    bus: str | None = None
    """The bus that the ambassador connects to: its servers, and the Secret `choregos-bus-<bus>`. Needed only for a pod
    that starts before its choreography is there; the webhook writes here which one it took."""
    image: str | None = None
    """Image of the ambassador."""
    publish_port: int = 9480
    """Port of the publish API, on loopback. `CHOREGOS_PUBLISH_URL` in the other containers follows it."""
    probes_port: int = 9481
    """Port of the ambassador's probes and metrics."""
    cpu_request: str = "25m"
    """CPU that is set aside for the ambassador; more for a service of many events."""
    cpu_limit: str | None = None
    """CPU beyond which the ambassador is slowed down. A low one also makes the pod start later."""
    memory_request: str = "64Mi"
    """Memory that is set aside for the ambassador."""
    memory_limit: str | None = None
    """Memory beyond which the ambassador is killed. What it needs grows with `concurrency` times the size of events and
    answers, over all reactions; nothing is lost when it is killed, but every event in hand comes again."""
    log_level: str = "info"
    """The least severe lines that the ambassador writes."""
    log_events: bool = False
    """Whether the ambassador writes a line for each hop that went well, too."""
    log_answers: bool = False
    """Whether it writes the start of an error answer's body, which may hold what the event holds."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What an annotation takes."""

    allowed: str
    """In words, to follow "write"."""
    read: Callable[[str], Any]
    """Returns the value for `Tuning`; raises ValueError if the text is none."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the annotations of a pod say."""

    tuning: Tuning
    """The values that can be used, and the defaults of all others."""
    refusals: tuple[str, ...] = ()
    """A sentence for each value that cannot."""
    warnings: tuple[str, ...] = ()
    """A sentence for each name that is not known."""


def _matching(pattern: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not re.fullmatch(pattern, text, re.ASCII):
            raise ValueError(text)
        return text

    return read


def _flag(text: str) -> bool:
    return {"true": True, "false": False}[_matching("true|false")(text)]


def _port(text: str) -> int:
    port = int(_matching("[0-9]{1,5}")(text))
    if not 1024 <= port <= 65535:
        raise ValueError(text)
    return port


def _at_least(least: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if amount(text) < amount(least):
            raise ValueError(text)
        return text

    return read


_FLAG: Final = Kind("`true` or `false`", _flag)
_PORT: Final = Kind("a port from 1024 to 65535", _port)
_CPU: Final = Kind("an amount of CPU, at least `1m`, such as `100m` or `0.5`", _at_least("1m"))
# `64m` is a fraction of a byte to Kubernetes, and a limit below what the ambassador takes when idle kills it for ever.
_MEMORY: Final = Kind("an amount of memory, at least `1Mi`, such as `64Mi`", _at_least("1Mi"))
_MEMORY_LIMIT: Final = Kind("an amount of memory, at least `64Mi`, such as `256Mi`", _at_least("64Mi"))

KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "inject": _FLAG,
        "bus": Kind("the name of an EventBus, a DNS label such as `default`", _matching(LABEL)),
        "image": Kind(
            "the reference of an image, such as `ghcr.io/choregos/ambassador:0.1.0`", _matching(r"\S{1,512}")
        ),
        "publish_port": _PORT,
        "probes_port": _PORT,
        "cpu_request": _CPU,
        "cpu_limit": _CPU,
        "memory_request": _MEMORY,
        "memory_limit": _MEMORY_LIMIT,
        "log_level": Kind("`debug`, `info`, `warning` or `error`", _matching("debug|info|warning|error")),
        "log_events": _FLAG,
        "log_answers": _FLAG,
    }
)
"""What each field of `Tuning` takes."""


def annotation(field: str) -> str:
    """Return the annotation that a field of `Tuning` stands for."""
    return PREFIX + field.replace("_", "-")


_FIELDS: Final = {annotation(field.name): field.name for field in fields(Tuning)}
_KNOWN: Final = frozenset({*_FIELDS, CONFIGURATION_HASH, CONFIGURATION_GENERATION, BUS_HASH})


def read(annotations: Mapping[str, str]) -> Reading:
    """Read a pod's annotations; those of others are let pass."""
    values: dict[str, Any] = {}
    refusals = []
    for name, field in _FIELDS.items():
        if name in annotations:
            try:
                values[field] = KINDS[field].read(annotations[name])
            except ValueError:
                refusals.append(_refusal(name, annotations[name], KINDS[field]))
    tuning = Tuning(**values)
    refusals += _contradictions(tuning, values)
    return Reading(_requests_within_limits(tuning, values), tuple(refusals), _unknown(annotations))


def unknown_labels(labels: Mapping[str, str]) -> tuple[str, ...]:
    """Return a sentence for each label under our prefix that has no meaning; often it was to be an annotation."""
    sentences = []
    for name in sorted(labels):
        if name.startswith(PREFIX) and name not in (SERVICE_LABEL, INJECTED_LABEL):
            mend = "write it under metadata.annotations" if name in _KNOWN else "remove it, or correct its name"
            sentences.append(f"the label {name} means nothing to Choregos; {mend}")
    return tuple(sentences)


def _refusal(name: str, value: str, kind: Kind) -> str:
    allowed = kind.allowed.replace("`", "")
    return f'metadata.annotations["{name}"] is "{value[:64]}"; write {allowed}'


def _contradictions(tuning: Tuning, given: Mapping[str, Any]) -> list[str]:
    found = []
    if tuning.publish_port == tuning.probes_port:
        names = f"{annotation('publish_port')} and {annotation('probes_port')}"
        found.append(f"{names} are both {tuning.publish_port}; give the ambassador two ports")
    for resource in ("cpu", "memory"):
        request, limit = given.get(f"{resource}_request"), given.get(f"{resource}_limit")
        if request is not None and limit is not None and amount(request) > amount(limit):
            name = annotation(f"{resource}_request")
            found.append(
                f'metadata.annotations["{name}"] is "{request}", above the limit "{limit}"; write at most that'
            )
    return found


def _requests_within_limits(tuning: Tuning, given: Mapping[str, Any]) -> Tuning:
    """Lower the request that nobody wrote to a limit that somebody did: Kubernetes refuses one above it."""
    lowered = {
        f"{resource}_request": limit
        for resource in ("cpu", "memory")
        if f"{resource}_request" not in given
        and (limit := getattr(tuning, f"{resource}_limit")) is not None
        and amount(limit) < amount(getattr(tuning, f"{resource}_request"))
    }
    return replace(tuning, **lowered)


def _unknown(annotations: Mapping[str, str]) -> tuple[str, ...]:
    sentences = []
    for name in sorted(annotations):
        if name.startswith(PREFIX) and name not in _KNOWN:
            meant = closest(name.removeprefix(PREFIX), (known.removeprefix(PREFIX) for known in _KNOWN))
            mend = f"did you mean {PREFIX}{meant}?" if meant else "remove it, or correct its name"
            sentences.append(f"the annotation {name} means nothing to Choregos; {mend}")
    return tuple(sentences)
