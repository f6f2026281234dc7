"""The pages on installation and upgrade are true: their commands, in their order, do and print on real pods what they show.

`helm` is the real Helm SDK behind `support.helm_command`. What the pages leave to the reader is here: a NATS of his own
that wants credentials, images of a release before, and a second terminal.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import takewhile
from pathlib import Path

import pytest
import yaml

from support import binaries, images, previous_release
from support.console_script import ROOT, environment
from support.helm import CHART, OUTSIDE, Manifest, merged, only, pods, template
from support.nkey_chain import Chain, user_key
from support.node import Node
from support.probe_pods import container, pod, service
from support.shipping import Shipping
from support.shown_commands import Step, matches, steps
from support.waiting import eventually

OPERATIONS = ROOT / "docs" / "operations"
SNIPPETS = OPERATIONS / "snippets"
PATIENCE = 240.0
NATS = "nats"
"""Namespace and Service of the reader's NATS, as the page has it."""


class Reader:
    """Does what the pages say, in a clone of the repository."""

    def __init__(self, node: Node, directory: Path) -> None:
        self._node = node
        self._directory = directory / "clone"
        self._stack = ExitStack()
        self._port = free_port()
        programs = directory / "bin"
        for made in (self._directory, programs):
            made.mkdir()
        for name in ("charts", "crds", "docs", "examples"):
            (self._directory / name).symlink_to(ROOT / name)
        helm = programs / "helm"
        helm.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT}/tests exec {sys.executable} -m support.helm_command "$@"\n')
        helm.chmod(0o755)
        path = f"{programs}:{binaries.find('kubectl').parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        here = {"KUBECONFIG": str(node.kubeconfig), "KUBECACHEDIR": str(directory / "cache"), "LC_ALL": "C.UTF-8"}
        self._environment = environment({"PATH": path, **here})

    def has(self, name: str, text: str) -> None:
        """Let the reader have a file of his own."""
        (self._directory / name).write_text(text)

    def follow(self, step: Step) -> None:
        """Take a step, and find what the page says."""
        if step.command.startswith("kubectl port-forward "):
            self._forward(step)
            return
        ended = self.shell(step.command)
        if step.reads:

            def shown() -> bool:
                nonlocal ended
                ended = self.shell(step.command)
                return ended.returncode == 0 and matches(ended.stdout, step.printed)

            try:
                eventually(shown, str(step), 60)
            except AssertionError as late:
                raise AssertionError(f"{late}\n{ended.stdout}") from None
        told = f"{step}\n{ended.stdout}"
        assert matches(ended.stdout, step.printed), told
        assert ended.returncode == 0, told

    def shell(self, command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command line in the clone."""
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command.replace(":8080/", f":{self._port}/")],
            cwd=self._directory,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def close(self) -> None:
        """Close the second terminal."""
        self._stack.close()

    def _forward(self, step: Step) -> None:
        command = step.command.replace(" 8080:", f" {self._port}:")
        process = self._stack.enter_context(
            subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                env=self._environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
        self._stack.callback(process.terminate)
        assert process.stdout
        assert process.stdout.readline().startswith("Forwarding from "), step


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """A reader with a node of his own: what he installs goes."""
    with Node() as node:
        for name in ("ambassador", "operator", "nats", "example-drone-delivery"):
            node.load(images.image(name).archive)
        node.load(previous_release.ambassador().archive)
        found = Reader(node, tmp_path)
        chain = Chain()
        start_nats(node, chain.config())
        found.has("nats.creds", chain.creds(user_key()))
        found.has("choregos.yaml", (SNIPPETS / "choregos.yaml").read_text())
        try:
            yield found
        finally:
            found.close()


@pytest.mark.timeout(900)
def test_the_commands_of_installation_and_upgrade_do_what_the_pages_say(reader: Reader) -> None:
    installation, upgrade = list(steps(OPERATIONS / "installation.md")), list(steps(OPERATIONS / "upgrade.md"))
    installing = list(takewhile(lambda step: not step.command.startswith("helm uninstall"), installation))
    assert installing
    assert len(installing) < len(installation)
    for step in installing:
        reader.follow(step)
    have_release_of_before(reader)
    for step in (*upgrade, *installation[len(installing) :]):
        reader.follow(step)


def have_release_of_before(reader: Reader) -> None:
    """Turn the release into one that injects an ambassador of before, and let the services have it."""
    tag = previous_release.ambassador().name.rpartition(":")[2]
    older = f"--values choregos.yaml --set ambassador.image.tag={tag}"
    done(reader, f"helm upgrade choregos charts/choregos --namespace choregos-system {older}")
    done(reader, "kubectl rollout status deployment --namespace choregos-system")
    of_operator = "kubectl get pods --namespace choregos-system --output name"
    eventually(lambda: len(done(reader, of_operator).split()) == 2, "the former webhook is gone")
    done(reader, "kubectl rollout restart deployment --namespace shipping")
    done(reader, "kubectl rollout status deployment --namespace shipping")


def done(reader: Reader, command: str) -> str:
    ended = reader.shell(command)
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


@pytest.mark.parametrize("file", ["event-bus", "network-policies", "linkerd", "istio"])
def test_a_manifest_of_the_pages_is_taken_by_the_api_server(shipping: Shipping, file: str) -> None:
    text = (SNIPPETS / f"{file}.yaml").read_text().replace("namespace: shop", f"namespace: {shipping.namespace}")
    shipping.kubectl("apply", "--dry-run=server", "--filename=-", stdin=text)


def test_a_pod_with_the_annotations_for_a_mesh_gets_its_ambassador(shipping: Shipping) -> None:
    for file in ("linkerd", "istio"):
        made = dict(snippet(file)["spec"]["template"]) | {"apiVersion": "v1", "kind": "Pod"}
        made["metadata"] |= {"name": file}
        said = shipping.kubectl(
            "create", "--dry-run=server", "--output=yaml", "--filename=-", stdin=yaml.safe_dump(made)
        )
        (sidecar,) = yaml.safe_load(said)["spec"]["initContainers"]
        assert sidecar["name"] == "choregos-ambassador"
        assert {each["containerPort"] for each in sidecar["ports"]} == {9481}


def test_the_values_of_the_pages_make_what_they_promise() -> None:
    for each in pods(template(merged({"nats": {"enabled": True}}, snippet("mirror")))):
        assert each["spec"]["imagePullSecrets"] == [{"name": "registry-credentials"}]
        assert all(one["image"].startswith("registry.example/") for one in each["spec"]["containers"])
    certificate = only(template(merged(OUTSIDE, snippet("cert-manager"))), "Certificate", "choregos-webhook")
    assert certificate["spec"]["issuerRef"]["name"] == "choregos"
    assert template(snippet("choregos"))


def test_the_application_for_argo_cd_is_of_this_chart() -> None:
    source = snippet("application")["spec"]["source"]
    assert ROOT / source["path"] == CHART
    assert source["helm"]["releaseName"] == "choregos"
    assert template(source["helm"]["valuesObject"])


def snippet(name: str) -> Manifest:
    found: Manifest = yaml.safe_load((SNIPPETS / f"{name}.yaml").read_text())
    return found


def start_nats(node: Node, config: str) -> None:
    """Start a NATS with JetStream, and return when it answers."""
    node.cluster.kubectl("create", "namespace", NATS)
    mounts = [{"name": "data", "mountPath": "/data"}, {"name": "config", "mountPath": "/config"}]
    server = container("nats", "-js", "-sd", "/data", "-c", "/config/nats.conf", volumeMounts=mounts)
    server |= {"image": images.image("nats").name, "readinessProbe": {"tcpSocket": {"port": 4222}, "periodSeconds": 1}}
    volumes = [{"name": "data", "emptyDir": {}}, {"name": "config", "configMap": {"name": NATS}}]
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NATS}, "data": {"nats.conf": config}}
    node.cluster.apply(settings, pod(NATS, server, volumes=volumes), service(NATS, NATS, 4222, 4222), namespace=NATS)
    node.cluster.kubectl("wait", "--for=condition=Ready", f"pod/{NATS}", f"--namespace={NATS}", "--timeout=50s")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
