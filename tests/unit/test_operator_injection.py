"""The injection: what a pod gets, what it is refused for, what it is warned of."""

import json
from dataclasses import replace
from typing import Any

import pytest

from choregos_contract.configuration import Configuration
from choregos_contract.event_bus import EventBus
from choregos_operator.bus_identity import Place, bus_hash, place
from choregos_operator.configured import configuration_hash
from choregos_operator.injection import Injected, Refused, bus_of, inject
from support.choreographies import event_bus
from support.labelled_pods import PODS, SERVICE, SETTINGS, configured, container, pod

CONFIGURATION = configured()


def injected(
    wanted: dict[str, Any],
    configuration: Configuration | None = CONFIGURATION,
    bus: EventBus | None = None,
    known_services: tuple[str, ...] = (),
) -> Injected:
    answer = inject(wanted, settings=SETTINGS, configuration=configuration, bus=bus, known_services=known_services)
    assert isinstance(answer, Injected), answer
    return answer


def refusal(wanted: dict[str, Any], configuration: Configuration | None = CONFIGURATION) -> str:
    answer = inject(wanted, settings=SETTINGS, configuration=configuration, bus=None)
    assert isinstance(answer, Refused)
    (sentence,) = answer.sentences
    return sentence


def ambassador(wanted: dict[str, Any], **arguments: Any) -> dict[str, Any]:
    found: dict[str, Any] = injected(wanted, **arguments).pod["spec"]["initContainers"][0]
    assert found["name"] == "choregos-ambassador"
    return found


def environment(of: dict[str, Any]) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in of["env"] if "value" in variable}


def mounted(of: dict[str, Any]) -> dict[str, str]:
    assert all(mount["readOnly"] for mount in of["volumeMounts"])
    return {mount["mountPath"]: mount["name"] for mount in of["volumeMounts"]}


# What it gets


def test_the_probes_listen_where_the_operators_do_for_clusters_of_ipv6_addresses_only() -> None:
    assert "CHOREGOS_PROBES_HOST" not in environment(ambassador(PODS["of a Deployment"]))
    settings = replace(SETTINGS, probes_host="::")
    answer = inject(PODS["of a Deployment"], settings=settings, configuration=CONFIGURATION, bus=None)
    assert isinstance(answer, Injected)
    assert environment(answer.pod["spec"]["initContainers"][0])["CHOREGOS_PROBES_HOST"] == "::"


def test_the_ambassador_is_a_native_sidecar_before_every_other_init_container() -> None:
    answer = injected(PODS["with another sidecar"])
    assert [each["name"] for each in answer.pod["spec"]["initContainers"]] == ["choregos-ambassador", "mesh", "migrate"]
    assert answer.pod["spec"]["initContainers"][0]["restartPolicy"] == "Always"
    assert "command" not in answer.pod["spec"]["initContainers"][0]


def test_the_whole_container_of_a_plain_pod() -> None:
    assert ambassador(pod()) == {
        "name": "choregos-ambassador",
        "image": "registry.example/ambassador:1",
        "restartPolicy": "Always",
        "env": [
            {"name": "CHOREGOS_CONFIG", "value": "/etc/choregos/configuration/configuration.json"},
            {"name": "CHOREGOS_NATS_URL", "value": "nats://nats.nats:4222"},
            {"name": "CHOREGOS_NATS_CREDENTIALS", "value": "/etc/choregos/bus"},
            {"name": "CHOREGOS_POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
        "ports": [{"name": "choregos-prom", "containerPort": 9481}],
        "startupProbe": {
            "httpGet": {"path": "/readyz", "port": 9481},
            "periodSeconds": 1,
            "timeoutSeconds": 1,
            "failureThreshold": 60,
        },
        "livenessProbe": {
            "httpGet": {"path": "/livez", "port": 9481},
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": 6,
        },
        "readinessProbe": {
            "httpGet": {"path": "/readyz", "port": 9481},
            "periodSeconds": 5,
            "timeoutSeconds": 5,
            "failureThreshold": 3,
        },
        "lifecycle": {"preStop": {"exec": {"command": ["choregos-ambassador", "drain"]}}},
        "resources": {"requests": {"cpu": "25m", "memory": "64Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "choregos-configuration", "mountPath": "/etc/choregos/configuration", "readOnly": True},
            {"name": "choregos-bus", "mountPath": "/etc/choregos/bus", "readOnly": True},
            {
                "name": "choregos-configuration",
                "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
                "readOnly": True,
            },
        ],
    }


def test_volumes_are_optional_and_none_blocks_the_autoscaler() -> None:
    assert injected(pod()).pod["spec"]["volumes"] == [
        {"name": "choregos-configuration", "configMap": {"name": "choregos-payment", "optional": True}},
        {"name": "choregos-bus", "secret": {"secretName": "choregos-bus-default", "optional": True}},
    ]


def test_the_credentials_are_mounted_in_the_ambassador_only() -> None:
    answer = injected(PODS["of many containers"])
    holders = [
        each["name"]
        for field in ("initContainers", "containers")
        for each in answer.pod["spec"][field]
        if "choregos-bus" in {mount["name"] for mount in each.get("volumeMounts", ())}
    ]
    assert holders == ["choregos-ambassador"]


def test_every_other_container_is_told_where_to_publish_before_its_own_variables() -> None:
    spec = injected(
        pod(
            container(env=[{"name": "URL", "value": "$(CHOREGOS_PUBLISH_URL)/x"}]),
            initContainers=[container("migrate")],
        )
    ).pod["spec"]
    for each in (*spec["initContainers"][1:], *spec["containers"]):
        assert each["env"][0] == {"name": "CHOREGOS_PUBLISH_URL", "value": "http://127.0.0.1:9480"}
    assert "CHOREGOS_PUBLISH_URL" not in environment(spec["initContainers"][0])


def test_a_container_that_names_the_publish_url_itself_keeps_it() -> None:
    own = {"name": "CHOREGOS_PUBLISH_URL", "valueFrom": {"configMapKeyRef": {"name": "x", "key": "y"}}}
    answer = injected(pod(container(env=[own])))
    assert answer.pod["spec"]["containers"][0]["env"] == [own]
    assert answer.warnings == ()


def test_every_container_gets_sigterm_only_after_the_drain_unless_it_has_a_hook_of_its_own() -> None:
    own = {"preStop": {"exec": {"command": ["sleep", "5"]}}}
    started = {"postStart": {"exec": {"command": ["warm-up"]}}}
    spec = injected(
        pod(
            container(),
            container("started", lifecycle=started),
            container("pauses", lifecycle=own),
            initContainers=[container("mesh", restartPolicy="Always")],
        )
    ).pod["spec"]
    until_drained = {"preStop": {"httpGet": {"path": "/drained", "port": 9481}}}
    assert [each["lifecycle"] for each in spec["containers"]] == [until_drained, started | until_drained, own]
    assert "lifecycle" not in spec["initContainers"][1]


def test_the_pod_is_marked_with_what_it_was_told() -> None:
    metadata = injected(pod()).pod["metadata"]
    assert metadata["labels"]["choregos.dev/injected"] == "true"
    assert metadata["annotations"] == {
        "choregos.dev/bus": "default",
        "choregos.dev/bus-hash": bus_hash(None, Place(("nats://nats.nats:4222",))),
        "choregos.dev/configuration-hash": configuration_hash(CONFIGURATION),
    }


@pytest.mark.parametrize("annotations", [{}, {"choregos.dev/bus-hash": "copied"}])
def test_a_pod_that_brings_its_ambassador_along_is_marked_with_where_that_connects_to(
    annotations: dict[str, str],
) -> None:
    copy = injected(pod(), bus=event_bus(servers=["nats://elsewhere:4222"])).pod
    copy["metadata"]["annotations"] = annotations
    marks = injected(copy).pod["metadata"]["annotations"]
    assert marks["choregos.dev/bus-hash"] == bus_hash(None, Place(("nats://elsewhere:4222",)))


def test_the_mark_is_what_the_controller_computes_of_the_same_bus() -> None:
    bus = event_bus(servers=["nats://b:4222", "nats://a:4222"], tls={"enabled": True}, stream={"prefix": "own"})
    marks = injected(pod(), bus=bus).pod["metadata"]["annotations"]
    assert marks["choregos.dev/bus-hash"] == bus_hash(bus, place(bus, ["nats://usual:4222"]))


def test_a_mark_that_was_copied_from_another_pod_is_written_anew() -> None:
    wanted = pod(annotations={"choregos.dev/configuration-hash": "copied"})
    wanted["metadata"]["labels"]["choregos.dev/injected"] = "true"
    answer = injected(wanted)
    assert answer.pod["metadata"]["annotations"]["choregos.dev/configuration-hash"] == configuration_hash(CONFIGURATION)
    assert answer.pod["spec"]["initContainers"][0]["name"] == "choregos-ambassador"


def test_every_annotation_reaches_the_ambassador() -> None:
    names = ("image", "cpu-request", "cpu-limit", "memory-request", "memory-limit", "log-level")
    values = ("mine:2", "50m", "1", "100Mi", "200Mi", "debug")
    tuning = {f"choregos.dev/{name}": value for name, value in zip(names, values, strict=True)}
    found = ambassador(pod(annotations=tuning | {"choregos.dev/log-answers": "true"}))
    assert found["image"] == "mine:2"
    assert found["resources"] == {
        "requests": {"cpu": "50m", "memory": "100Mi"},
        "limits": {"cpu": "1", "memory": "200Mi"},
    }
    assert environment(found).items() >= {"CHOREGOS_LOG_LEVEL": "debug", "CHOREGOS_LOG_ANSWERS": "true"}.items()


def test_other_ports_reach_everything_that_speaks_of_them() -> None:
    answer = injected(pod(annotations={"choregos.dev/publish-port": "1980", "choregos.dev/probes-port": "1981"}))
    found = answer.pod["spec"]["initContainers"][0]
    wanted = {"CHOREGOS_PUBLISH_PORT": "1980", "CHOREGOS_PROBES_PORT": "1981"}
    assert environment(found).items() >= wanted.items()
    assert found["ports"] == [{"name": "choregos-prom", "containerPort": 1981}]
    assert {found[f"{probe}Probe"]["httpGet"]["port"] for probe in ("startup", "liveness", "readiness")} == {1981}
    (told,) = answer.pod["spec"]["containers"]
    assert environment(told) == {"CHOREGOS_PUBLISH_URL": "http://127.0.0.1:1980"}
    assert told["lifecycle"]["preStop"]["httpGet"]["port"] == 1981


def test_the_port_has_a_name_that_kubernetes_takes() -> None:
    assert len(ambassador(pod())["ports"][0]["name"]) <= 15


@pytest.mark.parametrize(
    ("spec", "urls"),
    [
        ({}, "nats://nats.nats:4222"),
        ({"servers": ["nats://a:4222", "nats://b:4222"]}, "nats://a:4222,nats://b:4222"),
        ({"servers": ["nats://a:4222", "tls://b:4222"], "tls": {"enabled": True}}, "tls://a:4222,tls://b:4222"),
        ({"tls": {"enabled": True}}, "tls://nats.nats:4222"),
    ],
)
def test_the_servers_are_those_of_the_bus_or_else_the_operators(spec: dict[str, Any], urls: str) -> None:
    assert environment(ambassador(pod(), bus=event_bus(**spec)))["CHOREGOS_NATS_URL"] == urls


def test_the_bus_is_the_pods_else_the_choreographys_else_the_default() -> None:
    named = pod(annotations={"choregos.dev/bus": "orders"})
    assert bus_of(named, None) == "orders"
    assert bus_of(pod(), CONFIGURATION) == "default"
    assert bus_of(pod(), None) == "default"
    answer = injected(named, None)
    assert answer.pod["metadata"]["annotations"]["choregos.dev/bus"] == "orders"
    assert answer.pod["spec"]["volumes"][1]["secret"]["secretName"] == "choregos-bus-orders"


@pytest.mark.parametrize(("user", "own"), [(0, 65532), (1000, None), (None, None)])
def test_a_user_is_named_only_where_the_pods_would_be_root(user: int | None, own: int | None) -> None:
    security = {} if user is None else {"runAsUser": user}
    assert ambassador(pod(securityContext=security))["securityContext"].get("runAsUser") == own


def test_a_pod_that_opts_out_stays_as_it_is() -> None:
    wanted = pod(annotations={"choregos.dev/inject": "false", "choregos.dev/cpu-limit": "nonsense"})
    assert injected(wanted) == Injected(wanted)


def test_a_static_pod_stays_as_it_is_and_is_told_why() -> None:
    wanted = pod(annotations={"kubernetes.io/config.mirror": "x"})
    answer = injected(wanted)
    assert answer.pod == wanted
    assert "a static pod cannot have an ambassador" in answer.warnings[0]


def test_null_fields_are_empty_ones() -> None:
    wanted = pod(container(env=None, ports=None), initContainers=None, volumes=None, securityContext=None)
    wanted["metadata"]["annotations"] = None
    assert injected(wanted).pod["spec"]["initContainers"][0]["name"] == "choregos-ambassador"


# What it is refused for


@pytest.mark.parametrize(
    ("label", "sentence"),
    [
        ("Payment", 'is "Payment", but a service\'s name is a DNS label; did you mean "payment"?'),
        ("pay_ment.v1", 'did you mean "pay-ment-v1"?'),
        ("", "write it as in the Choreography"),
        ("payment\n", "write it as in the Choreography"),
    ],
)
def test_a_label_that_no_service_can_have_is_refused(label: str, sentence: str) -> None:
    wanted = pod()
    wanted["metadata"]["labels"]["choregos.dev/service"] = label
    assert sentence in refusal(wanted)
    del wanted["metadata"]["labels"]
    assert "the pod has no label choregos.dev/service" in refusal(wanted)


@pytest.mark.parametrize(
    ("port", "use", "name"), [(9480, "publish API takes", "publish"), (9481, "probes take", "probes")]
)
def test_a_container_that_declares_a_port_of_the_ambassador_is_refused(port: int, use: str, name: str) -> None:
    clashing = container("web", ports=[{"containerPort": 8080}, {"containerPort": port}])
    for wanted in (pod(clashing), pod(initContainers=[clashing])):
        assert refusal(wanted) == (
            f'the container "web" declares port {port}, which the ambassador\'s {use}; '
            f"give it another, or the ambassador with the annotation choregos.dev/{name}-port"
        )
    moved = {"choregos.dev/publish-port": "9580", "choregos.dev/probes-port": "9581"}
    injected(pod(clashing, annotations=moved))


@pytest.mark.parametrize("port", [9480, 9481])
def test_a_choreography_that_sends_events_to_the_ambassador_itself_is_refused(port: int) -> None:
    assert f"the Choreography has payment listen on port {port}" in refusal(pod(), configured(port=port))
    reactions = [{"event": "Ordered", "port": port}]
    assert f"the Choreography has payment listen on port {port}" in refusal(pod(), configured(reactions=reactions))


@pytest.mark.parametrize(
    "wanted",
    [
        pod(container("choregos-ambassador")),
        pod(initContainers=[container("choregos-ambassador")]),
        pod(volumes=[{"name": "choregos-configuration", "emptyDir": {}}]),
        pod(volumes=[{"name": "choregos-bus", "emptyDir": {}}]),
    ],
)
def test_a_name_of_ours_on_something_of_the_owners_is_refused(wanted: dict[str, Any]) -> None:
    assert refusal(wanted).endswith("rename it")


def test_a_windows_pod_is_refused() -> None:
    assert "spec.os.name is windows" in refusal(pod(os={"name": "windows"}))
    injected(pod(os={"name": "linux"}))


def test_an_annotation_that_cannot_be_used_refuses_the_pod() -> None:
    assert refusal(pod(annotations={"choregos.dev/cpu-limit": "fast"})).startswith("metadata.annotations")


# What it is warned of


@pytest.mark.parametrize(("name"), PODS)
def test_a_usual_pod_is_warned_of_nothing(name: str) -> None:
    bus = "orders" if name == "with tuning" else "default"
    shop = configured()
    warnings = injected(PODS[name], shop, None).warnings
    if bus == "orders":
        (sentence,) = warnings
        assert 'the bus "default"; remove the annotation' in sentence
    else:
        assert warnings == ()


@pytest.mark.parametrize(
    ("grace", "timeout", "least"), [(None, "31s", 36), (10, "30s", 35), (29, "29500ms", 35), (0, "1s", 6)]
)
def test_less_grace_than_a_delivery_may_take_is_warned_of(grace: int | None, timeout: str, least: int) -> None:
    wanted = pod() if grace is None else pod(terminationGracePeriodSeconds=grace)
    slow = configured(reactions=[{"event": "Ordered", "delivery": {"timeout": timeout}}, {"event": "Quick"}])
    slow_only = configured(reactions=[{"event": "Ordered", "delivery": {"timeout": timeout}}])
    (sentence,) = injected(wanted, slow_only).warnings
    assert sentence.startswith(
        f"terminationGracePeriodSeconds is {30 if grace is None else grace}, but Ordered may take"
    )
    assert f"write {least} or more" in sentence
    assert injected(pod(terminationGracePeriodSeconds=60), slow).warnings == ()


@pytest.mark.parametrize(
    ("known", "mend"),
    [(("payments", "shipping"), 'did you mean "payments"?'), ((), "apply one"), (("x",), "apply one")],
)
def test_a_service_that_nobody_declares_starts_and_is_warned_of(known: tuple[str, ...], mend: str) -> None:
    answer = injected(pod(), None, known_services=known)
    (sentence,) = answer.warnings
    assert sentence == (
        f'no choreography of this namespace has the service "{SERVICE}", so its ambassador waits for one; {mend}'
    )
    assert "choregos.dev/configuration-hash" not in answer.pod["metadata"]["annotations"]


def guaranteed(**amounts: str) -> dict[str, Any]:
    return container(resources={"limits": {"cpu": "1", "memory": "1Gi"}, "requests": amounts})


@pytest.mark.parametrize(
    ("wanted", "falls"),
    [
        (pod(guaranteed()), True),
        (pod(guaranteed(cpu="1000m", memory="1024Mi"), initContainers=[guaranteed()]), True),
        (pod(guaranteed(cpu="900m")), False),
        (pod(guaranteed(), container()), False),
        (pod(guaranteed(memory="much")), False),
        (pod(guaranteed(), annotations={"choregos.dev/cpu-limit": "25m", "choregos.dev/memory-limit": "64Mi"}), False),
        (pod(guaranteed(), annotations={"choregos.dev/cpu-limit": "50m", "choregos.dev/memory-limit": "64Mi"}), True),
    ],
)
def test_a_pod_that_is_guaranteed_no_more_is_warned(wanted: dict[str, Any], falls: bool) -> None:
    assert any("from Guaranteed to Burstable" in each for each in injected(wanted).warnings) is falls


def test_the_network_of_the_node_is_warned_of() -> None:
    (sentence,) = injected(pod(hostNetwork=True)).warnings
    assert "ports 9480 and 9481 are the node's" in sentence


def test_a_publish_url_that_leads_elsewhere_is_warned_of() -> None:
    wanted = pod(container(env=[{"name": "CHOREGOS_PUBLISH_URL", "value": "http://127.0.0.1:1/"}]))
    (sentence,) = injected(wanted).warnings
    assert (
        'sets CHOREGOS_PUBLISH_URL to "http://127.0.0.1:1/", but its ambassador listens on http://127.0.0.1:9480'
        in sentence
    )


def test_how_the_servers_of_the_bus_are_greeted_is_told_to_the_ambassador_and_marked_on_the_pod() -> None:
    own = event_bus(servers=["tls://own:4222"], tls={"handshakeFirst": True, "serverName": "nats.example"})
    answer = injected(pod(), bus=own)
    variables = environment(answer.pod["spec"]["initContainers"][0])
    assert variables["CHOREGOS_NATS_TLS_HANDSHAKE_FIRST"] == "true"
    assert variables["CHOREGOS_NATS_TLS_SERVER_NAME"] == "nats.example"
    assert answer.warnings == ()
    expected = bus_hash(own, Place(("tls://own:4222",), True, "nats.example"))
    assert answer.pod["metadata"]["annotations"]["choregos.dev/bus-hash"] == expected


def test_the_name_in_the_certificate_of_the_operators_servers_is_no_buss_to_choose() -> None:
    variables = environment(ambassador(pod(), bus=event_bus(tls={"serverName": "evil.example"})))
    assert not any("TLS" in name for name in variables)


def test_names_under_our_prefix_that_mean_nothing_are_warned_of() -> None:
    wanted = pod(annotations={"choregos.dev/cpu": "1"})
    wanted["metadata"]["labels"]["choregos.dev/bus"] = "orders"
    label, annotation = injected(wanted).warnings
    assert label.startswith("the label choregos.dev/bus means nothing")
    assert annotation.startswith("the annotation choregos.dev/cpu means nothing")


def test_no_warning_is_longer_than_kubectl_shows() -> None:
    long = configured(reactions=[{"event": "O" * 100, "delivery": {"timeout": "1h59m59s"}}])
    wanted = pod(
        guaranteed(),
        container(env=[{"name": "CHOREGOS_PUBLISH_URL", "value": "http://" + 300 * "x"}]),
        hostNetwork=True,
        annotations={"choregos.dev/" + 60 * "y": "", "choregos.dev/bus": 63 * "b"},
    )
    for each in (*injected(wanted, long).warnings, *injected(wanted, None, known_services=("payments",)).warnings):
        assert len(each) <= 256, json.dumps(each)
