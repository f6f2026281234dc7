"""The Helm chart of this repository, by the real Helm SDK: as it is rendered, and as a release in a cluster."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from helm_python import Chart, Config, HelmError

from support.cluster import Cluster

CHART = Path(__file__).parents[2] / "charts" / "choregos"
RELEASE, NAMESPACE = "choregos", "choregos-system"
OUTSIDE = {"nats": {"url": "nats://nats.nats:4222"}}
"""The least that the chart takes, with a NATS of the user's own."""
BUILT_IN = {"nats": {"enabled": True}}
"""The least that it takes, with its own."""
HA = yaml.safe_load((CHART / "values-ha.yaml").read_text())

Manifest = dict[str, Any]
Values = Mapping[str, Any]


def merged(*layers: Values) -> Manifest:
    """Merge values as Helm does with several files: later ones win, maps are merged."""
    found: Manifest = {}
    for layer in layers:
        for key, value in layer.items():
            both = isinstance(found.get(key), dict) and isinstance(value, Mapping)
            found[key] = merged(found[key], value) if both else value
    return found


TOGGLES: Mapping[str, Manifest] = {
    "defaults": merged(OUTSIDE),
    "built-in NATS": merged(BUILT_IN),
    "built-in NATS without a claim": merged(BUILT_IN, {"nats": {"persistence": {"enabled": False}}}),
    "high availability": merged(OUTSIDE, HA),
    "credentials": merged(OUTSIDE, {"nats": {"credentialsSecret": "nats-credentials"}}),
    "cert-manager": merged(
        OUTSIDE, {"certificates": {"certManager": {"enabled": True, "issuerRef": {"name": "internal"}}}}
    ),
    "monitoring": merged(
        OUTSIDE,
        {
            "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
            "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
        },
    ),
    "network policies": merged(
        BUILT_IN,
        {"networkPolicy": {"enabled": True, "extraEgress": [{"ports": [{"protocol": "TCP", "port": 4223}]}]}},
    ),
    "evictions": merged(OUTSIDE, {"operator": {"evictUninjected": True}}),
    "network of the node": merged(OUTSIDE, {"webhook": {"hostNetwork": True, "port": 10250}}),
    "without definitions and roles": merged(
        OUTSIDE, {"crds": {"enabled": False}, "rbac": {"aggregateClusterRoles": False}}
    ),
    "everything of a pod": merged(
        BUILT_IN,
        {"imagePullSecrets": [{"name": "mirror"}], "global": {"imageRegistry": "mirror.example"}},
        {"commonLabels": {"team": "platform"}, "podSecurityContext": {"runAsUser": 1000}},
        *(
            {
                process: {
                    "nodeSelector": {"kubernetes.io/os": "linux"},
                    "tolerations": [{"key": "critical", "operator": "Exists"}],
                    "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
                    "priorityClassName": "system-cluster-critical",
                    "podAnnotations": {"example.com/note": "a"},
                    "podLabels": {"example.com/kind": "b"},
                }
            }
            for process in ("controller", "webhook", "nats")
        ),
        *(
            {
                process: {
                    "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
                    "serviceAccount": {"annotations": {"example.com/role": "c"}},
                }
            }
            for process in ("controller", "webhook")
        ),
    ),
}
"""One set of values for each thing that can be turned on."""


class Refused(Exception):  # noqa: N818  named by what it means for the caller
    """The chart takes no such values; the message is Helm's."""


def texts(values: Values, *, release: str = RELEASE, namespace: str = NAMESPACE) -> dict[str, str]:
    """Return what each template is rendered to; raises Refused."""
    with Chart.load(CHART) as chart, _refusing():
        chart.validate_schema(dict(values))
        return chart.render(dict(values), name=release, namespace=namespace)


def template(values: Values, *, release: str = RELEASE, namespace: str = NAMESPACE) -> list[Manifest]:
    """Return the manifests, but for the notes; raises Refused."""
    # The definitions are long, and the parser in Python would take a quarter of a second for each call.
    rendered = texts(values, release=release, namespace=namespace)
    return [
        manifest
        for path, text in sorted(rendered.items())
        if path.endswith(".yaml")
        for manifest in yaml.load_all(text, yaml.CSafeLoader)
        if manifest
    ]


def only(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    """Return the one manifest of that kind and name."""
    (found,) = (each for each in manifests if (each["kind"], each["metadata"]["name"]) == (kind, name))
    return found


def pods(manifests: list[Manifest]) -> Iterator[Manifest]:
    """Yield the pod templates."""
    for each in manifests:
        if each["kind"] in ("Deployment", "StatefulSet"):
            yield each["spec"]["template"]


def environment(manifests: list[Manifest], process: str) -> dict[str, str]:
    """Return the variables of a process of the operator."""
    (container,) = only(manifests, "Deployment", f"{RELEASE}-{process}")["spec"]["template"]["spec"]["containers"]
    return {each["name"]: each["value"] for each in container["env"]}


class Installed:
    """The chart as a release in a cluster; nothing is waited for."""

    def __init__(self, cluster: Cluster, namespace: str, release: str = RELEASE) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.release = release

    def adopt(self, *objects: str) -> None:
        """Let the release have objects without a namespace that kubectl has made, such as `crd/NAME`, fields included."""
        for each in objects:
            fields = self.cluster.get(each, "--show-managed-fields")["metadata"]["managedFields"]
            left = [field for field in fields if not field["manager"].startswith("kubectl")]
            patch = json.dumps([{"op": "replace", "path": "/metadata/managedFields", "value": left}])
            self.cluster.kubectl("patch", each, "--type=json", f"--patch={patch}")
        owner = {"release-name": self.release, "release-namespace": self.namespace}
        marks = [f"meta.helm.sh/{key}={value}" for key, value in owner.items()]
        self.cluster.kubectl("annotate", "--overwrite", *objects, *marks)
        self.cluster.kubectl("label", "--overwrite", *objects, "app.kubernetes.io/managed-by=Helm")

    def install(self, values: Values, chart: Path = CHART) -> list[Manifest]:
        """Install it, or a chart of another day, and return its manifests; raises Refused."""
        with self._config() as config, _refusing():
            return _manifests(config.install(chart, self.release, dict(values), create_namespace=True))

    def upgrade(self, values: Values) -> list[Manifest]:
        """Upgrade it to these values, and return its manifests; raises Refused."""
        with self._config() as config, _refusing():
            return _manifests(config.upgrade(CHART, self.release, dict(values), reset_values=True))

    def rollback(self, revision: int) -> None:
        """Go back to a revision."""
        with self._config() as config:
            config.rollback(self.release, version=revision)

    def uninstall(self) -> None:
        """Uninstall it, if it is there."""
        with self._config() as config:
            config.uninstall(self.release, ignore_not_found=True)

    def _config(self) -> Config:
        return Config(kubeconfig_path=self.cluster.kubeconfig, namespace=self.namespace)


def _manifests(release: Mapping[str, Any]) -> list[Manifest]:
    return [each for each in yaml.load_all(release["manifest"], yaml.CSafeLoader) if each]


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except HelmError as error:
        raise Refused(str(error)) from error
