"""The page of the operator's rights on the API server."""

from collections.abc import Iterable
from itertools import product

from choregos_operator.rights import Rights, Rule, controller_rights, webhook_rights
from choregos_operator.settings import Settings
from reference_pages.markdown import code, page, table

_SETTINGS = Settings.model_construct()
_SWITCHES = (
    ("`CHOREGOS_OWN_CERTIFICATES` is `true`, which it is unless cert-manager makes them", {"own_certificates": False}),
    ("`CHOREGOS_EVICT_UNINJECTED` is `true`, which it is not by default", {"evict_uninjected": False}),
)


def rights() -> str:
    """Return the page."""
    wide = _SETTINGS.model_copy(update={"evict_uninjected": True})
    controller, webhook = controller_rights(wide), webhook_rights(wide)
    return page(
        "Rights of the operator",
        """
Each of the operator's two processes has an account, and roles (RBAC) that grant what it calls and nothing else; a test shows
that nothing of it is unused, and another that without any one of them something fails. Names are those of the default
settings. `create` cannot be bound to a name, and no right to a label: of pods, ConfigMaps and workloads only those with the
label `choregos.dev/service` are asked for.

API discovery, which is read as well, is open to every account. Namespaces, CustomResourceDefinitions, nodes, and the Secrets of
any other namespace are not read; finalizers are not written.""",
        "## The webhook",
        "In all namespaces:",
        _table(webhook.cluster),
        "## The controller",
        "In all namespaces:",
        _table(controller.cluster),
        "In the release's namespace:",
        _table(controller.namespaced),
        "\n\n".join(_only(controller, wide, when, off) for when, off in _SWITCHES),
        """
## What a stolen token is worth

Guard the controller's account like an administrator's, and let nobody run pods in the release's namespace who is not one. RBAC
cannot bind a right to a label or to a field, so the account may do more than the controller does:

* `patch pods` changes not only annotations: who has it can replace **the image of any container of any pod**, and so run code of
  their own with that pod's Secrets, volumes and service account. Pods of `kube-system` are among them.
* `create`, `update` and `delete configmaps` holds for **every ConfigMap of every namespace**, those that configure other software
  included.
* With `CHOREGOS_EVICT_UNINJECTED`, `create pods` is the right to run any pod, not only to try one.

The webhook's account only reads; but who holds its certificate's key decides what every labelled pod runs. What narrows it is
admission: a ValidatingAdmissionPolicy that lets the controller's account change nothing of a pod but its annotations, and no
ConfigMap whose name does not begin with `choregos-`.

## When one is missing

Neither process ends over it, but for a Lease that it holds and may no longer renew. It says which one is missing, in the API
server's own words (`User "..." cannot patch resource "pods" ...`): in its log, and where a ConfigMap cannot be written, in
the condition `Wired`. Without a right to `list` it waits, and without one on its Lease, too; without one to `watch`, changes
of that kind are seen at the next sweep (`CHOREGOS_SWEEP_SECONDS`); without any other, the rest is done. It tries again, and
goes on as soon as the right is there; no restart is needed.""",
    )


def _table(rules: Iterable[Rule]) -> str:
    return table(
        ("group", "resources", "verbs", "bound to", "why"),
        (
            (
                code(rule.group or "core"),
                _codes(rule.resources),
                _codes(rule.verbs),
                _codes(rule.names) or "-",
                rule.why,
            )
            for rule in rules
        ),
    )


def _codes(names: Iterable[str]) -> str:
    return ", ".join(map(code, names))


def _only(whole: Rights, settings: Settings, when: str, off: dict[str, bool]) -> str:
    """Tell which rights there are only by a setting."""
    without = controller_rights(settings.model_copy(update=off)).rules
    depending = [rule for rule in whole.rules if rule not in without]
    pairs = (f"{verb} {resource}" for rule in depending for resource, verb in product(rule.resources, rule.verbs))
    return f"Only if {when}: {', '.join(map(code, pairs))}."
