"""From the text of a file to resources, and from a finding back to its line.

`load` goes in stages: the YAML, the kind and version, the fields. A document that fails in one stage is not looked at
by the next, so that one mistake is told once. What the fields must be to one another is checked by `checks`, which
works on the resources alone; `Loaded.locate` then says where in the file its findings are.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pydantic import ValidationError

from choregos_contract.event_bus import EventBus
from choregos_contract.findings import Finding, closest, finding
from choregos_contract.resources import API_VERSION, Choreography
from choregos_contract.sentences import explain
from choregos_contract.source import Document, NotYaml, Place, read

_KINDS: Final[dict[str, type[Choreography] | type[EventBus]]] = {"Choreography": Choreography, "EventBus": EventBus}
_PLANNED_KINDS: Final = ("EventSchema", "Replay")


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a file holds: its resources, and the findings of loading it, by line."""

    file: str
    resources: tuple[Choreography | EventBus, ...] = ()
    findings: tuple[Finding, ...] = ()
    documents: Mapping[str, Document] = field(default_factory=dict)
    """The document of each resource, by the resource's identity."""

    @property
    def choreographies(self) -> tuple[Choreography, ...]:
        """The choreographies among the resources."""
        return tuple(resource for resource in self.resources if isinstance(resource, Choreography))

    @property
    def buses(self) -> tuple[EventBus, ...]:
        """The buses among the resources."""
        return tuple(resource for resource in self.resources if isinstance(resource, EventBus))

    def locate(self, found: Finding) -> Finding:
        """Return a finding with file, line and column, if it is about a resource of this file; else as it is."""
        document = self.documents.get(found.resource or "")
        return _placed(found, document, self.file) if document and found.file is None else found

    def locate_all(self, found: Iterable[Finding]) -> list[Finding]:
        """Return findings with their places, by line."""
        return sorted((self.locate(each) for each in found), key=_by_line)


def load(text: str, file: str) -> Loaded:
    """Return the resources in a text of one or more YAML documents; `file` is only named in findings, never opened."""
    try:
        documents = read(text)
    except NotYaml as refusal:
        return Loaded(file, findings=(replace(refusal.finding, file=file),))
    if not documents:
        nothing = finding(
            "empty-document", (), "there is no resource in this file", "write a Choreography or an EventBus"
        )
        return Loaded(file, findings=(replace(nothing, file=file, line=1, column=1),))
    resources: dict[str, Choreography | EventBus] = {}
    kept: dict[str, Document] = {}
    findings: list[Finding] = []
    for document in documents:
        outcome = _resource(document)
        if not isinstance(outcome, list) and outcome.identity in resources:
            message = f"{outcome.identity} stands in this file a second time"
            outcome = [finding("duplicate-resource", ("metadata", "name"), message, "rename or remove one of them")]
        if isinstance(outcome, list):
            findings.extend(_placed(each, document, file) for each in outcome)
        else:
            resources[outcome.identity] = outcome
            kept[outcome.identity] = document
    return Loaded(file, tuple(resources.values()), tuple(sorted(findings, key=_by_line)), kept)


def resource_of(value: object) -> Choreography | EventBus | list[Finding]:
    """Return the resource that an object from the Kubernetes API stands for, or what is wrong with it."""
    return _resource(Document(value, {(): Place(1, 1)}))


def _resource(document: Document) -> Choreography | EventBus | list[Finding]:
    if document.findings:
        return list(document.findings)
    value = document.value
    if not isinstance(value, dict):
        message = "a resource is a mapping with apiVersion, kind, metadata and spec"
        return [finding("wrong-type", (), message, "write these fields at the left margin")]
    if refusal := _head(value):
        return [refusal]
    model = _KINDS[value["kind"]]
    try:
        return model.model_validate(value, by_alias=True, by_name=False)
    except ValidationError as error:
        return explain(error, model, document)


def _head(value: dict[str, Any]) -> Finding | None:
    """Return what is wrong with kind and apiVersion; a misspelt key of theirs is told as such."""
    for key in ("apiVersion", "kind"):
        if key not in value:
            other = next((name for name in value if closest(name, [key])), None)
            if other is None:
                return finding("missing-field", (key,), f'the field "{key}" is missing', f'add "{key}"')
            return finding("unknown-field", (other,), f'there is no field "{other}" here', f'did you mean "{key}"?')
    kind, version = str(value["kind"]), value["apiVersion"]
    if version != API_VERSION:
        return finding("unknown-version", ("apiVersion",), f'"{version}" is not known here', f'write "{API_VERSION}"')
    if kind in _PLANNED_KINDS:
        return finding("not-in-v1alpha1", ("kind",), f"the kind {kind} is not in v1alpha1", "remove the document")
    if kind not in _KINDS:
        meant = closest(kind, _KINDS)
        hint = f'did you mean "{meant}"?' if meant else "write Choreography or EventBus"
        return finding("unknown-kind", ("kind",), f'there is no kind "{kind}"', hint)
    return None


def _placed(found: Finding, document: Document, file: str) -> Finding:
    if found.line is not None:
        return replace(found, file=file)
    place = document.place(found.path)
    return replace(found, file=file, line=place.line, column=place.column)


def _by_line(found: Finding) -> tuple[str, int, int]:
    return (found.file or "", found.line or 0, found.column or 0)
