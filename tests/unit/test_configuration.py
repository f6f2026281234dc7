"""The ambassador's configuration: read back as written, refused with the place of what is wrong."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from choregos_contract.configuration import (
    Configuration,
    ConfigurationError,
    Delivery,
    Reaction,
    Readiness,
    dump,
    load,
)
from choregos_contract.names import BusNames

FULL = Configuration(
    version=1,
    generation=7,
    service="package",
    bus=BusNames(namespace="shipping", bus="b", prefix="p", partitions=8, shards=64),
    duplicate_window=120.0,
    readiness=Readiness(port=8080, path="/healthz"),
    emits=("PackageCreated",),
    reactions=(
        Reaction(
            event="DeliveryRequested",
            port=8081,
            path="/packages",
            emits=("PackageCreated", "PackageRemoved"),
            on_success="PackageCreated",
            on_failure="PackageRemoved",
            required=True,
            suspend=True,
            delivery=Delivery(timeout=0.5, retry=0, reject=(400,), retry_on=(410,), max_reply_bytes=10),
        ),
    ),
)


def test_what_was_written_is_read_back() -> None:
    assert load(dump(FULL)) == FULL


ports = st.integers(1, 65535)
seconds = st.floats(min_value=0, exclude_min=True, allow_infinity=False)
deliveries = st.builds(
    Delivery,
    timeout=seconds,
    retry=st.integers(0, 100),
    backoff_delay=seconds,
    concurrency=st.integers(1, 1000),
    reject=st.lists(st.integers(300, 599)).map(tuple),
)
reactions = st.builds(
    Reaction, event=st.text(), port=ports, path=st.text(), emits=st.lists(st.text()).map(tuple), delivery=deliveries
)
configurations = st.builds(
    Configuration,
    version=st.just(1),
    generation=st.integers(0, 2**53),
    service=st.text(),
    bus=st.builds(BusNames, namespace=st.text()),
    duplicate_window=seconds,
    readiness=st.none() | st.builds(Readiness, port=ports, path=st.none() | st.text()),
    emits=st.lists(st.text()).map(tuple),
    reactions=st.lists(reactions, max_size=3).map(tuple),
)


@given(configurations)
def test_any_configuration_is_read_back(configuration: Configuration) -> None:
    assert load(dump(configuration)) == configuration


def test_names_in_the_document_are_camel_case_and_stable() -> None:
    document = json.loads(dump(FULL))
    assert set(document) == {
        "version", "generation", "service", "bus", "duplicateWindow", "readiness", "emits", "reactions",
    }  # fmt: skip
    assert document["reactions"][0]["onSuccess"] == "PackageCreated"
    assert document["reactions"][0]["delivery"]["maxReplyBytes"] == 10


def test_a_document_without_optional_fields_has_their_defaults() -> None:
    document = {"version": 1, "generation": 0, "service": "s", "bus": {"namespace": "n"}}
    assert load(json.dumps(document).encode()) == Configuration(
        version=1, generation=0, service="s", bus=BusNames(namespace="n")
    )


def test_the_source_of_built_events_names_namespace_and_service() -> None:
    assert FULL.source == "/shipping/package"


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("version", 2, "version 2 is not known here; this ambassador reads version 1"),
        ("version", "1", r"\$.version"),
        ("generation", None, r"\$.generation"),
        ("surprise", 1, "unknown field `surprise`"),
        ("service", 5, r"\$.service"),
        ("bus.shards", "256", r"\$.bus.shards"),
        ("duplicateWindow", 0, r"\$.duplicateWindow"),
        ("readiness.port", 0, r"\$.readiness.port"),
        ("readiness.port", 65536, r"\$.readiness.port"),
        ("reactions.0.port", True, r"\$.reactions\[0\].port"),
        ("reactions.0.emits", "PackageCreated", r"\$.reactions\[0\].emits"),
        ("reactions.0.when", "true", r"unknown field `when`.*\$.reactions\[0\]"),
        ("reactions.0.delivery.timeout", "30s", r"\$.reactions\[0\].delivery.timeout"),
        ("reactions.0.delivery.retry", -1, r"\$.reactions\[0\].delivery.retry"),
        ("reactions.0.delivery.reject", [None], r"\$.reactions\[0\].delivery.reject\[0\]"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(path: str, value: Any, said: str) -> None:
    document = json.loads(dump(FULL))
    *parents, last = path.split(".")
    place = document
    for parent in parents:
        place = place[int(parent)] if parent.isdecimal() else place[parent]
    place[last] = value
    with pytest.raises(ConfigurationError, match=said):
        load(json.dumps(document).encode())


def test_a_newer_version_is_named_even_if_all_else_is_foreign() -> None:
    with pytest.raises(ConfigurationError, match="version 9 is not known"):
        load(b'{"version": 9, "everything": {"else": "differs"}}')


@pytest.mark.parametrize(
    "document", [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b"{}", b'{"version": 1}', b'{"a":' + b"[" * 100_000]
)
def test_no_document_raises_anything_else(document: bytes) -> None:
    with pytest.raises(ConfigurationError):
        load(document)


@given(st.binary(max_size=60))
def test_no_bytes_raise_anything_else(document: bytes) -> None:
    with pytest.raises(ConfigurationError):
        load(document)
