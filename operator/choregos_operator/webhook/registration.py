"""What the API server is told to ask the webhook: the two webhook configurations, as they are installed.

Only pods with the label are asked about, so that no other can ever suffer from a webhook that is away. A labelled one, and
a choreography or a bus, is refused then: a pod must not start without its ambassador unnoticed.
"""

from collections.abc import Mapping
from typing import Any, Final

from choregos_contract.resources import API_VERSION
from choregos_operator.annotations import SERVICE_LABEL
from choregos_operator.settings import Settings

GROUP, VERSION = API_VERSION.split("/")
INJECT_PATH: Final = "/inject"
VALIDATE_PATH: Final = "/validate"
INJECTION: Final = f"inject.{GROUP}"
VALIDATION: Final = f"validate.{GROUP}"
TIMEOUT: Final = 5
"""Seconds that the API server waits for an answer."""


def webhook_configurations(settings: Settings, *, client_config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the MutatingWebhookConfiguration and the ValidatingWebhookConfiguration.

    `client_config` is the `clientConfig` of both, without a path: `url` or `service`, and `caBundle`, if it is known.
    """
    return [
        _configuration("Mutating", settings, [injection(client_config)]),
        _configuration("Validating", settings, [validation(client_config)]),
    ]


def injection(client_config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the webhook for pods that are labelled for a service."""
    return {
        "name": INJECTION,
        "clientConfig": _client(client_config, INJECT_PATH),
        "rules": [_rule("", "v1", ["pods"], ["CREATE"])],
        "objectSelector": {"matchExpressions": [{"key": SERVICE_LABEL, "operator": "Exists"}]},
        # Another webhook may add a container after us, which shall know where to publish, too.
        "reinvocationPolicy": "IfNeeded",
        **_common(),
    }


def validation(client_config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the webhook for choreographies and buses. It sees neither deletions nor writes of the status."""
    return {
        "name": VALIDATION,
        "clientConfig": _client(client_config, VALIDATE_PATH),
        "rules": [_rule(GROUP, VERSION, ["choreographies", "eventbuses"], ["CREATE", "UPDATE"])],
        **_common(),
    }


def _configuration(what: str, settings: Settings, webhooks: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": f"{what}WebhookConfiguration",
        "metadata": {"name": settings.webhook_configuration, "labels": {"app.kubernetes.io/part-of": "choregos"}},
        "webhooks": webhooks,
    }


def _common() -> dict[str, Any]:
    return {
        "admissionReviewVersions": ["v1"],
        "failurePolicy": "Fail",
        "matchPolicy": "Equivalent",
        "sideEffects": "None",
        "timeoutSeconds": TIMEOUT,
    }


def _rule(group: str, version: str, resources: list[str], operations: list[str]) -> dict[str, Any]:
    return {
        "apiGroups": [group],
        "apiVersions": [version],
        "resources": resources,
        "operations": operations,
        "scope": "Namespaced",
    }


def _client(client_config: Mapping[str, Any], path: str) -> dict[str, Any]:
    if "url" in client_config:
        return {**client_config, "url": client_config["url"] + path}
    return {**client_config, "service": {**client_config["service"], "path": path}}
