"""What a pod may ask of its ambassador: every annotation, every refusal with what would be right, every guess."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from kubernetes.utils.quantity import parse_quantity

from choregos_operator.annotations import KINDS, PREFIX, Tuning, annotation, read, unknown_labels
from choregos_operator.resource_quantity import amount


def tuned(**values: str) -> dict[str, str]:
    return {annotation(field): value for field, value in values.items()}


def test_a_pod_without_annotations_gets_the_defaults() -> None:
    reading = read({"example.com/team": "shop", "choregos.development/cpu-request": "x"})
    assert (reading.tuning, reading.refusals, reading.warnings) == (Tuning(), (), ())


def test_every_field_is_an_annotation_that_can_be_set_and_says_what_it_takes() -> None:
    values: dict[str, tuple[str, object]] = {
        "inject": ("true", True),
        "bus": ("orders", "orders"),
        "image": ("registry:5000/ambassador@sha256:0", "registry:5000/ambassador@sha256:0"),
        "publish_port": ("9580", 9580),
        "probes_port": ("65535", 65535),
        "cpu_request": ("0.1", "0.1"),
        "cpu_limit": ("2", "2"),
        "memory_request": ("1e8", "1e8"),
        "memory_limit": ("1Gi", "1Gi"),
        "log_level": ("debug", "debug"),
        "log_events": ("true", True),
        "log_answers": ("false", False),
    }
    assert list(values) == list(KINDS) == list(Tuning.__dataclass_fields__)
    for field, (text, value) in values.items():
        reading = read(tuned(**{field: text}))
        assert not reading.refusals
        assert getattr(reading.tuning, field) == value, field


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("inject", "no", "true or false"),
        ("inject", "True", "true or false"),
        ("bus", "Orders", "the name of an EventBus, a DNS label such as default"),
        ("bus", "", "the name of an EventBus"),
        ("image", "", "the reference of an image"),
        ("image", "a b", "the reference of an image"),
        ("publish_port", "80", "a port from 1024 to 65535"),
        ("publish_port", "65536", "a port from 1024 to 65535"),
        ("probes_port", "http", "a port from 1024 to 65535"),
        ("probes_port", "٩٤٨١", "a port from 1024 to 65535"),
        ("cpu_request", "25 m", "an amount of CPU, at least 1m"),
        ("cpu_request", "0", "an amount of CPU, at least 1m"),
        ("cpu_limit", "-1", "an amount of CPU, at least 1m"),
        ("memory_request", "64m", "an amount of memory, at least 1Mi"),
        ("memory_request", "64MB", "an amount of memory, at least 1Mi"),
        ("memory_limit", "32Mi", "an amount of memory, at least 64Mi"),
        ("log_level", "trace", "debug, info, warning or error"),
        ("log_events", "1", "true or false"),
        ("log_answers", "", "true or false"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_with_its_name_and_what_can(
    field: str, value: str, allowed: str
) -> None:
    reading = read(tuned(**{field: value}))
    (sentence,) = reading.refusals
    assert sentence.startswith(f'metadata.annotations["{annotation(field)}"] is "{value}"; write {allowed}')
    assert reading.tuning == Tuning()


def test_every_value_that_cannot_be_used_is_told_at_once() -> None:
    assert len(read(tuned(inject="no", cpu_limit="fast", publish_port="x")).refusals) == 3


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"publish_port": "9481"}, "choregos.dev/publish-port and choregos.dev/probes-port are both 9481"),
        ({"probes_port": "9480"}, "choregos.dev/publish-port and choregos.dev/probes-port are both 9480"),
        ({"cpu_request": "25m", "cpu_limit": "10m"}, '"choregos.dev/cpu-request"] is "25m", above the limit "10m"'),
        (
            {"memory_request": "1Gi", "memory_limit": "1G"},
            '"choregos.dev/memory-request"] is "1Gi", above the limit "1G"',
        ),
    ],
)
def test_annotations_that_contradict_each_other_are_refused(values: dict[str, str], sentence: str) -> None:
    (refusal,) = read(tuned(**values)).refusals
    assert sentence in refusal


def test_a_limit_alone_lowers_the_request_that_nobody_wrote() -> None:
    assert read(tuned(cpu_limit="10m")).tuning.cpu_request == "10m"
    assert read(tuned(cpu_limit="100m", memory_limit="64Mi")).tuning == Tuning(cpu_limit="100m", memory_limit="64Mi")


@pytest.mark.parametrize(
    ("name", "mend"),
    [
        ("cpu-requests", "did you mean choregos.dev/cpu-request?"),
        ("publish_port", "did you mean choregos.dev/publish-port?"),
        ("loglevel", "did you mean choregos.dev/log-level?"),
        ("colour", "remove it, or correct its name"),
    ],
)
def test_an_unknown_annotation_is_only_warned_of_and_guessed_at(name: str, mend: str) -> None:
    reading = read({PREFIX + name: "x"})
    assert reading.refusals == ()
    assert reading.warnings == (f"the annotation {PREFIX}{name} means nothing to Choregos; {mend}",)


def test_what_the_operator_writes_itself_is_known() -> None:
    written = {
        f"{PREFIX}configuration-hash": "0" * 16,
        f"{PREFIX}configuration-generation": "3",
        f"{PREFIX}bus": "default",
    }
    assert read(written).warnings == ()
    assert unknown_labels({f"{PREFIX}service": "payment", f"{PREFIX}injected": "true", "app": "shop"}) == ()


def test_an_annotation_that_is_written_as_a_label_is_told() -> None:
    (sentence,) = unknown_labels({f"{PREFIX}inject": "false"})
    assert sentence.endswith("write it under metadata.annotations")
    (sentence,) = unknown_labels({f"{PREFIX}sevice": "payment"})
    assert sentence.endswith("correct its name")


@given(
    st.from_regex(r"\A([0-9]{1,9}(\.[0-9]{0,4})?|\.[0-9]{1,4})([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,2})?\Z"),
)
@example("1E")
@example("1E2")
def test_a_quantity_is_what_kubernetes_takes_it_for(text: str) -> None:
    try:
        theirs = parse_quantity(text)
    except ValueError:
        return  # their reading knows less than the API server: no `1e3`
    assert amount(text) == theirs


@pytest.mark.parametrize(("text", "bytes_"), [("1e3", 1000), ("12E-1", 1.2), ("1E2", 100), (".5k", 500), ("5.", 5)])
def test_a_quantity_with_an_exponent(text: str, bytes_: float) -> None:
    assert float(amount(text)) == bytes_


@pytest.mark.parametrize("text", ["", "Mi", "1mi", "1K", "1 Mi", "+1", "1e", "1e1000", "1.2.3", "1Mi\n", "9" * 40, "٣"])
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="is not a Kubernetes quantity"):
        amount(text)
