"""`choregos check` decides by what was read: for each check, what makes it speak, and that nothing else does."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from rich.console import Console

from choregos_cli.checks.catalogue import CATALOGUE, Level, Line, Section
from choregos_cli.checks.facts import AwayBus, Facts, Trial
from choregos_cli.checks.lines import MOST_LINES, Unknown
from choregos_cli.checks.report import as_json, lines_of, show, signs_for
from choregos_cli.cluster.complaints import KubernetesRefused
from choregos_cli.cluster.kubectl import Right
from choregos_cli.errors import UnreachableError
from choregos_cli.main import main
from choregos_contract.plan import Create, Refuse, Update
from choregos_contract.running import RunningAmbassador
from choregos_contract.survey import BusSurvey, Reaction
from choregos_operator.certificates.issue import Authority, Terms, new_authority, new_leaf
from choregos_operator.settings import Settings
from support.check_facts import (
    AUTHORITY,
    NOW,
    PAYMENT,
    bus,
    component,
    definition,
    durable,
    facts,
    lease,
    pem,
    pod,
    registration,
    resource,
    stream,
)

EVENTS = "choregos_shop_default_events"
(DURABLE,) = bus().wanted.durables
STREAMS = bus().wanted.streams
OTHER = new_authority(Terms.of(Settings()), NOW)
RESTING = RunningAmbassador(
    id="a", service="payment", pod="payment-1", generation=7, breaker="open", breaker_reason="x"
)
BEHIND = RunningAmbassador(id="a", service="payment", pod="payment-1", generation=6, breaker="closed")
DOWN = UnreachableError("cannot connect to NATS", "start it")
CALL = 'Internal error occurred: failed calling webhook "inject.choregos.dev": connection refused'
WAITING = {"waiting": {"reason": "CrashLoopBackOff"}}


def lines(max_lag: int = 1000, **changed: Any) -> tuple[Line, ...]:
    return lines_of(facts(**changed), max_lag)


def spoken(found: tuple[Line, ...]) -> dict[str, Level]:
    """Those that are neither fine nor skipped."""
    return {line.check.code: line.level for line in found if line.level in (Level.WARNING, Level.FAILED)}


def test_every_check_of_the_catalogue_is_made_and_is_fine_where_all_is_well() -> None:
    found = lines()

    assert [line.check.code for line in found] == list(CATALOGUE)
    assert {line.level for line in found} == {Level.OK}


WARNS, FAILS = Level.WARNING, Level.FAILED
FAULTS: dict[str, tuple[str, Level, Mapping[str, Any], str]] = {
    "Kubernetes of 2023": ("kubernetes-version", FAILS, {"api_version": "v1.28.9"}, "v1.28.9"),
    "a right of one's own": ("own-rights", WARNS, {"rights": {Right("get", "secrets"): False}}, "get secrets everywhere"),
    "no definition": ("crds-installed", FAILS, {"definitions": {"a": definition(), "b": None}}, "b is missing"),
    "a new definition": (
        "crds-installed",
        FAILS,
        {"definitions": {"a": definition(established="False")}},
        "a is not established",
    ),
    "another version is served": (
        "crds-version",
        FAILS,
        {"definitions": {"a": definition({"name": "v1", "served": True, "storage": True})}},
        "does not serve v1alpha1, but v1",
    ),
    "another version is stored": (
        "crds-version",
        FAILS,
        {"definitions": {"a": definition({"name": "v1alpha1", "served": True, "storage": False})}},
        "stores another version",
    ),
    "one Deployment": ("operator-found", FAILS, {"components": (component("webhook"),)}, "no Deployment of the controller"),
    "two releases": (
        "operator-found",
        WARNS,
        {"components": (component("controller"), component("controller"), component("webhook"))},
        "2 Deployments of the controller",
    ),
    "no pod available": (
        "operator-available",
        FAILS,
        {"components": (component("controller", availableReplicas=0), component("webhook"))},
        "none of its 2 pods",
    ),
    "some pods available": (
        "operator-available",
        WARNS,
        {"components": (component("controller", availableReplicas=1), component("webhook"))},
        "1 of 2 pods",
    ),
    "another CLI": ("operator-versions", WARNS, {"own_version": "0.2.0"}, "is 0.1.0, this CLI is 0.2.0"),
    "two versions": (
        "operator-versions",
        FAILS,
        {"components": (component("controller", image="r:5000/o:0.2.0"), component("webhook"))},
        "0.1.0, 0.2.0",
    ),
    "an image by digest": (
        "operator-versions",
        WARNS,
        {"components": (component("controller", image="r:5000/o@sha256:1"), component("webhook", image="r:5000/o"))},
        "names no version",
    ),
    "no Lease": ("operator-lease", FAILS, {"lease": None}, "no Lease"),
    "a Lease that was given back": ("operator-lease", FAILS, {"lease": lease(holder="")}, "nobody holds"),
    "an old Lease": ("operator-lease", FAILS, {"lease": lease(renewed=NOW - timedelta(seconds=40))}, "40 s ago"),
    "a right of an account": (
        "operator-rights",
        FAILS,
        {"account_rights": {"the controller": {Right("patch", "pods", "", "a", "b"): False}}},
        "the controller may not patch pods b in the namespace a",
    ),
    "an expired authority": ("webhook-authority", FAILS, {"now": NOW + timedelta(days=366)}, "expired"),
    "a certificate of somebody else": ("webhook-trusted", FAILS, {"certificate": pem(authority=OTHER)}, "none of the"),
    "an expired certificate": ("webhook-certificate", FAILS, {"certificate": pem(age=timedelta(days=91))}, "expired at"),
    "a certificate that ends soon": ("webhook-certificate", WARNS, {"certificate": pem(age=timedelta(days=70))}, "20 days"),
    "no webhook": ("webhook-injects", FAILS, {"injected": Trial(KubernetesRefused(CALL, ""))}, "connection refused"),
    "no injection": ("webhook-injects", FAILS, {"injected": Trial(pod(injected=False))}, "without the container"),
    "no validation": ("webhook-validates", FAILS, {"validated": Trial(resource())}, "is accepted"),
    "no answer": (
        "webhook-validates",
        FAILS,
        {"validated": Trial(KubernetesRefused(CALL.replace("inject", "validate"), ""))},
        "did not answer",
    ),
    "one bus of two away": ("nats-reachable", FAILS, {"buses": (bus(), AwayBus("shop", "b", DOWN))}, "shop/b: cannot"),
    "JetStream off": ("nats-jetstream", FAILS, {"buses": (bus(), bus(jetstream=False, survey=None))}, "JetStream is off"),
    "an old server": ("nats-version", FAILS, {"buses": (bus(server_version="2.9.10"),)}, "2.9.10, 2.10 is needed"),
    "no stream": ("streams-present", FAILS, {"buses": (bus(streams=()),)}, f"there is no stream {EVENTS}"),
    "no durable": ("durables-present", FAILS, {"buses": (bus(steps=(Create(DURABLE, {}),)),)}, "reaction to Ordered"),
    "drift": (
        "wiring-as-wanted",
        WARNS,
        {"buses": (bus(steps=(Update(STREAMS[0], {}, ("max_age",)),)),)},
        "differs in max_age",
    ),
    "what cannot be had": ("wiring-as-wanted", FAILS, {"buses": (bus(steps=(Refuse("a", "b", "c"),)),)}, "a: b"),
    "a full stream": (
        "stream-room",
        WARNS,
        {"buses": (bus(streams=(*(stream(each.name) for each in STREAMS[1:]), stream(EVENTS, size=80))),)},
        "80 % of its 100 bytes",
    ),
    "R1 on a cluster": ("stream-replicas", WARNS, {"buses": (bus(servers=3),)}, "cluster of 3"),
    "a replica away": (
        "stream-replicas",
        WARNS,
        {"buses": (bus(streams=tuple(stream(each.name, replicas=2, current=("a",)) for each in STREAMS)),)},
        "1 of its 2 replicas",
    ),
    "a stream without a leader": (
        "stream-replicas",
        FAILS,
        {"buses": (bus(streams=tuple(stream(each.name, replicas=2) for each in STREAMS)),)},
        "0 of its 2 replicas",
    ),
    "never looked at": (
        "choreographies-observed",
        FAILS,
        {"resources": (resource() | {"status": {}},)},
        "has not looked at Choreography shop/orders",
    ),
    "an edit": ("choreographies-observed", FAILS, {"resources": (resource(observed=2),)}, "last edit"),
    "not Ready": (
        "choreographies-ready",
        FAILS,
        {"resources": (resource(("Wired", "Unknown", "BusAway", "x"), ("Ready", "Unknown", "BusAway", "x")),)},
        "is not Ready (BusAway): x",
    ),
    "Ready, and not whole": (
        "choreographies-whole",
        WARNS,
        {"resources": (resource(("GraphComplete", "False", "NobodyEmits", "y"), ("Ready", "True", "Ready", "")),)},
        "GraphComplete is False (NobodyEmits): y",
    ),
    "no ambassador": ("pods-injected", FAILS, {"pods": (pod(injected=False),)}, "shop/payment-1"),
    "a crash": ("pods-ready", FAILS, {"pods": (pod(state=WAITING),)}, "CrashLoopBackOff"),
    "an end": ("pods-ready", FAILS, {"pods": (pod(state={"terminated": {"reason": "OOMKilled"}}),)}, "OOMKilled"),
    "another image": ("pods-version", WARNS, {"pods": (pod(image="a:1"),)}, "has a:1, the operator injects"),
    "no answer over NATS": ("pods-answer", WARNS, {"buses": (bus(ambassadors=()),)}, "does not answer"),
    "an old configuration": ("pods-current", WARNS, {"buses": (bus(ambassadors=(BEHIND,)),)}, "generation 6"),
    "an open breaker": ("pods-breaker", WARNS, {"buses": (bus(ambassadors=(RESTING,)),)}, "is open: x"),
    "dead letters": ("dead-letters", WARNS, {"buses": (bus(dead_letters={PAYMENT: 2}),)}, "payment/Ordered has 2 dead letters"),
    "a lag": ("lag", WARNS, {"buses": (bus(durable(unread=990, in_hand=11)),)}, "1001 events behind"),
    "busy": ("in-flight", WARNS, {"buses": (bus(durable(in_hand=80)),)}, "80 of its maxInFlight 100"),
    "old events": (
        "event-age",
        FAILS,
        {"buses": (bus(oldest={PAYMENT: NOW - timedelta(days=4)}),)},
        "has used 4d of its maxAge 7d",
    ),
    "a pause": ("suspended", WARNS, {"buses": (bus(suspended=frozenset([PAYMENT])),)}, "payment/Ordered is suspended"),
    "an orphan": ("orphans", WARNS, {"buses": (bus(durable(unread=3, orphaned="2026-05-01"),),)}, "3 events would be lost"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_makes_its_check_speak_and_no_other(name: str) -> None:
    code, level, changed, says = FAULTS[name]

    found = lines(**changed)

    if name == "an expired authority":
        assert spoken(found).pop("webhook-certificate") is Level.FAILED  # it never outlives its authority
        found = tuple(line for line in found if line.check.code not in ("webhook-certificate", "operator-lease"))
    speaking = [line for line in found if line.level in (Level.WARNING, Level.FAILED)]
    assert {line.check.code for line in speaking} == {code}
    assert max(line.level is Level.FAILED for line in speaking) is (level is Level.FAILED)
    assert any(says in line.says for line in speaking), speaking
    assert all(line.hint for line in speaking)


def test_every_check_has_a_fault_here() -> None:
    covered = {code for code, *_ in FAULTS.values()} | {"webhook-registered"}
    assert covered == set(CATALOGUE)


def test_a_webhook_without_a_bundle_is_told_and_its_authority_is_not_known() -> None:
    found = lines(registrations={"MutatingWebhookConfiguration": registration(b"")})

    assert spoken(found) == {"webhook-registered": Level.FAILED}
    skipped = {line.check.code for line in found if line.level is Level.SKIPPED}
    assert skipped == {"webhook-authority", "webhook-trusted"}


def test_a_configuration_that_is_missing_is_told() -> None:
    found = lines(
        registrations={"MutatingWebhookConfiguration": registration(), "ValidatingWebhookConfiguration": None}
    )

    assert spoken(found) == {"webhook-registered": Level.FAILED}


@pytest.mark.parametrize(
    "field",
    [
        "rights", "definitions", "components", "lease", "account_rights", "registrations", "certificate", "injected",
        "validated", "resources", "pods", "generations", "buses",
    ],
)  # fmt: skip
def test_what_is_not_known_is_skipped_with_the_reason_and_nothing_speaks(field: str) -> None:
    found = lines_of(facts(**{field: Unknown("the user jane may not read it", "ask for it")}), 1000)

    assert spoken(found) == {}
    skipped = [line for line in found if line.level is Level.SKIPPED]
    assert skipped
    if field == "pods":
        of_pods = {"pods-injected", "pods-ready", "pods-version", "pods-answer"}
        assert {line.check.code for line in skipped} == of_pods
    assert all("the user jane may not read it" in line.says for line in skipped)


def test_where_no_bus_is_reached_what_is_on_it_is_skipped() -> None:
    found = lines(buses=(AwayBus("shop", "default", DOWN),))

    assert spoken(found) == {"nats-reachable": Level.FAILED}
    skipped = {line.check.code for line in found if line.level is Level.SKIPPED}
    assert {"nats-jetstream", "streams-present", "pods-breaker", "dead-letters", "lag"} <= skipped


def test_what_is_on_a_bus_that_is_away_is_not_fine_for_what_is_on_another_one() -> None:
    away = AwayBus("store", "default", DOWN)
    theirs = pod(namespace="store", name="stock-1", labels={"choregos.dev/service": "stock"})

    found = lines(buses=(bus(), away), pods=(pod(), theirs))

    assert spoken(found) == {"nats-reachable": Level.FAILED}  # nor is its pod blamed for not answering
    skipped = {line.check.code: line.says for line in found if line.level is Level.SKIPPED}
    of_a_bus = {code for code, check in CATALOGUE.items() if check.section in (Section.NATS, Section.FLOW)}
    assert skipped.keys() == (of_a_bus - {"nats-reachable"}) | {"pods-answer", "pods-current", "pods-breaker"}
    assert skipped["dead-letters"] == "there is no dead letter: not known of the bus store/default"
    found = lines(buses=(bus(dead_letters={PAYMENT: 1}), away))
    assert spoken(found) == {"nats-reachable": Level.FAILED, "dead-letters": Level.WARNING}


def test_a_certificate_below_an_authority_that_it_sends_along_is_trusted() -> None:
    between = _between(AUTHORITY)
    chain = pem(authority=between) + between.certificate.public_bytes(Encoding.PEM)

    assert spoken(lines(certificate=chain)) == {}
    assert spoken(lines(certificate=pem(authority=between))) == {"webhook-trusted": Level.FAILED}


def _between(above: Authority) -> Authority:
    """An authority that another one has signed, as an issuer of cert-manager may be."""
    own = new_authority(Terms.of(Settings()), NOW)
    assert own.key is not None
    assert above.key is not None
    name = own.certificate.subject
    builder = x509.CertificateBuilder(
        above.certificate.subject, name, own.key.public_key(), 7, NOW, NOW + timedelta(days=900)
    )
    return Authority(builder.sign(above.key, hashes.SHA256()), own.key)


def test_a_certificate_of_a_short_life_is_late_when_it_should_have_been_renewed() -> None:
    """cert-manager's issuer may give it a day; it is made anew with a third of it left."""
    day = replace(Terms.of(Settings()), leaf_lifetime=timedelta(hours=24), back_dating=timedelta())

    def made(hours: float) -> bytes:
        leaf = new_leaf(AUTHORITY, day, NOW - timedelta(hours=hours))
        return leaf.certificate.public_bytes(Encoding.PEM)

    assert spoken(lines(certificate=made(16.1))) == {}
    assert spoken(lines(certificate=made(17.5))) == {"webhook-certificate": Level.WARNING}


def test_a_refusal_that_is_not_the_webhooks_says_nothing_about_it() -> None:
    quota = Trial(KubernetesRefused("pods is forbidden: exceeded quota", "", "Forbidden"))

    found = {line.check.code: line for line in lines(injected=quota)}

    assert found["webhook-injects"].level is Level.SKIPPED
    assert "exceeded quota" in found["webhook-injects"].says


@pytest.mark.parametrize(
    "says", ['The Choreography "" is invalid: [never-emitted]', "validate.choregos.dev denied the request"]
)
def test_the_webhook_is_known_by_its_refusal_however_kubectl_words_it(says: str) -> None:
    found = {line.check.code: line for line in lines(validated=Trial(KubernetesRefused(says, "")))}

    assert found["webhook-validates"].level is Level.OK


@pytest.mark.parametrize(
    "changed",
    [
        {"metadata": {"annotations": {"choregos.dev/inject": "false"}}},
        {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}},
        {"status": {"phase": "Succeeded"}},
    ],
)
def test_a_pod_that_needs_no_ambassador_is_not_missed(changed: Mapping[str, Any]) -> None:
    body = pod(injected=False)

    assert spoken(lines(pods=({key: value | changed.get(key, {}) for key, value in body.items()},))) == {}


def test_a_pod_that_asked_for_its_own_image_is_left_alone() -> None:
    assert spoken(lines(pods=(pod(image="a:1", annotations={"choregos.dev/image": "a:1"}),))) == {}


def test_a_condition_that_stands_in_the_way_of_ready_is_told_once() -> None:
    found = resource(("Wired", "False", "Refused", "no room"), ("Ready", "False", "Refused", "no room"))

    assert spoken(lines(resources=(found,))) == {"choreographies-ready": Level.FAILED}


def test_the_bound_of_the_lag_is_the_users() -> None:
    assert "lag" in spoken(lines(4, buses=(bus(durable(unread=5)),)))
    assert "lag" not in spoken(lines(5, buses=(bus(durable(unread=5)),)))


def test_a_thousand_faults_of_one_kind_are_ten_lines_and_a_count() -> None:
    letters = {Reaction(f"s{number:04}", "E"): 1 for number in range(1000)}

    told = [line for line in lines(buses=(bus(dead_letters=letters),)) if line.check.code == "dead-letters"]

    assert len(told) == MOST_LINES + 1
    assert told[-1].says == "and 990 more of this kind"


def test_a_durable_that_no_server_can_tell_of_is_not_missing() -> None:
    away = bus(steps=(Create(DURABLE, {}),))
    assert away.survey is not None
    survey = BusSurvey(away.survey.streams, {}, frozenset([DURABLE.name]), {})

    assert spoken(lines(buses=(replace(away, survey=survey),))) == {}


def test_programs_get_every_line_with_its_code_and_page() -> None:
    found = as_json(lines(buses=(bus(dead_letters={PAYMENT: 1}),)))

    assert (found["failed"], found["warnings"], found["skipped"]) == (0, 1, 0)
    (flow,) = [section for section in found["sections"] if section["name"] == "flow"]
    assert flow["checks"][0]["level"] == "warning"
    assert flow["checks"][0]["see"] == "docs/reference/checks.md#dead-letters"


@pytest.mark.parametrize(
    ("encoding", "sign"), [("utf-8", "√"), ("ascii", "ok "), ("latin-1", "ok "), ("no-such", "ok ")]
)
def test_signs_fit_the_output(encoding: str, sign: str) -> None:
    assert signs_for(encoding)[Level.OK] == sign


# --- waiting ---


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({}, "fine"),
        ({"pods": Unknown("no right")}, "nothing found wrong, and not all of it was seen"),
        ({"buses": (bus(dead_letters={PAYMENT: 1}),)}, "fine, with warnings"),
        (
            {"buses": (bus(dead_letters={PAYMENT: 1}),), "pods": Unknown("no right")},
            "warnings, nothing else found wrong, and not all of it was seen",
        ),
        ({"buses": (AwayBus("shop", "default", DOWN),)}, "failed"),
    ],
)
def test_nothing_is_called_fine_while_something_was_not_seen(changed: dict[str, Any], word: str) -> None:
    console = Console(record=True, width=200, file=StringIO())
    show(lines(**changed), console)
    assert console.export_text().splitlines()[-1].startswith(f"{word}: ")


def test_it_looks_again_until_nothing_fails_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes: list[UnreachableError | Facts] = [DOWN, facts(lease=None), facts()]

    async def read_facts(*_: object) -> Facts:
        outcome = outcomes.pop(0)
        if isinstance(outcome, UnreachableError):
            raise outcome
        return outcome

    monkeypatch.setattr("choregos_cli.check.read_facts", read_facts)
    monkeypatch.setattr("choregos_cli.check._AGAIN", 0)
    monkeypatch.setenv("KUBECTL", "true")

    assert main(["check", "-n", "shop", "--wait", "1m"]) == 0
    assert outcomes == []

    outcomes = [facts(lease=None), facts()]
    assert main(["check", "-n", "shop"]) == 1
    assert len(outcomes) == 1

    outcomes = [DOWN]
    assert main(["check", "-n", "shop"]) == 3


def test_a_command_line_that_contradicts_itself_is_refused() -> None:
    assert main(["check", "-n", "shop", "-A"]) == 2
    assert main(["check", "--wait", "soon"]) == 2
