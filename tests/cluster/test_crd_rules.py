"""What the API server refuses by the CustomResourceDefinitions alone: rules with a sentence, and every bound."""

from typing import Any

import pytest

from choregos_contract.document import resource_of
from support import crds
from support.cluster import Cluster
from support.resource_manifests import (
    REACTION,
    Manifest,
    bus,
    changed,
    documents,
    many,
    orders,
    refusal,
    spec_of,
    stored_of,
)

NOW = "2026-01-31T12:00:00Z"
TOO_LONG = "a" * 64


@pytest.fixture(scope="module", autouse=True)
def definitions(cluster: Cluster) -> None:
    crds.install(cluster)


RULES = [
    (
        changed(orders(), "spec/events/OrderPlaced", None),
        "spec.services:",
        "the event OrderPlaced is not declared; declare it under spec.events, with at least `{}`",
    ),
    (changed(orders(), "spec/events/Order placed", {}), "spec.events:", "Order placed cannot stand here; begin with"),
    (changed(orders(), "spec/events/" + "a" * 101, {}), "spec.events:", "cannot stand here; begin with a letter"),
    (changed(orders(), "spec/services/Payment", {}), "spec.services:", "Payment cannot stand here; write at most 63"),
    (
        changed(orders(), "spec/services/payment/emits", ["OrderSent"]),
        "spec.services:",
        "the event OrderSent is not declared; declare it under spec.events",
    ),
    (changed(orders(), f"{REACTION}/event", "OrderSent"), "spec.services:", "the event OrderSent is not declared;"),
    (
        changed(orders(), f"{REACTION}/emits", ["PaymentTaken", "OrderSent"]),
        "spec.services:",
        "the event OrderSent is not declared;",
    ),
    (
        changed(orders(), f"{REACTION}/onSuccess", "OrderPlaced"),
        "spec.services[payment].reactions[0].onSuccess:",
        "onSuccess names OrderPlaced, which is not among the events that this reaction emits; add it to emits",
    ),
    (
        changed(orders(), f"{REACTION}/onFailure", "OrderPlaced"),
        "spec.services[payment].reactions[0].onFailure:",
        "onFailure names OrderPlaced, which is not among the events that this reaction emits; add it to emits",
    ),
    (
        changed(orders(), f"{REACTION}/compensates", "OrderPlaced"),
        "spec.services[payment].reactions:",
        "compensates names OrderPlaced, which this service has no other reaction to; name",
    ),
    (
        changed(orders(), "spec/services/payment/reactions/1/event", "OrderPlaced"),
        "spec.services[payment].reactions[1]:",
        'Duplicate value: {"event":"OrderPlaced"}',
    ),
    (
        changed(orders(), f"{REACTION}/delivery", {"reject": [400, 404], "retryOn": [404]}),
        "spec.services[payment].reactions[0].delivery.retryOn:",
        "the status 404 stands in reject and in retryOn; keep it in one of them",
    ),
    (
        orders(delivery={"reject": [400], "retryOn": [400]}),
        "spec.delivery.retryOn:",
        "the status 400 stands in reject and in retryOn; keep it in one of them",
    ),
    (orders(delivery={"timeout": "0m0s"}), "spec.delivery.timeout:", "too short; write at least 1ms"),
    (orders(delivery={"timeout": "36500d1ms"}), "spec.delivery.timeout:", "too long; write at most 36500d"),
    (orders(delivery={"timeout": "999999999h"}), "spec.delivery.timeout:", "too long; write at most 36500d"),
    (orders(delivery={"maxReplyBytes": "0Mi"}), "spec.delivery.maxReplyBytes:", "too small; write at least 1 byte"),
    (
        changed(orders(), f"{REACTION}/startFrom", "2026-02-30T12:00:00Z"),
        "spec.services[payment].reactions[0].startFrom:",
        "this day or hour does not exist; write a time such as 2026-01-31T12:00:00Z",
    ),
    (bus("fast.er"), "", "metadata.name, the name of an EventBus, is not a DNS label; write at most 63"),
    (bus(TOO_LONG), "", "metadata.name, the name of an EventBus, is not a DNS label; write at most 63"),
    (
        bus(stream={"duplicateWindow": "24h1ms", "maxAge": "1d"}),
        "spec.stream.duplicateWindow:",
        "duplicateWindow is longer than maxAge; shorten it",
    ),
]


@pytest.mark.parametrize(("manifest", "field", "sentence"), RULES, ids=[f"{f}{s[:20]}" for _, f, s in RULES])
def test_a_rule_refuses_with_the_field_what_is_wrong_and_the_mend(
    cluster: Cluster, namespace: str, manifest: Manifest, field: str, sentence: str
) -> None:
    said = refusal(cluster, manifest, namespace)
    assert field in said
    assert sentence in said


def declaring(count: int, **service: Any) -> Manifest:
    return orders(events={event: {} for event in many(count)}, services={"s": service})


BOUNDS = [
    (declaring(256), True),
    (declaring(257), False),
    (orders(services={f"s{number}": {} for number in range(128)}), True),
    (orders(services={f"s{number}": {} for number in range(129)}), False),
    (declaring(100, emits=many(64)), True),
    (declaring(100, emits=many(65)), False),
    (declaring(100, reactions=[{"event": event} for event in many(64)]), True),
    (declaring(100, reactions=[{"event": event} for event in many(65)]), False),
    (declaring(100, reactions=[{"event": "E0", "emits": many(64)}]), True),
    (declaring(100, reactions=[{"event": "E0", "emits": many(65)}]), False),
    (declaring(3, emits=["E0", "E0"]), True),
    (changed(orders(), "spec/events/" + "a" * 100, {}), True),
    (changed(orders(), "spec/events/a." + "1." * 14 + "1", {}), True),
    (changed(orders(), "spec/events/a." + "1." * 15 + "1", {}), False),
    (changed(orders(), "spec/events/1a", {}), False),
    (changed(orders(), "spec/services/" + "a" * 63, {}), True),
    (changed(orders(), "spec/services/" + TOO_LONG, {}), False),
    (orders(bus="a" * 63), True),
    (orders(bus=TOO_LONG), False),
    (orders(bus="a.b"), False),
    *((orders(delivery={"reject": list(range(400, 400 + count))}), count <= 16) for count in (16, 17)),
    *((orders(delivery={"retryOn": [status]}), 300 <= status < 600) for status in (299, 300, 599, 600)),
    *((orders(delivery={"retry": number}), 0 <= number <= 100) for number in (-1, 0, 100, 101)),
    *((orders(delivery={"concurrency": number}), 1 <= number <= 1000) for number in (0, 1, 1000, 1001)),
    *((orders(delivery={"maxInFlight": number}), 1 <= number <= 10**6) for number in (0, 1, 10**6, 10**6 + 1)),
    *((orders(delivery={"timeout": text}), True) for text in ("1ms", "1d2h3m4s5ms", "36500d", "876000h", "90s")),
    *((orders(delivery={"timeout": text}), False) for text in ("30", "", "1.5h", "5 s", "1s1m", "-1s", "36501d", 30)),
    *((orders(delivery={"maxReplyBytes": size}), True) for size in (1, 65536, "65536", "64Ki", "1M", "1k")),
    *((orders(delivery={"maxReplyBytes": size}), False) for size in (0, -1, "1K", "1Mb", "", "1.5Mi", "0")),
    *((changed(orders(), f"{REACTION}/path", path), True) for path in ("/", "/a?b=c", "/" + "a" * 1023)),
    *((changed(orders(), f"{REACTION}/path", path), False) for path in ("a", "/a b", "/a#b", "/" + "a" * 1024)),
    *((changed(orders(), f"{REACTION}/port", port), 1 <= port <= 65535) for port in (0, 1, 65535, 65536)),
    *((changed(orders(), f"{REACTION}/startFrom", text), True) for text in ("all", NOW, "2024-02-29t01:02:03.5+02:00")),
    *(
        (changed(orders(), f"{REACTION}/startFrom", text), False)
        for text in ("now", "2026-01-31", "2023-02-29T01:02:03Z")
    ),
    (changed(orders(), f"{REACTION}/idempotency", {"ttl": "1d"}), True),
    (changed(orders(), f"{REACTION}/idempotency", {}), False),
    (changed(orders(), f"{REACTION}/required", "true"), False),
    (changed(orders(), "spec/events/OrderPlaced/outcome", "maybe"), False),
    (changed(orders(), "spec/events/OrderPlaced/description", "a" * 1025), False),
    *((bus(servers=[f"nats://nats-{number}:4222" for number in range(count)]), count <= 16) for count in (16, 17)),
    *((bus(servers=[server]), True) for server in ("tls://nats.nats", "wss://nats:443/")),
    *(
        (bus(servers=[server]), False)
        for server in ("nats", "http://nats", "nats://nats/path", "nats://u:p@nats:4222", "nats://token@nats")
    ),
    *((bus(stream={"prefix": prefix}), len(prefix) <= 16) for prefix in ("a" * 16, "a" * 17)),
    *((bus(stream={"replicas": number}), 1 <= number <= 5) for number in (0, 1, 5, 6)),
    *((bus(stream={"shards": number}), 1 <= number <= 4096) for number in (0, 1, 4096, 4097)),
    *((bus(stream={"partitions": number}), 1 <= number <= 256) for number in (0, 1, 256, 257)),
    (bus(stream={"maxAge": "1h", "duplicateWindow": "3600s"}), True),
    (bus(stream={"maxAge": "1h", "duplicateWindow": "3601s"}), False),
    (bus(stream={"maxAge": "5m"}), False),
    (bus(tls={"serverName": "nats.example.com"}), True),
    (bus(tls={"serverName": "nats..example.com"}), False),
]


def test_the_api_server_and_the_models_agree_about_what_is_right(cluster: Cluster, namespace: str) -> None:
    manifests = [manifest for manifest, right in BOUNDS if right]
    for manifest, stored in zip(manifests, stored_of(cluster, manifests, namespace), strict=True):
        assert spec_of(stored) == spec_of(manifest)


def test_the_api_server_and_the_models_agree_about_what_is_wrong(cluster: Cluster, namespace: str) -> None:
    wrong = {f"case-{number}": manifest for number, (manifest, right) in enumerate(BOUNDS) if not right}
    named = [changed(manifest, "metadata/name", name) for name, manifest in wrong.items()]
    said = cluster.kubectl_fails("create", "--filename=-", f"--namespace={namespace}", stdin=documents(named))
    for name, manifest in wrong.items():
        assert isinstance(resource_of(manifest), list), manifest["spec"]
        assert f'"{name}" is invalid' in said, manifest["spec"]
