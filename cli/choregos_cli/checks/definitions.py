"""The definitions of our two kinds."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from choregos_cli.checks.catalogue import Line
from choregos_cli.checks.facts import Facts
from choregos_cli.checks.lines import Fault, judged
from choregos_cli.cluster.kubectl import Object

VERSION: Final = "v1alpha1"


def definitions(facts: Facts) -> Iterator[Line]:
    """Check the section."""
    yield from judged("crds-installed", facts.definitions, _installed)
    yield from judged("crds-version", facts.definitions, _version)


def established(definition: Object | None) -> bool:
    """Whether the API server takes objects of this kind."""
    return definition is not None and any(
        each["type"] == "Established" and each["status"] == "True"
        for each in (definition.get("status") or {}).get("conditions") or ()
    )


def _installed(found: Mapping[str, Object | None]) -> Iterable[Fault]:
    for name, definition in found.items():
        if definition is None:
            yield Fault(f"the definition {name} is missing")
        elif not established(definition):
            yield Fault(f"the definition {name} is not established")


def _version(found: Mapping[str, Object | None]) -> Iterable[Fault]:
    for name, definition in found.items():
        if definition is None:
            continue
        versions: list[dict[str, Any]] = definition["spec"]["versions"]
        ours = next((each for each in versions if each["name"] == VERSION), {})
        if not ours.get("served"):
            yield Fault(f"{name} does not serve {VERSION}, but {', '.join(each['name'] for each in versions)}")
        elif not ours.get("storage"):
            yield Fault(f"{name} serves {VERSION} and stores another version")
