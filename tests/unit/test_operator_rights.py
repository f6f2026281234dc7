"""The rights of both processes are as narrow as RBAC can say it; tests/cluster/test_rights.py shows that they are enough."""

from collections import Counter
from itertools import product

import pytest

from choregos_operator.controller.observed import KINDS
from choregos_operator.rights import Rights, Rule, controller_rights, manifests, webhook_rights
from choregos_operator.settings import Settings
from choregos_operator.watching import CHOREOGRAPHIES, EVENT_BUSES

NARROW = Settings(evict_uninjected=False, own_certificates=False)
USUAL = Settings()
WIDE = Settings(evict_uninjected=True)
ALL = [rights(settings) for rights in (controller_rights, webhook_rights) for settings in (NARROW, USUAL, WIDE)]
EVICTING = {("", "pods", "get"), ("", "pods", "create"), ("", "pods/eviction", "create")}

every_process = pytest.mark.parametrize("rights", ALL, ids=lambda rights: rights.process)


def granted(*rules: Rule) -> set[tuple[str, str, str]]:
    return {(rule.group, resource, verb) for rule in rules for resource, verb in product(rule.resources, rule.verbs)}


@every_process
def test_nothing_is_granted_by_a_wildcard(rights: Rights) -> None:
    for rule in rights.rules:
        assert "*" not in (rule.group, *rule.resources, *rule.verbs, *rule.names)


@every_process
def test_nothing_is_granted_twice(rights: Rights) -> None:
    found = Counter(each for rule in rights.rules for each in granted(rule))
    assert [each for each, times in found.items() if times > 1] == []


@every_process
def test_every_rule_says_why(rights: Rights) -> None:
    for rule in rights.rules:
        assert rule.why.endswith("."), rule


@every_process
def test_secrets_and_leases_are_touched_in_the_releases_namespace_only(rights: Rights) -> None:
    assert not {resource for _, resource, _ in granted(*rights.cluster)} & {"secrets", "leases"}


@every_process
def test_what_belongs_to_the_release_is_bound_to_its_name_but_for_its_creation(rights: Rights) -> None:
    theirs = {"secrets", "leases", "mutatingwebhookconfigurations", "validatingwebhookconfigurations"}
    for rule in rights.rules:
        if theirs & set(rule.resources):
            assert rule.names or rule.verbs == ("create",), rule


@every_process
def test_no_right_leads_to_others(rights: Rights) -> None:
    """Neither to accounts and roles, nor into a container, nor to what runs a pod of one's own choice for good."""
    resources = {resource for _, resource, _ in granted(*rights.rules)}
    forbidden = {"pods/exec", "pods/attach", "pods/ephemeralcontainers", "nodes/proxy", "serviceaccounts/token"}
    assert not resources & forbidden
    assert not {rule.group for rule in rights.rules} & {"rbac.authorization.k8s.io", "authentication.k8s.io"}
    assert not granted(*rights.rules) & set(product(["apps"], ["deployments"], ["create", "update", "patch"]))


@every_process
def test_what_users_wrote_is_never_changed(rights: Rights) -> None:
    writes = {(group, resource) for group, resource, verb in granted(*rights.rules) if verb not in ("list", "watch")}
    assert {resource for group, resource in writes if group == "choregos.dev"} <= {
        "choreographies/status",
        "eventbuses/status",
    }


def test_the_webhook_reads_choreographies_and_buses_and_nothing_else() -> None:
    kinds = [(kind.group, kind.plural) for kind in (CHOREOGRAPHIES, EVENT_BUSES)]
    assert granted(*webhook_rights(WIDE).rules) == {(*kind, verb) for kind in kinds for verb in ("list", "watch")}


def test_the_controller_may_watch_what_it_watches_and_nothing_else() -> None:
    rules = granted(*controller_rights(WIDE).rules)
    watched = {(group, resource) for group, resource, verb in rules if verb == "watch"}
    listed = {(group, resource) for group, resource, verb in rules if verb == "list"}
    assert watched == listed == {(kind.group, kind.plural) for kind in KINDS}


def test_pods_are_evicted_and_tried_only_where_a_setting_allows_it() -> None:
    usual, wide = (granted(*controller_rights(settings).rules) for settings in (USUAL, WIDE))
    assert wide - usual == EVICTING
    assert not usual - wide


def test_with_cert_manager_no_secret_and_no_webhook_configuration_is_touched() -> None:
    left = {resource for _, resource, _ in granted(*controller_rights(NARROW).rules)}
    assert {resource for _, resource, _ in granted(*controller_rights(USUAL).rules)} - left == {
        "secrets",
        "mutatingwebhookconfigurations",
        "validatingwebhookconfigurations",
    }


def test_names_are_those_of_the_settings() -> None:
    settings = Settings(lease="a", webhook_secret="b", webhook_configuration="c")
    assert {name for rule in controller_rights(settings).rules for name in rule.names} == {"a", "b", "c"}


def test_manifests_bind_each_account_to_its_own_roles() -> None:
    found = manifests(Settings(namespace="here"), release="shop")
    kinds = [(each["kind"], each["metadata"]["name"], each["metadata"].get("namespace")) for each in found]
    assert kinds == [
        ("ServiceAccount", "shop-controller", "here"),
        ("ClusterRole", "shop-controller", None),
        ("ClusterRoleBinding", "shop-controller", None),
        ("Role", "shop-controller", "here"),
        ("RoleBinding", "shop-controller", "here"),
        ("ServiceAccount", "shop-webhook", "here"),
        ("ClusterRole", "shop-webhook", None),
        ("ClusterRoleBinding", "shop-webhook", None),
    ]
    for binding in (each for each in found if each["kind"].endswith("Binding")):
        name = binding["metadata"]["name"]
        assert binding["roleRef"]["name"] == name
        assert binding["roleRef"]["kind"] == binding["kind"].removesuffix("Binding")
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": name, "namespace": "here"}]


def test_manifests_hold_the_rules_and_their_names() -> None:
    found = {(each["kind"], each["metadata"]["name"]): each for each in manifests(USUAL)}
    role = found["Role", "choregos-controller"]["rules"]
    assert {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]} in role
    named = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "update"]}
    assert {**named, "resourceNames": ["choregos-webhook"]} in role
