"""The parts of `choregos check` that stand for something elsewhere agree with it: certificates, rights, trials, sentences."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from choregos_cli.checks.account_rights import wanted_rights
from choregos_cli.checks.catalogue import CATALOGUE
from choregos_cli.checks.certificate import certificates
from choregos_cli.checks.reading import _own_rights, _Release
from choregos_cli.checks.trials import CHOREOGRAPHY, ERROR, NAME, POD
from choregos_cli.cluster.bus import Given
from choregos_cli.cluster.complaints import INSTALL, complaint
from choregos_cli.cluster.controller_settings import Component
from choregos_cli.cluster.kubectl import Kubectl, Right
from choregos_cli.cluster.server_address import server
from choregos_cli.errors import ExitCode, MisuseError
from choregos_cli.main import main
from choregos_contract.checks import check
from choregos_contract.document import resource_of
from choregos_contract.findings import Severity
from choregos_contract.resources import Choreography
from choregos_operator.certificates.issue import Terms, new_authority
from choregos_operator.injection import Injected, InjectionSettings, inject
from choregos_operator.rights import Rights, controller_rights, webhook_rights
from choregos_operator.settings import Settings
from support.check_facts import component

# --- certificates ---


@pytest.mark.parametrize("year", [2026, 2049, 2050, 2120])
def test_a_certificate_is_read_as_a_library_reads_it(year: int) -> None:
    """From 2050 on its dates are written another way."""
    moment = datetime(year, 3, 4, 5, 6, 7, tzinfo=UTC)
    made = new_authority(Terms.of(Settings()), moment - Terms.of(Settings()).authority_lifetime).certificate
    pem = made.public_bytes(Encoding.PEM)

    (read,) = certificates(pem)

    known = x509.load_pem_x509_certificate(pem)
    assert read.not_after == known.not_valid_after_utc == moment
    assert read.subject == read.issuer
    inner = known.subject.public_bytes()
    assert inner.endswith(read.subject)


def test_a_bundle_is_read_whole() -> None:
    authorities = [new_authority(Terms.of(Settings()), datetime.now(UTC) + timedelta(days=days)) for days in range(3)]
    bundle = b"# ours\n" + b"".join(each.certificate.public_bytes(Encoding.PEM) for each in authorities)

    assert len({each.subject for each in certificates(bundle)}) == 3


@pytest.mark.parametrize("body", [b"", b"AA==", b"MAA=", b"!", b"MIIB" * 9])
def test_what_is_no_certificate_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="no certificate"):
        certificates(b"-----BEGIN CERTIFICATE-----\n" + body + b"\n-----END CERTIFICATE-----\n")


# --- rights ---


@pytest.mark.parametrize("evict", [False, True])
@pytest.mark.parametrize("own_certificates", [False, True])
def test_the_rights_that_are_asked_for_are_those_of_the_release(evict: bool, own_certificates: bool) -> None:
    settings = Settings(evict_uninjected=evict, own_certificates=own_certificates)
    told = {"EVICT_UNINJECTED": str(evict).lower(), "OWN_CERTIFICATES": str(own_certificates).lower()}

    asked = wanted_rights([_component("controller", told), _component("webhook", told)])

    here = settings.namespace
    assert set(asked[here, "choregos-controller"]) == set(_rights(controller_rights(settings), here))
    assert set(asked[here, "choregos-webhook"]) == set(_rights(webhook_rights(settings), here))


def _component(process: str, settings: dict[str, str]) -> Component:
    env = [{"name": f"CHOREGOS_{name}", "value": value} for name, value in settings.items()]
    spec = {"serviceAccountName": f"choregos-{process}", "containers": [{"image": "a:1", "env": env}]}
    labels = {"app.kubernetes.io/component": process}
    metadata = {"name": process, "namespace": "choregos-system", "labels": labels}
    return Component({"metadata": metadata, "spec": {"template": {"spec": spec}}})


def _rights(rights: Rights, namespace: str) -> list[Right]:
    return [
        Right(verb, resource, rule.group, where, name)
        for rules, where in ((rights.cluster, ""), (rights.namespaced, namespace))
        for rule in rules
        for resource in rule.resources
        for verb in rule.verbs
        for name in rule.names or ("",)
    ]


# --- trials ---


def test_of_the_user_no_more_is_asked_than_what_is_read() -> None:
    """Whoever is told to ask for all Secrets, or to forward to all pods, is told too much."""
    told = component("controller")
    told.container["env"].append({"name": "CHOREGOS_NATS_URL", "value": "nats://nats.bus:4222"})
    release = _Release(Kubectl("kubectl"), (told,), Given())
    head = {"apiVersion": "choregos.dev/v1alpha1", "kind": "EventBus"}
    own = {**head, "metadata": {"name": "own", "namespace": "shop"}, "spec": {"servers": ["nats://a:4222"]}}

    asked = [str(right) for right in _own_rights("shop", release, (own,), Given())]

    assert [each for each in asked if "secrets" in each or "portforward" in each] == [
        "get secrets choregos-webhook in the namespace choregos-system",
        "get secrets choregos-bus-own in the namespace shop",
        "create pods/portforward in the namespace bus",
        "create pods/portforward in the namespace shop",
    ]
    far = [str(right) for right in _own_rights("shop", release, (own,), Given("nats://localhost", Path()))]
    assert not [each for each in far if "choregos-bus" in each or "portforward" in each]


def test_the_choreography_that_is_tried_is_refused_for_what_the_schema_cannot_see() -> None:
    read = resource_of({**CHOREOGRAPHY, "metadata": {"name": NAME, "namespace": "shop"}})

    assert isinstance(read, Choreography)
    assert [found.code for found in check(read) if found.severity is Severity.ERROR] == [ERROR]


def test_the_pod_that_is_tried_is_one_that_is_injected() -> None:
    settings = InjectionSettings(image="a:1", nats_url="nats://nats:4222")

    outcome = inject(POD, settings=settings, configuration=None, bus=None, frozen_bus=None, known_services=frozenset())

    assert isinstance(outcome, Injected)


# --- what kubectl says ---

FORBIDDEN = (
    'Error from server (Forbidden): pods is forbidden: User "jane" cannot list resource "pods" in API group "" '
    'in the namespace "shop"'
)
GROUPED = (
    'Error from server (Forbidden): leases.coordination.k8s.io "x" is forbidden: User "jane" cannot get resource '
    '"leases" in API group "coordination.k8s.io" at the cluster scope'
)
HOOK = (
    'Error from server: error when creating "STDIN": admission webhook "validate.choregos.dev" denied the request: no'
)
CALL = 'Error from server (InternalError): Internal error occurred: failed calling webhook "inject.choregos.dev": x'
LOG = 'E1121 14:22:40.0 1 memcache.go:265] "Unhandled Error" err="connection refused"\n'
REFUSED = "The connection to the server 127.0.0.1:1 was refused - did you specify the right host or port?"


@pytest.mark.parametrize(
    ("stderr", "kind", "code", "what"),
    [
        (FORBIDDEN, "ForbiddenError", 3, "the user jane may not list pods in the namespace shop"),
        (GROUPED, "ForbiddenError", 3, "the user jane may not get leases.coordination.k8s.io in the whole cluster"),
        (LOG + REFUSED, "ClusterUnreachable", 3, f"the Kubernetes API does not answer: {REFUSED}"),
        (
            "Unable to connect to the server: dial tcp: no such host",
            "ClusterUnreachable",
            3,
            "the Kubernetes API does not answer: Unable to connect to the server: dial tcp: no such host",
        ),
        (
            "Error from server (ServiceUnavailable): apiserver is shutting down",
            "ClusterUnreachable",
            3,
            "the Kubernetes API does not answer: apiserver is shutting down",
        ),
        (
            "Error in configuration: context was not found for specified context: nope",
            "KubeconfigError",
            2,
            "kubectl has no cluster to talk to: Error in configuration: context was not found for specified context: nope",
        ),
        (
            "error: stat /nowhere: no such file or directory",
            "KubeconfigError",
            2,
            "kubectl has no cluster to talk to: stat /nowhere: no such file or directory",
        ),
        (
            "error: You must be logged in to the server (Unauthorized)",
            "KubeconfigError",
            2,
            "the cluster does not know you: You must be logged in to the server (Unauthorized)",
        ),
        (
            "Error from server (NotFound): the server could not find the requested resource",
            "NotInstalledError",
            3,
            "Choregos is not installed in this cluster: it does not know its kinds",
        ),
        ('Error from server (NotFound): pods "x" not found', "NotFound", 1, 'pods "x" not found'),
        (
            'The ConfigMap "A" is invalid: metadata.name: Invalid value: "A"',
            "KubernetesRefused",
            1,
            'The ConfigMap "A" is invalid: metadata.name: Invalid value: "A"',
        ),
        (HOOK, "KubernetesRefused", 1, 'admission webhook "validate.choregos.dev" denied the request: no'),
        (
            CALL,
            "KubernetesRefused",
            1,
            'Internal error occurred: failed calling webhook "inject.choregos.dev": x',
        ),
    ],
)
def test_what_kubectl_says_becomes_the_error_that_says_what_to_do(stderr: str, kind: str, code: int, what: str) -> None:
    error = complaint(stderr, "read choreographies.choregos.dev")

    assert (type(error).__name__, error.code, error.what) == (kind, ExitCode(code), what)
    assert error.hint


# --- where a server is ---


@pytest.mark.parametrize(
    ("url", "service"),
    [
        ("nats://nats.nats:4222", ("nats", "nats")),
        ("nats://nats:4222", ("shop", "nats")),
        ("tls://nats.bus.svc:4222", ("bus", "nats")),
        ("tls://nats.bus.svc.cluster.local", ("bus", "nats")),
        ("nats://nats-0.nats.bus.svc.cluster.local:4222", ("bus", "nats")),
        ("nats://127.0.0.1:4222", None),
        ("nats://[::1]:4222", None),
        ("nats://localhost:4222", None),
        ("nats://nats.example.com", None),
    ],
)
def test_a_servers_name_that_may_be_a_services_is_looked_for_there(url: str, service: tuple[str, str] | None) -> None:
    assert server(url).service("shop") == service


def test_a_url_is_told_without_its_password() -> None:
    assert str(server("nats://jane:secret@nats.example.com")) == "nats://nats.example.com:4222"


def test_a_password_goes_through_a_forwarded_port_and_into_no_error() -> None:
    assert server("tls://jane:secret@nats.nats:4222").through(7) == "tls://jane:secret@127.0.0.1:7"
    assert server("nats.nats").through(7) == "nats://127.0.0.1:7"
    for wrong in ("nats://jane:secret@nats:x", "http://jane:secret@nats", "jane:secret@:4222"):
        with pytest.raises(MisuseError) as told:
            server(wrong)
        assert "secret" not in told.value.what
    with pytest.raises(MisuseError, match="'http://nats' is no address"):
        server("http://nats")


def test_the_command_that_installs_is_one_that_the_chart_takes() -> None:
    """A chart that is told no NATS refuses itself."""
    said = re.findall(r"--set (\S+)=(\S+)", INSTALL.replace(",", " "))
    assert said == [("nats.url", "nats://HOST:4222"), ("nats.enabled", "true")]
    assert CATALOGUE["operator-found"].hint == INSTALL


# --- as a plugin of kubectl ---


def test_as_a_plugin_it_names_itself_as_it_was_called(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--help"], "kubectl choregos") == 0

    assert capsys.readouterr().out.lstrip().startswith("Usage: kubectl choregos check [OPTIONS]")
