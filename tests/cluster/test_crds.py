"""The CustomResourceDefinitions on a real API server: what it takes, refuses, fills in, keeps and shows."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from choregos_contract.status import ChoreographyStatus, Condition, EventBusStatus, Orphan
from support import crds
from support.cluster import Cluster
from support.kubectl import KubectlError
from support.resource_manifests import REACTION, Manifest, bus, changed, many, orders, refusal, spec_of, stored_of
from support.waiting import eventually

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*/choreography.yaml"))
NOW = "2026-01-31T12:00:00Z"
TOO_LONG = "a" * 64


@pytest.fixture(scope="module", autouse=True)
def definitions(cluster: Cluster) -> None:
    crds.install(cluster)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.parent.name)
def test_the_examples_are_applied_as_they_stand_and_mean_the_same_when_they_are_read_back(
    cluster: Cluster, namespace: str, file: Path
) -> None:
    (document,) = yaml.safe_load_all(file.read_text())
    document["metadata"]["namespace"] = namespace
    cluster.kubectl("apply", "--filename=-", stdin=json.dumps(document))
    stored = cluster.get("chor", document["metadata"]["name"], "--namespace", namespace)
    assert spec_of(stored) == spec_of(document)
    assert stored["spec"]["services"].keys() == document["spec"]["services"].keys()


def test_kubectl_get_shows_the_figures_and_with_wide_also_those_of_the_bus(cluster: Cluster, namespace: str) -> None:
    cluster.apply(orders(), namespace=namespace)
    ready = Condition(type="Ready", status="False", reason="BusAway", message="no", last_transition_time=NOW)
    orphan = Orphan(reaction="payment/OrderGone", pending=3, since=NOW)
    status = ChoreographyStatus(
        observed_generation=1, conditions=(ready,), services=1, reactions=2, lag=7, dead_letters=4, orphaned=(orphan,)
    ).as_reported()
    patch = json.dumps({"status": status})
    cluster.kubectl(
        "patch", "chor", "orders", "-n", namespace, "--subresource=status", "--type=merge", f"--patch={patch}"
    )
    assert cluster.get("chor", "orders", "-n", namespace)["status"] == status
    header, row = cluster.kubectl("get", "chor", "-n", namespace).splitlines()
    assert header.split() == ["NAME", "READY", "REASON", "SERVICES", "REACTIONS", "AGE"]
    assert row.split()[:5] == ["orders", "False", "BusAway", "1", "2"]
    header, row = cluster.kubectl("get", "choregos", "-n", namespace, "--output=wide").splitlines()
    assert "BUS" in header
    assert "LAG   DEAD LETTERS   MESSAGE" in header
    assert row.split()[5:9] == ["default", "7", "4", "no"]


def test_kubectl_get_shows_a_bus_by_its_short_name(cluster: Cluster, namespace: str) -> None:
    cluster.apply(bus(), namespace=namespace)
    ready = Condition(type="Ready", status="True", reason="Wired", last_transition_time=NOW)
    status = EventBusStatus(conditions=(ready,), choreographies=2, reactions=5, events=9, dead_letters=0)
    patch = json.dumps({"status": status.as_reported()})
    cluster.kubectl(
        "patch", "ebus", "fast", "-n", namespace, "--subresource=status", "--type=merge", f"--patch={patch}"
    )
    header, row = cluster.kubectl("get", "ebus", "-n", namespace).splitlines()
    assert header.split() == ["NAME", "READY", "REASON", "CHOREOGRAPHIES", "REACTIONS", "AGE"]
    assert row.split()[:5] == ["fast", "True", "Wired", "2", "5"]
    assert "REPLICAS   EVENTS   DEAD LETTERS" in cluster.kubectl("get", "ebus", "-n", namespace, "--output=wide")


def test_a_status_in_a_manifest_is_not_stored_and_one_that_is_written_does_not_count_as_an_edit(
    cluster: Cluster, namespace: str
) -> None:
    cluster.apply(orders() | {"status": {"services": 99}}, namespace=namespace)
    assert "status" not in cluster.get("chor", "orders", "-n", namespace)
    patch = '--patch={"status":{"services":1}}'
    cluster.kubectl("patch", "chor", "orders", "-n", namespace, "--subresource=status", "--type=merge", patch)
    assert cluster.get("chor", "orders", "-n", namespace)["metadata"]["generation"] == 1


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("chor", "Which service reacts to which event"),
        ("chor.spec.services", "The services, by the name that pods carry"),
        ("chor.spec.services.reactions.startFrom", "Where a reaction that is added later begins"),
        ("chor.spec.delivery.timeout", "Time for one HTTP attempt."),
        ("chor.status.lag", "yet to process"),
        ("ebus.spec.stream.shards", "Modulus of the shard"),
        ("ebus.status.conditions.message", "with the mend"),
    ],
)
def test_kubectl_explains_every_field(cluster: Cluster, field: str, words: str) -> None:
    """The API server publishes the schema of a new definition a while after it takes objects of it."""

    def explained() -> str:
        with suppress(KubectlError):
            return cluster.kubectl("explain", field)
        return ""

    assert words in " ".join(eventually(explained, f"{field} is explained").split())


def test_defaults_are_filled_in_as_users_spell_them_and_empty_ones_are_left_out(
    cluster: Cluster, namespace: str
) -> None:
    (stored,) = stored_of(cluster, [orders()], namespace)
    spec = stored["spec"]
    assert spec["bus"] == "default"
    assert spec["delivery"] == {
        "timeout": "30s",
        "retry": 5,
        "backoffDelay": "2s",
        "backoffMax": "1m",
        "concurrency": 16,
        "maxInFlight": 10000,
        "maxReplyBytes": "1Mi",
    }
    assert spec["events"] == orders()["spec"]["events"]
    assert spec["services"]["payment"]["reactions"][1] == {"event": "PaymentTaken", "path": "/", "startFrom": "created"}


@pytest.mark.parametrize("spec", [None, {}, {"stream": {}}, {"stream": {"maxAge": "1d"}, "deadLetters": {}}])
def test_a_bus_that_leaves_out_its_settings_has_the_documented_ones(
    cluster: Cluster, namespace: str, spec: Manifest | None
) -> None:
    manifest = bus() | {"spec": spec}
    if spec is None:
        del manifest["spec"]
    (stored,) = stored_of(cluster, [manifest], namespace)
    assert spec_of(stored) == spec_of(manifest)
    assert stored["spec"]["stream"]["prefix"] == "choregos"
    assert stored["spec"]["deadLetters"] == {"maxAge": "30d", "maxBytes": "256Mi"}
    assert stored["spec"]["inbox"] == {"maxBytes": "256Mi"}


def test_applying_the_same_again_is_no_edit(cluster: Cluster, namespace: str) -> None:
    for options in (("apply",), ("apply", "--server-side", "--force-conflicts")):
        before = None
        for _ in range(2):
            cluster.kubectl(*options, "--filename=-", f"--namespace={namespace}", stdin=json.dumps(orders()))
            after = cluster.get("chor", "orders", "-n", namespace)["metadata"]
            assert after["generation"] == 1
            if before is not None:
                assert after["resourceVersion"] == before["resourceVersion"]
            before = after


@pytest.mark.parametrize("verb", ["create", "apply"])
def test_kubectl_names_a_field_that_does_not_exist(cluster: Cluster, namespace: str, verb: str) -> None:
    manifest = changed(orders(), f"{REACTION}/onSucces", "PaymentTaken")
    said = refusal(cluster, manifest, namespace, verb)
    assert 'unknown field "spec.services.payment.reactions[0].onSucces"' in said
    assert 'unknown field "spec.bsu"' in refusal(cluster, changed(orders(), "spec/bsu", "a"), namespace, verb)
    misspelt = changed(bus(), "spec/stream/maxSize", "1Gi")
    assert 'unknown field "spec.stream.maxSize"' in refusal(cluster, misspelt, namespace, verb)


OLD = {"prefix": "choregos", "storage": "file", "partitions": 16, "shards": 256}


@pytest.mark.parametrize(
    ("field", "value"), [("prefix", "other"), ("storage", "memory"), ("partitions", 8), ("shards", 64)]
)
@pytest.mark.parametrize("stream", [None, {"maxAge": "1d"}], ids=["defaulted", "written"])
def test_what_every_name_on_a_bus_hangs_on_is_never_changed(
    cluster: Cluster, namespace: str, field: str, value: Any, stream: Manifest | None
) -> None:
    cluster.apply(bus() if stream is None else bus(stream=stream), namespace=namespace)
    said = refusal(cluster, bus(stream={field: value}), namespace, "apply")
    assert f"spec.stream.{field}: Forbidden: {field} cannot be changed from {OLD[field]}: " in said
    assert "; set it back, or make another EventBus" in said
    cluster.apply(bus(stream={"maxAge": "2d", "replicas": 3}), namespace=namespace)


def test_where_a_reaction_started_is_never_changed_but_reactions_come_go_and_move(
    cluster: Cluster, namespace: str
) -> None:
    cluster.apply(orders(), namespace=namespace)
    edited = changed(orders(), f"{REACTION}/startFrom", "all")
    field = "spec.services[payment].reactions[0].startFrom"
    assert f"{field}: Forbidden: startFrom cannot be changed from created: " in refusal(
        cluster, edited, namespace, "apply"
    )
    added = changed(edited, f"{REACTION}/event", "OrderSent")
    added["spec"]["events"]["OrderSent"] = {"external": True}
    added["spec"]["services"]["payment"]["reactions"].append({"event": "OrderPlaced", "startFrom": "created"})
    added["spec"]["services"]["refund"] = {"reactions": [{"event": "OrderPlaced", "startFrom": "all"}]}
    cluster.apply(added, namespace=namespace)
    assert "cannot be changed from all" in refusal(
        cluster, changed(added, f"{REACTION}/startFrom", "created"), namespace, "apply"
    )
    cluster.apply(orders(), namespace=namespace)


def test_a_choreography_as_large_as_the_api_server_stores_is_taken(cluster: Cluster, namespace: str) -> None:
    """The bounds allow for more than fits; what fits must not exceed what rules may cost when they run."""
    events = many(256)
    reactions = [{"event": event, "emits": ["E0"], "onSuccess": "E0"} for event in events[:64]]
    manifest = orders(events={event: {} for event in events}, services={})
    manifest["spec"]["services"] = {f"service-{number}": {"reactions": reactions} for number in range(128)}
    cluster.kubectl("create", "--filename=-", "-n", namespace, stdin=json.dumps(manifest))
    stored = cluster.get("chor", "orders", "-n", namespace)
    assert sum(len(service["reactions"]) for service in stored["spec"]["services"].values()) == 128 * 64


def costlier(file: Path, times: int) -> str:
    """The definition, under another group, in which every rule and every sentence costs `times` as much."""

    def visit(node: Any) -> None:
        if isinstance(node, dict):
            if isinstance(rule := node.get("rule"), str):
                node["rule"] = " && ".join([f"({rule})"] * times)
            if sentence := node.get("messageExpression"):
                node["messageExpression"] = f"[{', '.join([f'({sentence})'] * times)}][0]"
        for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            visit(inner)

    manifest = yaml.safe_load(file.read_text().replace("choregos.dev", "costlier.choregos.dev"))
    visit(manifest)
    return json.dumps(manifest)


@pytest.mark.parametrize("file", crds.FILES, ids=lambda file: file.stem)
def test_every_rule_costs_less_than_half_of_what_the_api_server_allows(cluster: Cluster, file: Path) -> None:
    cluster.kubectl("create", "--dry-run=server", "--filename=-", stdin=costlier(file, 2))


def test_the_cost_of_rules_is_indeed_what_is_measured(cluster: Cluster) -> None:
    too_much = costlier(crds.CRDS / "choregos.dev_choreographies.yaml", 3)
    said = cluster.kubectl_fails("create", "--dry-run=server", "--filename=-", stdin=too_much)
    assert "estimated rule cost exceeds budget" in said
    assert "estimated messageExpression cost exceeds budget" in said
