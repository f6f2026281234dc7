"""The chart installs the rights and the registration that the operator's code says, for every combination of its switches."""

import json
from functools import partial
from itertools import product
from typing import Any

import pytest

from choregos_operator.annotations import SERVICE_LABEL
from choregos_operator.certificates.issue import Terms
from choregos_operator.rights import manifests
from choregos_operator.settings import Settings
from choregos_operator.webhook.registration import webhook_configurations
from support.helm import NAMESPACE, OUTSIDE, Manifest, merged, only, template

NAMES = ("choregos", "other")
COMBINATIONS = list(product(NAMES, (True, False), (True, False)))
RIGHTS = {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
DEFAULTED: Manifest = {"namespaceSelector": {}, "objectSelector": {}}
"""What the API server adds to a webhook that leaves it out."""


def rendered(name: str, evict: bool, own: bool) -> list[Manifest]:
    manager = {"enabled": not own, "issuerRef": {"name": "internal"}}
    values: Manifest = {
        "fullnameOverride": name,
        "operator": {"evictUninjected": evict},
        "certificates": {"certManager": manager},
    }
    return template(merged(OUTSIDE, values))


def settings(name: str, evict: bool, own: bool) -> Settings:
    return Settings(
        namespace=NAMESPACE,
        evict_uninjected=evict,
        own_certificates=own,
        lease=f"{name}-controller",
        webhook_secret=f"{name}-webhook",
        webhook_service=f"{name}-webhook",
        webhook_configuration=name,
    )


dumps = partial(json.dumps, sort_keys=True)


def bare(manifest: Manifest) -> Manifest:
    """Return a manifest without what only describes it."""
    kept = ("name", "namespace")
    return {
        **{key: value for key, value in manifest.items() if key != "automountServiceAccountToken"},
        "metadata": {key: manifest["metadata"][key] for key in kept if key in manifest["metadata"]},
    }


@pytest.mark.parametrize(("name", "evict", "own"), COMBINATIONS)
def test_the_rights_are_those_of_the_code(name: str, evict: bool, own: bool) -> None:
    aggregated = {f"{name}-view", f"{name}-edit"}
    found = [bare(each) for each in rendered(name, evict, own) if each["kind"] in RIGHTS]
    found = [each for each in found if each["metadata"]["name"] not in aggregated]
    wanted = manifests(settings(name, evict, own), release=name)
    assert sorted(map(dumps, found)) == sorted(dumps(bare(each)) for each in wanted)


@pytest.mark.parametrize(("name", "evict", "own"), COMBINATIONS)
def test_the_registration_is_that_of_the_code_and_every_default_is_written_out(
    name: str, evict: bool, own: bool
) -> None:
    service = {"name": f"{name}-webhook", "namespace": NAMESPACE, "port": 443}
    for wanted in webhook_configurations(settings(name, evict, own), client_config={"service": service}):
        found = only(rendered(name, evict, own), wanted["kind"], name)
        assert found["webhooks"] == [DEFAULTED | webhook for webhook in wanted["webhooks"]]
        assert wanted["metadata"]["labels"].items() <= found["metadata"]["labels"].items()
        injected: Any = None if own else {"cert-manager.io/inject-ca-from": f"{NAMESPACE}/{name}-webhook"}
        assert found["metadata"].get("annotations") == injected


def test_no_pod_of_the_release_waits_for_the_webhook() -> None:
    for each in rendered("choregos", evict=False, own=True):
        assert SERVICE_LABEL not in str(each.get("spec", {}).get("template", {}).get("metadata"))


def test_the_webhook_is_behind_the_service_that_the_registration_names() -> None:
    manifests_ = rendered("choregos", evict=False, own=True)
    (port,) = only(manifests_, "Service", "choregos-webhook")["spec"]["ports"]
    spec = only(manifests_, "Deployment", "choregos-webhook")["spec"]["template"]["spec"]
    assert port["port"] == 443
    assert port["targetPort"] in {each["name"] for each in spec["containers"][0]["ports"]}


def test_cert_manager_makes_the_certificate_for_the_names_that_the_code_would() -> None:
    certificate = only(rendered("other", evict=False, own=False), "Certificate", "other-webhook")["spec"]
    told = settings("other", evict=False, own=False)
    assert tuple(certificate["dnsNames"]) == Terms.of(told).names
    assert certificate["secretName"] == told.webhook_secret
    assert not [each for each in rendered("other", evict=False, own=True) if each["kind"] == "Certificate"]
