"""The manifest of a release whose processes run outside of the cluster: what the API server has to know of them."""

from typing import Any, Final

import yaml

from choregos_operator.rights import manifests
from choregos_operator.settings import Settings
from choregos_operator.webhook.registration import webhook_configurations

HEAD: Final = """\
# Written by docs/generate.py from the operator's code, and compared by `make check`: do not edit.
"""


def release() -> str:
    """Return the manifest, by the default settings: accounts, roles, the webhook's Service and its registration."""
    settings = Settings.model_construct()
    service: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": settings.webhook_service, "namespace": settings.namespace},
        "spec": {"ports": [{"name": "webhook", "port": settings.webhook_port}]},
    }
    namespace: dict[str, Any] = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": settings.namespace}}
    reference = {**service["metadata"], "port": settings.webhook_port}
    registration = webhook_configurations(settings, client_config={"service": reference})
    return HEAD + yaml.safe_dump_all(
        [namespace, *manifests(settings), service, *registration], sort_keys=False, width=120
    )
