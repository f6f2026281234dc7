"""The review that the API server posts and the one that it gets back, the answer to a pod, and the registration."""

import base64
import copy
import json
from collections.abc import Callable
from typing import Any

import jsonpatch
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from choregos_contract.configure import configurations
from choregos_contract.resources import Choreography
from choregos_operator.configured import configuration_hash
from choregos_operator.settings import Settings
from choregos_operator.store import Store
from choregos_operator.webhook import injecting
from choregos_operator.webhook.admission import (
    LONGEST_WARNING,
    LONGEST_WARNINGS,
    Answer,
    Cause,
    MalformedError,
    Refusal,
    fit,
    read,
    write,
)
from choregos_operator.webhook.registration import webhook_configurations
from support.admission_reviews import NAMESPACE, UID, choreography, event_bus, orders, request, review
from support.labelled_pods import PODS, SERVICE, SETTINGS, pod

Body = dict[str, Any]


def written(answer: Answer) -> Body:
    body: Body = json.loads(write(request(orders()), answer))
    assert (body["apiVersion"], body["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    assert body["response"]["uid"] == UID
    response: Body = body["response"]
    return response


# --- the review


def test_a_review_is_read_and_what_is_not_needed_is_let_pass() -> None:
    found = read(review(orders(), orders(name="old"), dryRun=True, requestKind={"kind": "x"}))
    assert (found.uid, found.operation, found.namespace, found.label) == (UID, "UPDATE", NAMESPACE, "orders")
    assert found.kind.kind == "Choreography"
    assert found.old_object is not None
    assert found.old_object["metadata"]["name"] == "old"


def test_an_object_whose_name_is_still_made_up_has_a_label_for_readers() -> None:
    assert request(pod()).label == "shop-*"


MALFORMED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "this is no AdmissionReview"),
    "not JSON": (b"<html>", "this is no AdmissionReview"),
    "not UTF-8": (b'{"kind": "\xff"}', "this is no AdmissionReview"),
    "a list": (b"[]", "this is no AdmissionReview"),
    "too deep": (b'{"apiVersion":"admission.k8s.io/v1","kind":' + b"[" * 100_000, "this is no AdmissionReview"),
    "no kind": (b"{}", "apiVersion"),
    "another version": (orjson.dumps({"apiVersion": "v1beta1", "kind": "AdmissionReview"}), "admission.k8s.io/v1"),
    "another kind": (orjson.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "Pod"}), "post an AdmissionReview"),
    "no request": (orjson.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}), "no request"),
    "no uid": (review(orders(), uid=None), "uid"),
    "an object that is a list": (review(orders(), object=[]), "object"),
}


@pytest.mark.parametrize(("body", "words"), MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_review_is_refused_with_a_sentence(body: bytes, words: str) -> None:
    with pytest.raises(MalformedError, match=words):
        read(body)


@given(st.binary(max_size=200))
def test_no_body_breaks_the_reader(body: bytes) -> None:
    with pytest.raises(MalformedError):
        read(body)


def test_a_plain_yes_says_nothing_else() -> None:
    assert written(Answer()) == {"uid": UID, "allowed": True}


def test_a_patch_travels_in_base64() -> None:
    patch = ({"op": "add", "path": "/metadata/labels/é", "value": "x"},)
    response = written(Answer(patch=patch))
    assert response["patchType"] == "JSONPatch"
    assert json.loads(base64.b64decode(response["patch"])) == list(patch)


def test_a_refusal_carries_its_causes_and_never_a_patch() -> None:
    refusal = Refusal("no", (Cause("why", "spec.x"),))
    response = written(Answer(refusal, patch=({"op": "remove", "path": "/spec"},), warnings=("careful",)))
    assert not response["allowed"]
    assert "patch" not in response
    status = response["status"]
    assert (status["code"], status["reason"], status["message"]) == (422, "Invalid", "no")
    assert status["details"]["kind"] == "Choreography"
    assert status["details"]["name"] == "orders"
    assert status["details"]["causes"] == [{"reason": "FieldValueInvalid", "message": "why", "field": "spec.x"}]
    assert response["warnings"] == ["careful"]


def test_an_endless_message_is_cut() -> None:
    assert len(written(Answer(Refusal("x" * 10_000)))["status"]["message"]) == 4096


def test_warnings_are_told_once_each_on_one_line() -> None:
    assert fit(["a\n  b\tc", "a b c", "bell\a"]) == ["a b c", "bell"]


def test_a_long_warning_is_cut_to_what_the_api_server_passes_on() -> None:
    (line,) = fit(["é" * 300])
    assert len(line) == LONGEST_WARNING
    assert line.endswith("...")


def test_warnings_that_have_no_room_are_counted() -> None:
    lines = fit(f"{number} {'x' * 200}" for number in range(40))
    assert lines[-1] == f"and {40 - len(lines) + 1} more warnings, see choregos lint"
    assert len(lines) > 15


@given(st.lists(st.text(max_size=400), max_size=60))
def test_warnings_always_fit_and_none_is_lost_unseen(warnings: list[str]) -> None:
    lines = fit(warnings)
    assert sum(map(len, lines)) <= LONGEST_WARNINGS
    assert all(len(line) <= LONGEST_WARNING and line.isprintable() for line in lines)
    assert bool(lines) == bool(warnings)


# --- the answer to a pod


def paying(name: str = "shop", age: int = 1, **service: Any) -> Body:
    """A choreography with the service of the pods."""
    pays = {"event": "Ordered", "emits": ["Paid"], "onSuccess": "Paid"}
    events = {"Ordered": {"external": True}, "Paid": {"outcome": "completed"}}
    services = {SERVICE: {"port": 8080, "reactions": [pays], **service}}
    return choreography(events, services, name=name, age=age)


def answered(body: Body, *stored: Body) -> Answer:
    store = Store()
    for each in stored:
        store.put(each)
    return injecting.answer(request(body), store, SETTINGS)


def injected(body: Body, *stored: Body) -> Body:
    answer = answered(body, *stored)
    assert answer.refusal is None
    after: Body = jsonpatch.apply_patch(body, list(answer.patch))
    return after


def hash_of(*bodies: Body, service: str = SERVICE) -> str:
    read = [Choreography.model_validate(body) for body in bodies]
    return configuration_hash(configurations(read, None, generation=7)[service])


@pytest.mark.parametrize("body", PODS.values(), ids=PODS)
def test_a_labelled_pod_gets_its_ambassador(body: Body) -> None:
    before = copy.deepcopy(body)
    after = injected(body, paying())
    assert after["spec"]["initContainers"][0]["name"] == "choregos-ambassador"
    assert after["metadata"]["annotations"]["choregos.dev/configuration-hash"] == hash_of(paying())
    assert body == before
    assert answered(after, paying()).patch == ()


def test_a_pod_of_a_service_that_nobody_declares_runs_and_is_warned() -> None:
    answer = answered(pod(), orders(age=1))
    assert answer.patch
    assert any(f'"{SERVICE}"' in warning and "waits" in warning for warning in answer.warnings) is False
    answer = answered(pod())
    assert answer.patch
    assert any(f'"{SERVICE}"' in warning and "waits for" in warning for warning in answer.warnings)
    assert "choregos.dev/configuration-hash" not in injected(pod())["metadata"]["annotations"]


def test_a_misspelt_service_is_told_what_may_have_been_meant() -> None:
    body = pod()
    body["metadata"]["labels"]["choregos.dev/service"] = "paymnet"
    assert any('did you mean "payment"?' in warning for warning in answered(body, paying()).warnings)


def test_a_choreography_with_errors_configures_nobody_and_is_named() -> None:
    broken = paying()
    broken["spec"]["events"]["Ghost"] = {}
    answer = answered(pod(), broken)
    assert any('the Choreography "shop"' in warning and "not wired" in warning for warning in answer.warnings)
    assert "choregos.dev/configuration-hash" not in injected(pod(), broken)["metadata"]["annotations"]


def frozen(name: str, age: int, bus: str) -> Body:
    """A choreography with an error, whose bus is wired as it was before."""
    broken = paying(name, age)
    broken["spec"]["events"]["Ghost"] = {}
    broken["spec"]["bus"] = bus
    return broken


def test_a_pod_of_a_frozen_choreography_comes_to_the_bus_where_its_durables_are() -> None:
    bus = event_bus(name="fast", servers=["nats://fast:4222"])
    choreographies = frozen("a", 2, "slow"), frozen("z", 1, "fast"), bus
    after = injected(pod(), *choreographies)
    assert after["metadata"]["annotations"]["choregos.dev/bus"] == "fast"
    assert {"name": "CHOREGOS_NATS_URL", "value": "nats://fast:4222"} in after["spec"]["initContainers"][0]["env"]
    warnings = answered(pod(), *choreographies).warnings
    assert not any("waits for one" in warning for warning in warnings)
    assert sum("is not wired" in warning for warning in warnings) == 2


def test_a_frozen_choreography_that_cannot_even_be_read_has_its_pods_on_its_bus_as_well() -> None:
    unreadable = frozen("z", 1, "fast")
    unreadable["spec"]["delivery"] = {"retry": "often"}
    assert injected(pod(), unreadable)["metadata"]["annotations"]["choregos.dev/bus"] == "fast"
    assert any('"z"' in warning for warning in answered(pod(), unreadable).warnings)


def test_a_choreography_that_is_wired_goes_before_an_older_frozen_one() -> None:
    wired = paying("a", 2)
    wired["spec"]["bus"] = "slow"
    assert injected(pod(), frozen("z", 1, "fast"), wired)["metadata"]["annotations"]["choregos.dev/bus"] == "slow"


def test_what_a_pod_says_of_its_bus_goes_before_a_frozen_choreography() -> None:
    body = pod(annotations={"choregos.dev/bus": "own"})
    assert injected(body, frozen("z", 1, "fast"))["metadata"]["annotations"]["choregos.dev/bus"] == "own"


def test_a_service_of_two_choreographies_is_configured_by_both_the_older_first() -> None:
    elder, younger = paying("z", 1, emits=["Paid"]), paying("a", 2, emits=["Ordered"], port=9000)
    younger["spec"]["events"]["Ordered"] = {}
    after = injected(pod(), younger, elder, orders(name="other", age=3))
    # Of three that have the service; the third adds the reaction to OrderPlaced.
    assert after["metadata"]["annotations"]["choregos.dev/configuration-hash"] == hash_of(
        elder, younger, orders(name="other", age=3)
    )


def test_a_service_is_on_the_bus_of_the_oldest_choreography_that_has_it() -> None:
    elder, younger = paying("z", 1), paying("a", 2)
    elder["spec"]["bus"] = "fast"
    bus = event_bus(name="fast", servers=["nats://fast:4222"])
    after = injected(pod(), younger, elder, bus)
    assert after["metadata"]["annotations"]["choregos.dev/bus"] == "fast"
    assert after["metadata"]["annotations"]["choregos.dev/configuration-hash"] == hash_of(elder)
    ambassador = after["spec"]["initContainers"][0]
    assert {"name": "CHOREGOS_NATS_URL", "value": "nats://fast:4222"} in ambassador["env"]


def test_choreographies_of_other_namespaces_are_none_of_its_business() -> None:
    elsewhere = paying()
    elsewhere["metadata"]["namespace"] = "elsewhere"
    assert "choregos.dev/configuration-hash" not in injected(pod(), elsewhere)["metadata"]["annotations"]


def test_a_value_that_cannot_be_used_refuses_the_pod_with_every_reason() -> None:
    body = pod(annotations={"choregos.dev/publish-port": "http", "choregos.dev/log-level": "loud"})
    refusal = answered(body, paying()).refusal
    assert refusal is not None
    assert "shop-*" in refusal.message
    assert len(refusal.causes) == 2
    assert all(cause.message in refusal.message for cause in refusal.causes)


UNTOUCHED: dict[str, Callable[[], Any]] = {
    "without the label": lambda: request({**pod(), "metadata": {"name": "x", "labels": {"app": "shop"}}}),
    "without labels": lambda: request({**pod(), "metadata": {"name": "x"}}),
    "with labels of null": lambda: request({**pod(), "metadata": {"name": "x", "labels": None}}),
    "that is no pod": lambda: request({**pod(), "kind": "Deployment", "apiVersion": "apps/v1"}),
    "that is updated": lambda: request(pod(), pod()),
    "that is deleted": lambda: request(None, pod(), operation="DELETE"),
    "that gets a debug container": lambda: request(pod(), subResource="ephemeralcontainers"),
}


@pytest.mark.parametrize("made", UNTOUCHED.values(), ids=UNTOUCHED)
def test_what_does_not_ask_for_an_ambassador_is_let_pass(made: Callable[[], Any]) -> None:
    assert not injecting.labelled(made())
    assert injecting.labelled(request(pod()))


# --- the registration


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        ({"url": "https://127.0.0.1:1"}, {"url": "https://127.0.0.1:1{}"}),
        (
            {"service": {"name": "w", "namespace": "n"}, "caBundle": "Q0E="},
            {"service": {"name": "w", "namespace": "n", "path": "{}"}, "caBundle": "Q0E="},
        ),
    ],
    ids=["url", "service"],
)
def test_both_webhooks_are_registered_under_their_paths(client: Body, expected: Body) -> None:
    mutating, validating = webhook_configurations(Settings(webhook_configuration="mine"), client_config=client)
    for configuration, kind, path in ((mutating, "Mutating", "/inject"), (validating, "Validating", "/validate")):
        assert configuration["kind"] == f"{kind}WebhookConfiguration"
        assert configuration["metadata"]["name"] == "mine"
        (webhook,) = configuration["webhooks"]
        assert json.dumps(webhook["clientConfig"]) == json.dumps(expected).replace("{}", path)
        assert (webhook["failurePolicy"], webhook["sideEffects"], webhook["timeoutSeconds"]) == ("Fail", "None", 5)


def test_no_webhook_ever_sees_an_unlabelled_pod_a_deletion_or_a_status() -> None:
    mutating, validating = webhook_configurations(Settings(), client_config={"url": "https://x"})
    (injection,), (validation,) = mutating["webhooks"], validating["webhooks"]
    assert injection["objectSelector"] == {"matchExpressions": [{"key": "choregos.dev/service", "operator": "Exists"}]}
    assert [rule["operations"] for rule in injection["rules"]] == [["CREATE"]]
    assert [rule["operations"] for rule in validation["rules"]] == [["CREATE", "UPDATE"]]
    resources = [name for each in (injection, validation) for rule in each["rules"] for name in rule["resources"]]
    assert resources == ["pods", "choreographies", "eventbuses"]
