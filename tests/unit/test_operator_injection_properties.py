"""What holds for every pod: nothing of the owner's is lost, and to inject twice is to inject once."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from choregos_operator.injection import Injected, Refused, inject, json_patch
from support.labelled_pods import PODS, SETTINGS, configured, container, pod

CONFIGURATION = configured()


def put_in(wanted: dict[str, Any]) -> dict[str, Any]:
    answer = inject(wanted, settings=SETTINGS, configuration=CONFIGURATION, bus=None)
    assert isinstance(answer, Injected), answer
    return answer.pod


names = st.sampled_from(["app", "cache", "proxy", "migrate", "choregos", "a"])
variables = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from(["A", "B", "CHOREGOS_PUBLISH_URL"]), "value": st.text(max_size=3)}),
    max_size=3,
)
ports = st.lists(st.fixed_dictionaries({"containerPort": st.integers(8080, 8090)}), max_size=2)
mounts = st.lists(st.fixed_dictionaries({"name": names, "mountPath": st.sampled_from(["/a", "/b"])}), max_size=2)
hooks = st.fixed_dictionaries(
    {}, optional={"preStop": st.none() | st.just({"sleep": {"seconds": 1}}), "postStart": st.just({})}
)
lifecycles = st.none() | hooks
containers = st.builds(
    lambda name, fields: {"name": name, "image": "x", **fields},
    names,
    st.fixed_dictionaries(
        {}, optional={"env": st.none() | variables, "ports": ports, "volumeMounts": mounts, "lifecycle": lifecycles}
    ),
)
volumes = st.lists(st.fixed_dictionaries({"name": names, "emptyDir": st.just({})}), max_size=3)
specs = st.fixed_dictionaries(
    {"containers": st.lists(containers, min_size=1, max_size=4)},
    optional={
        "initContainers": st.none() | st.lists(containers, max_size=3),
        "volumes": st.none() | volumes,
        "restartPolicy": st.sampled_from(["Never", "Always"]),
        "securityContext": st.sampled_from([{}, {"runAsUser": 0}, {"runAsUser": 7}]),
        "hostNetwork": st.booleans(),
    },
)
annotations = st.none() | st.dictionaries(
    st.sampled_from(["example.com/a", "choregos.dev/bus", "choregos.dev/unknown"]), st.sampled_from(["a", "b"])
)


@st.composite
def pods(draw: st.DrawFn) -> dict[str, Any]:
    wanted = {**pod(), "spec": draw(specs)}
    if draw(st.booleans()):
        wanted["metadata"]["annotations"] = draw(annotations)
    return wanted


@given(pods())
def test_to_inject_twice_is_to_inject_once_and_the_input_stays_as_it_was(wanted: dict[str, Any]) -> None:
    before = deepcopy(wanted)
    once = put_in(wanted)
    assert wanted == before
    assert put_in(once) == once
    assert json_patch(once, put_in(once)) == []


@given(pods())
def test_nothing_of_the_owners_is_changed_removed_or_reordered(wanted: dict[str, Any]) -> None:
    assert list(lost(wanted, put_in(wanted))) == []


@given(pods())
def test_the_patch_makes_the_one_pod_into_the_other(wanted: dict[str, Any]) -> None:
    after = put_in(wanted)
    assert jsonpatch.apply_patch(wanted, json_patch(wanted, after)) == after


@given(pods(), containers.map(lambda each: {**each, "name": "late"}), st.booleans())
def test_what_another_webhook_adds_later_is_told_where_to_publish_too(
    wanted: dict[str, Any], late: dict[str, Any], first: bool
) -> None:
    """The API server asks again after others; the ambassador stays where it is, with whatever they did to it."""
    pending = put_in(wanted)
    pending["spec"]["initContainers"].insert(0 if first else 1, late)
    ours = pending["spec"]["initContainers"][1 if first else 0]
    ours["resources"]["limits"] = {"memory": "128Mi"}
    again = put_in(pending)
    assert list(lost(pending, again)) == []
    assert [each["name"] for each in again["spec"]["initContainers"]] == [
        each["name"] for each in pending["spec"]["initContainers"]
    ]
    assert ours in again["spec"]["initContainers"]
    added = again["spec"]["initContainers"][0 if first else 1]
    assert [each["name"] for each in added["env"]].count("CHOREGOS_PUBLISH_URL") >= 1
    assert put_in(again) == again


@given(
    st.recursive(st.none() | st.integers(9470, 9490) | st.text(max_size=4), lambda inner: st.lists(inner, max_size=2))
)
def test_a_copy_of_what_runs_is_injected_like_the_original(value: object) -> None:
    """`kubectl get pod -o yaml`, edited and applied: the ambassador in it is taken for what it is."""
    running = put_in(pod(container(args=[str(value)])))
    copied = deepcopy(running)
    del copied["metadata"]["annotations"]
    assert put_in(copied) == running


@pytest.mark.parametrize("name", PODS)
def test_every_usual_pod_is_injected_once_and_loses_nothing(name: str) -> None:
    once = put_in(PODS[name])
    assert list(lost(PODS[name], once)) == []
    assert put_in(once) == once
    assert all(operation["op"] == "add" for operation in json_patch(PODS[name], once)), "others' fields are not touched"


def test_a_refusal_leaves_the_input_as_it_was() -> None:
    wanted = pod(container(ports=[{"containerPort": 9480}]))
    before = deepcopy(wanted)
    assert isinstance(inject(wanted, settings=SETTINGS, configuration=None, bus=None), Refused)
    assert wanted == before


def lost(before: object, after: object, path: str = "") -> Iterator[str]:
    """Yield where `after` does not hold what `before` does, in its order."""
    match before, after:
        case Mapping(), Mapping():
            for key, value in before.items():
                yield from lost(value, after.get(key), f"{path}.{key}")
        case list(), list():
            places = iter(range(len(after)))
            for index, value in enumerate(before):
                if not any(not list(lost(value, after[place])) for place in places):
                    yield f"{path}[{index}]"
        case None, _:
            pass
        case _:
            if before != after:
                yield path
