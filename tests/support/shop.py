"""A namespace in which users work: what they do there, and what they see."""

import json
from typing import Any

import yaml

from support.cluster import Cluster
from support.documents import ORDERS
from support.labelled_pods import pod
from support.waiting import eventually

SERVICE = "choregos.dev/service"
HASH = "choregos.dev/configuration-hash"
GENERATION = "choregos.dev/configuration-generation"
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")

Body = dict[str, Any]


class Shop:
    """What users do in a namespace of theirs, and what they can see there."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace

    # What they do

    def orders(self, before: str = "", after: str = "", *, bus: str = "default") -> None:
        body = yaml.safe_load(ORDERS.replace(before, after) if before else ORDERS)
        body["metadata"], body["spec"]["bus"] = {"name": "orders"}, bus
        self.apply(body)

    def edited_orders(self) -> None:
        self.orders("path: /payments", "path: /other")

    def orders_without_shipping(self) -> None:
        body = yaml.safe_load(ORDERS)
        body["metadata"] = {"name": "orders"}
        del body["spec"]["services"]["shipping"]
        body["spec"]["events"] = {"OrderPlaced": {}, "PaymentTaken": {"outcome": "completed"}}
        self.apply(body)

    def bus(self, name: str = "side", **spec: Any) -> None:
        self.apply(
            {"apiVersion": "choregos.dev/v1alpha1", "kind": "EventBus", "metadata": {"name": name}, "spec": spec}
        )

    def pod(self) -> None:
        self.apply({**pod(), "metadata": {"name": "payment", "labels": {SERVICE: "payment"}}})

    def mislabelled(self, kind: str) -> None:
        self.apply(workload(kind, "mislabelled", {SERVICE: "payment"}))

    def uninjected_pod(self) -> None:
        """Label a pod of a Deployment after its creation, which is as good as a webhook that was away."""
        self.apply(workload("Deployment", "web", {}))
        name = eventually(lambda: self.names("pods", "-l", "app=web"), "the Deployment has its pod")[0]
        self.cluster.kubectl("label", "pod", name, f"{SERVICE}=shop", "-n", self.namespace)

    def unlabel_configmap(self) -> None:
        self.cluster.kubectl("label", "configmap", "choregos-payment", f"{SERVICE}-", "-n", self.namespace)

    def stray_configmap(self) -> None:
        labels = {SERVICE: "ghost"}
        self.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "choregos-ghost", "labels": labels}})

    def apply(self, body: Body) -> None:
        self.cluster.apply(body, namespace=self.namespace)

    # What they see

    def items(self, *what: str) -> list[Body]:
        found: list[Body] = self.cluster.get(*what, "-n", self.namespace)["items"]
        return found

    def names(self, *what: str) -> list[str]:
        return [each["metadata"]["name"] for each in self.items(*what)]

    def conditions(self, kind: str) -> list[Body]:
        return [each for one in self.items(kind) for each in one.get("status", {}).get("conditions", [])]

    def ready(self) -> bool:
        return any(each["type"] == "Ready" and each["status"] == "True" for each in self.conditions("choreographies"))

    def configured(self, text: str = "/payments") -> bool:
        return any(text in json.dumps(each.get("data")) for each in self.items("configmaps", "-l", SERVICE))

    def pod_told(self) -> bool:
        """Whether the pod was told of what its ConfigMap holds."""
        found = {each["metadata"]["name"]: each for each in self.items("configmaps", "-l", SERVICE)}
        target = found["choregos-payment"]
        (told,) = [
            each["metadata"]["annotations"] for each in self.items("pods") if each["metadata"]["name"] == "payment"
        ]
        generation = json.loads(target["data"]["configuration.json"])["generation"]
        document = target["metadata"]["annotations"][HASH], str(generation)
        return (told.get(HASH), told.get(GENERATION)) == document

    def events(self) -> set[tuple[str, str]]:
        found = self.items("events.v1.events.k8s.io")
        ours = (each for each in found if each.get("reportingController", "").startswith("choregos.dev/"))
        return {(each["regarding"]["kind"], each["reason"]) for each in ours}

    def evicted(self) -> bool:
        """Whether the pod that has our label and no ambassador is gone."""
        return not self.names("pods", "-l", f"app=web,{SERVICE}")


def workload(kind: str, name: str, labels: dict[str, str]) -> Body:
    """A workload whose pods do not carry our label."""
    template = {"metadata": {"labels": {"app": name}}, "spec": pod()["spec"]}
    spec: Body = {"selector": {"matchLabels": {"app": name}}, "template": template}
    if kind == "StatefulSet":
        spec["serviceName"] = name
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "labels": labels}, "spec": spec}
