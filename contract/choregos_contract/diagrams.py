"""The graph of choreographies as a picture: for Mermaid, for Graphviz, and as JSON for other programs.

A service is a box with its reactions in it; events stand between the boxes, outcomes are marked. A dotted line is
emitted when delivery finally fails, a dashed reaction undoes what its service did before. The order is that of the
documents, so that a drawing changes only with what it shows.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Final, Literal

from choregos_contract.graph import Graph, Step

Format = Literal["mermaid", "dot", "json"]

_MERMAID_CLASSES: Final = (
    "classDef event fill:#eef4ff,stroke:#4a6fa5,color:#1b2a41",
    "classDef external fill:#ffffff,stroke:#4a6fa5,stroke-dasharray:2 3,color:#1b2a41",
    "classDef completed fill:#e3f6e5,stroke:#2e7d32,stroke-width:3px,color:#12351a",
    "classDef failed fill:#fde8e8,stroke:#b3261e,stroke-width:3px,color:#4a0f0b",
    "classDef reaction fill:#ffffff,stroke:#555555,color:#222222",
    "classDef compensation fill:#fff6e0,stroke:#a66a00,stroke-dasharray:6 3,color:#4a3000",
)
_DOT_EVENTS: Final = {
    "event": 'style="rounded,filled", fillcolor="#eef4ff", color="#4a6fa5"',
    "external": 'style="rounded,dashed", color="#4a6fa5"',
    "completed": 'style="rounded,filled", fillcolor="#e3f6e5", color="#2e7d32", penwidth=3',
    "failed": 'style="rounded,filled", fillcolor="#fde8e8", color="#b3261e", penwidth=3',
}
_DOT_REACTIONS: Final = {
    "reaction": 'style=filled, fillcolor="#ffffff"',
    "compensation": 'style="filled,dashed", fillcolor="#fff6e0", color="#a66a00"',
}


def render(graph: Graph, to: Format) -> str:
    """Return the graph in one of the three formats, ending with a line feed."""
    formats: dict[Format, Callable[[Graph], str]] = {"mermaid": mermaid, "dot": dot, "json": as_json}
    return formats[to](graph)


def mermaid(graph: Graph) -> str:
    """Return a Mermaid flowchart."""
    events = _event_ids(graph)
    lines = ["flowchart LR", *(f"  {line}" for line in _MERMAID_CLASSES)]
    for name, node in events.items():
        kind = _event_kind(graph, name)
        opening, closing = ('[["', '"]]') if kind in ("completed", "failed") else ('(["', '"])')
        lines.append(f"  {node}{opening}{_entities(name)}{closing}:::{kind}")
    for number, service in enumerate(graph.services):
        lines.append(f'  subgraph s{number}["{_entities(service)}"]')
        if _publishes(graph, service):
            lines.append(f'    p{number}(["publishes"]):::reaction')
        lines += [
            f'    {node}["{"<br/>".join(map(_entities, _label(step)))}"]:::{_step_kind(step)}'
            for node, step in _steps(graph)
            if step.service == service
        ]
        lines.append("  end")
    arrows = {"emits": "-->", "fails": '-. "fails" .->'}
    lines += [f"  {start} {arrows[kind]} {end}" for start, end, kind in _edges(graph, events)]
    return "\n".join(lines) + "\n"


def dot(graph: Graph) -> str:
    """Return a Graphviz digraph."""
    events = _event_ids(graph)
    lines = [
        "digraph choreography {",
        "  rankdir=LR;",
        '  node [fontname="sans-serif"];',
        '  edge [fontname="sans-serif"];',
    ]
    for name, node in events.items():
        kind = _event_kind(graph, name)
        rim = ", peripheries=2" if kind in ("completed", "failed") else ""
        lines.append(f"  {node} [label={_dot_text(name)}, shape=box, {_DOT_EVENTS[kind]}{rim}];")
    for number, service in enumerate(graph.services):
        lines += [f"  subgraph cluster_{number} {{", f"    label={_dot_text(service)};"]
        if _publishes(graph, service):
            lines.append(f'    p{number} [label="publishes", shape=plaintext];')
        lines += [
            f"    {node} [label={_dot_text(*_label(step))}, shape=box, {_DOT_REACTIONS[_step_kind(step)]}];"
            for node, step in _steps(graph)
            if step.service == service
        ]
        lines.append("  }")
    styles = {"emits": "", "fails": ' [style=dotted, color="#b3261e", label="fails"]'}
    lines += [f"  {start} -> {end}{styles[kind]};" for start, end, kind in _edges(graph, events)]
    return "\n".join([*lines, "}"]) + "\n"


def as_json(graph: Graph) -> str:
    """Return the graph as one JSON object: events, services with what they publish, and reactions."""
    events = [
        {
            "name": name,
            "kind": _event_kind(graph, name),
            "description": next((event.description for event in graph.events if event.name == name), ""),
            "entry": name in graph.entries,
        }
        for name in _event_ids(graph)
    ]
    reactions = [
        {
            "choreography": step.choreography,
            "service": step.service,
            "event": step.event,
            "path": step.reaction.path,
            "emits": step.emits,
            "onSuccess": step.reaction.on_success,
            "onFailure": step.reaction.on_failure,
            "compensates": step.reaction.compensates,
        }
        for step in graph.steps
    ]
    services = [{"name": service, "publishes": _publishes(graph, service)} for service in graph.services]
    return json.dumps({"events": events, "services": services, "reactions": reactions}, indent=2) + "\n"


def _edges(graph: Graph, events: dict[str, str]) -> Iterator[tuple[str, str, Literal["emits", "fails"]]]:
    publishers = {service: f"p{number}" for number, service in enumerate(graph.services)}
    for publication in graph.publications:
        yield publishers[publication.service], events[publication.event], "emits"
    for node, step in _steps(graph):
        yield events[step.event], node, "emits"
        for name in step.emits:
            yield node, events[name], "fails" if name == step.reaction.on_failure else "emits"


def _event_ids(graph: Graph) -> dict[str, str]:
    """Name the nodes of the events by number, so that no event's name can be a word of the drawing language."""
    return {name: f"e{number}" for number, name in enumerate(graph.successors)}


def _steps(graph: Graph) -> Iterator[tuple[str, Step]]:
    return ((f"r{number}", step) for number, step in enumerate(graph.steps))


def _publishes(graph: Graph, service: str) -> list[str]:
    return [publication.event for publication in graph.publications if publication.service == service]


def _event_kind(graph: Graph, name: str) -> Literal["event", "external", "completed", "failed"]:
    event = next((event for event in graph.events if event.name == name), None)
    if event is None or event.outcome is None:
        return "external" if event is not None and event.external else "event"
    return event.outcome


def _step_kind(step: Step) -> Literal["reaction", "compensation"]:
    return "compensation" if step.reaction.compensates else "reaction"


def _label(step: Step) -> list[str]:
    undone = step.reaction.compensates
    return [f"POST {step.reaction.path}", *([f"undoes {undone}"] if undone else [])]


def _entities(text: str) -> str:
    """Write everything that Mermaid could read as markup, or as the start of a style, as numbered entities."""
    return re.sub(r"[^\w ./?=,+@-]", lambda match: f"#{ord(match[0])};", text)


def _dot_text(*lines: str) -> str:
    escaped = (line.replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    return '"{}"'.format("\\n".join(escaped))
