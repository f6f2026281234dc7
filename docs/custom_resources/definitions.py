"""The CustomResourceDefinitions, as the manifests that are applied."""

from typing import Any, Final, NamedTuple

import yaml
from pydantic import BaseModel

from choregos_contract.event_bus import EventBus, EventBusSpec
from choregos_contract.resources import API_VERSION, Choreography, ChoreographySpec
from choregos_contract.status import ChoreographyStatus, EventBusStatus
from custom_resources.rules import RULES
from custom_resources.schema import Schema, defaulted, structural, with_rules

GROUP, VERSION = API_VERSION.split("/")
CATEGORY: Final = "choregos"
"""`kubectl get choregos` lists both kinds; they are not in `all`, which is for workloads."""
HEAD: Final = """\
# Written by docs/generate.py from the models of choregos_contract, and compared by `make check`: do not edit.
"""


class Column(NamedTuple):
    """One column of `kubectl get`."""

    name: str
    type: str
    path: str
    description: str
    wide: bool = False
    """Whether it takes `-o wide` to see it."""

    def as_manifest(self) -> dict[str, Any]:
        """Return the entry of `additionalPrinterColumns`."""
        priority = {"priority": 1} if self.wide else {}
        described = {"description": self.description} if self.description else {}
        return {"name": self.name, "type": self.type, "jsonPath": self.path, **described, **priority}


_READY: Final = (
    Column(
        "Ready", "string", '.status.conditions[?(@.type=="Ready")].status', "Whether all that it asks for is there."
    ),
    Column("Reason", "string", '.status.conditions[?(@.type=="Ready")].reason', "Why, in one word."),
)
_AGE: Final = Column("Age", "date", ".metadata.creationTimestamp", "")
_MESSAGE: Final = Column(
    "Message", "string", '.status.conditions[?(@.type=="Ready")].message', "Why, in a sentence.", wide=True
)
_DEAD_LETTERS: Final = Column(
    "Dead Letters", "integer", ".status.deadLetters", "Dead letters that are kept.", wide=True
)

_CHOREOGRAPHY_COLUMNS: Final = (
    *_READY,
    Column("Services", "integer", ".status.services", "Number of services."),
    Column("Reactions", "integer", ".status.reactions", "Number of reactions."),
    Column("Bus", "string", ".spec.bus", "Name of its EventBus.", wide=True),
    Column("Lag", "integer", ".status.lag", "Events that its reactions have yet to process.", wide=True),
    _DEAD_LETTERS,
    _MESSAGE,
    _AGE,
)
_EVENT_BUS_COLUMNS: Final = (
    *_READY,
    Column("Choreographies", "integer", ".status.choreographies", "Number of choreographies on the bus."),
    Column("Reactions", "integer", ".status.reactions", "Number of reactions on the bus."),
    Column("Replicas", "integer", ".spec.stream.replicas", "Copies of the streams.", wide=True),
    Column("Events", "integer", ".status.events", "Events that the stream holds.", wide=True),
    _DEAD_LETTERS,
    _MESSAGE,
    _AGE,
)


def choreographies() -> str:
    """Return the definition of Choreography."""
    names = _names("Choreography", "choreographies", "chor")
    schema = _resource(Choreography, ChoreographySpec, ChoreographyStatus)
    return _manifest(names, schema, _CHOREOGRAPHY_COLUMNS)


def event_buses() -> str:
    """Return the definition of EventBus."""
    return _manifest(
        _names("EventBus", "eventbuses", "ebus"), _resource(EventBus, EventBusSpec, EventBusStatus), _EVENT_BUS_COLUMNS
    )


def _names(kind: str, plural: str, short: str) -> dict[str, Any]:
    return {
        "kind": kind,
        "listKind": f"{kind}List",
        "plural": plural,
        "singular": kind.lower(),
        "shortNames": [short],
        "categories": [CATEGORY],
    }


def _resource(kind: type[BaseModel], spec: type[BaseModel], status: type[BaseModel]) -> Schema:
    """Return the schema of a whole object; its metadata are the API server's own business."""
    described = {name: field.description for name, field in kind.model_fields.items()}
    required = kind.model_fields["spec"].is_required()
    wanted = structural(spec) | {"description": described["spec"]}
    properties = {
        "apiVersion": {"description": described["api_version"], "type": "string"},
        "kind": {"description": described["kind"], "type": "string"},
        "metadata": {"type": "object"},
        "spec": wanted if required else defaulted(wanted),
        "status": structural(status) | {"description": described["status"]},
    }
    found: Schema = {"description": kind.__doc__, "type": "object", "properties": properties}
    if required:
        found["required"] = ["spec"]
    return with_rules(found, RULES.get(kind.__name__, ()))


def _manifest(names: dict[str, Any], schema: Schema, columns: tuple[Column, ...]) -> str:
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [column.as_manifest() for column in columns],
        "schema": {"openAPIV3Schema": schema},
    }
    manifest = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names['plural']}.{GROUP}"},
        "spec": {"group": GROUP, "names": names, "scope": "Namespaced", "versions": [version]},
    }
    return HEAD + yaml.dump(manifest, Dumper=_Plain, sort_keys=False, width=120, allow_unicode=True)


class _Plain(yaml.SafeDumper):
    """Writes the same thing twice rather than an anchor, which few people read."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True
