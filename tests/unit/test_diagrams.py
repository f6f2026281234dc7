"""The drawings show every service, event and way between them, and no name can break them."""

import html
import json
import re
from pathlib import Path

import pytest

from choregos_contract.diagrams import Format, render
from choregos_contract.document import load
from choregos_contract.graph import Graph, graph_of

DRONES = (Path(__file__).parents[2] / "examples/drone-delivery/choreography.yaml").read_text("utf-8")
# Words of both drawing languages as names, and everything that a path may hold and a label may not.
HOSTILE_PATH = """/a"b<br/>c?x=1&y=;%%{}[](){|}`*_~style:x\\né€"""
HOSTILE = """\
apiVersion: choregos.dev/v1alpha1
kind: Choreography
metadata: {name: end}
spec:
  events: {end: {}, graph: {external: true}, style.click: {outcome: completed}, subgraph-x_: {outcome: failed}}
  services:
    end:
      emits: [end]
      reactions: [{event: end, path: PATH, emits: [style.click, subgraph-x_], onFailure: subgraph-x_}]
    class: {reactions: [{event: graph, emits: [subgraph-x_]}]}
""".replace("PATH", json.dumps(HOSTILE_PATH))

COMPLETED_IN_DOT = (
    'e3 [label="DeliveryScheduled", shape=box, style="rounded,filled", fillcolor="#e3f6e5", color="#2e7d32", '
    "penwidth=3, peripheries=2];"
)
COMPENSATION_IN_DOT = (
    'r3 [label="POST /packages/removals\\nundoes DeliveryRequested", shape=box, style="filled,dashed", '
    'fillcolor="#fff6e0", color="#a66a00"];'
)


def graph(text: str) -> Graph:
    loaded = load(text, "f")
    assert loaded.findings == ()
    return graph_of(loaded.choreographies)


@pytest.mark.parametrize(
    "line",
    [
        'e0(["DeliveryRequested"]):::event',
        'e3[["DeliveryScheduled"]]:::completed',
        'e5[["PackageRemoved"]]:::failed',
        'subgraph s1["package"]',
        'r2["POST /packages"]:::reaction',
        'r3["POST /packages/removals<br/>undoes DeliveryRequested"]:::compensation',
        "p0 --> e0",
        "e0 --> r2",
        "r4 --> e2",
        'r4 -. "fails" .-> e4',
    ],
)
def test_mermaid_tells_outcomes_failures_and_compensations_apart(line: str) -> None:
    assert line in [each.strip() for each in render(graph(DRONES), "mermaid").splitlines()]


@pytest.mark.parametrize(
    "line",
    [
        COMPLETED_IN_DOT,
        COMPENSATION_IN_DOT,
        'label="package";',
        "p0 -> e0;",
        'r4 -> e4 [style=dotted, color="#b3261e", label="fails"];',
    ],
)
def test_dot_tells_outcomes_failures_and_compensations_apart(line: str) -> None:
    assert line in [each.strip() for each in render(graph(DRONES), "dot").splitlines()]


def test_no_name_or_path_can_break_a_mermaid_drawing() -> None:
    drawing = render(graph(HOSTILE), "mermaid")
    for line in drawing.splitlines():
        text = line.strip()
        assert re.fullmatch(
            r"flowchart LR|end|classDef \w+ [\w:#, -]+"
            r"|subgraph s\d+\[\"[^\"]+\"\]"
            r"|[epr]\d+(\(\[|\[\[|\[)\"(?:[\w ./?=,+@-]|#\d+;|<br/>)+\"(\]\)|\]\]|\]):::\w+"
            r"|[epr]\d+ (-->|-\. \"fails\" \.->) [epr]\d+",
            text,
        ), text
    label = re.search(r'r0\["([^"]*)"\]', drawing)
    assert label
    assert html.unescape(label[1].replace("#", "&#")) == f"POST {HOSTILE_PATH}"


def test_no_name_or_path_can_break_a_dot_drawing() -> None:
    label = re.search(r'r0 \[label="((?:[^"\\]|\\.)*)", shape', render(graph(HOSTILE), "dot"))
    assert label
    assert re.sub(r"\\(.)", r"\1", label[1]) == f"POST {HOSTILE_PATH}"


def test_json_holds_the_whole_graph() -> None:
    value = json.loads(render(graph(DRONES), "json"))
    assert [event["name"] for event in value["events"] if event["entry"]] == ["DeliveryRequested"]
    assert {event["name"]: event["kind"] for event in value["events"]}["PackageRemoved"] == "failed"
    assert value["services"][0] == {"name": "ingestion", "publishes": ["DeliveryRequested"]}
    assert value["reactions"][4] == {
        "choreography": "drone-delivery",
        "service": "dronescheduler",
        "event": "PackageCreated",
        "path": "/drones",
        "emits": ["DroneAssigned", "DroneUnavailable"],
        "onSuccess": None,
        "onFailure": "DroneUnavailable",
        "compensates": None,
    }


@pytest.mark.parametrize("to", ["mermaid", "dot", "json"])
def test_a_drawing_changes_only_with_what_it_shows(to: Format) -> None:
    drawing = render(graph(DRONES), to)
    assert drawing == render(graph(DRONES), to)
    assert drawing.endswith("\n")
    assert drawing == render(graph(DRONES.replace("timeout: 5s", "timeout: 6s")), to)


@pytest.mark.parametrize("to", ["mermaid", "dot", "json"])
def test_a_graph_with_an_undeclared_event_can_be_drawn(to: Format) -> None:
    assert "PackageCreatd" in render(graph(DRONES.replace("event: PackageCreated", "event: PackageCreatd")), to)
