"""The page on Kubernetes is true: its commands, in their order, do and print on a real API server what it shows.

The two processes are started by the page's own command lines, under the accounts that the page makes. What only a node
could do, the page does not show: run a pod.
"""

import asyncio
import json
import os
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from support import binaries, crds
from support.bus import connected
from support.cluster import Cluster
from support.console_script import ROOT, environment
from support.logging_process import LoggingProcess
from support.nats import NatsServer
from support.resource_manifests import orders
from support.shown_commands import ANYTHING, BLOCK, Step, matches, steps
from support.waiting import wait_for

pytestmark = pytest.mark.usefixtures("own_cluster")

PAGE = ROOT / "docs" / "guides" / "run-on-kubernetes.md"
PATIENCE = 60.0


class Reader:
    """Does what the page says, in a clone of the repository; what the page leaves to the reader is this machine's."""

    def __init__(self, cluster: Cluster, nats: NatsServer, directory: Path) -> None:
        for name in ("crds", "docs"):
            (directory / name).symlink_to(ROOT / name)
        self._cluster = cluster
        self._directory = directory
        self._stack = AsyncExitStack()
        self._webhook: LoggingProcess | None = None
        self._here = {
            "/tmp/choregos": str(directory / "run"),
            "nats://192.0.2.10:4222": nats.url,
            "CHOREGOS_PROBES_PORT=9482": "CHOREGOS_PROBES_PORT=0",
        }
        path = f"{binaries.find('kubectl').parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        probes = {"CHOREGOS_PROBES_HOST": "127.0.0.1", "CHOREGOS_PROBES_PORT": "0"}
        self._environment = environment({"KUBECONFIG": str(cluster.kubeconfig), "PATH": path, **probes})

    async def follow(self, step: Step) -> None:
        """Take a step, and find what the page says."""
        if step.command.startswith("nats-server"):
            return  # it runs already, on the loopback
        if "choregos-operator controller" in step.command:
            await self._start(step.command, "holding the lease")
        elif "choregos-operator webhook" in step.command:
            await self._start_webhook(step.command)
        else:
            if step.command.startswith("kubectl wait "):
                await wait_for(self._is_cached, "the API server's cache has the choreography of now")
            await self._run(step)

    async def admitted(self) -> None:
        """Wait until the webhook is asked, as a reader does by reading on."""
        assert self._webhook
        await self._webhook.logged("listening")
        document = ROOT / "docs" / "first-steps" / "choreography.yaml"
        create = f"sed s/shop/default/ {document} | kubectl create --dry-run=server -f -"
        await wait_for(lambda: self._shell(create).returncode == 0, "a choreography is admitted")

    async def leave(self) -> None:
        """End the processes, and take away what the page's last commands would, wherever the reader stopped."""
        await self._stack.aclose()
        kinds = "mutatingwebhookconfiguration,validatingwebhookconfiguration"
        self._cluster.kubectl("delete", kinds, "choregos", "--ignore-not-found")
        release = ROOT / "docs" / "guides" / "snippets" / "kubernetes" / "release.yaml"
        self._cluster.kubectl("delete", "--ignore-not-found", "--wait=false", "-f", release)
        self._cluster.kubectl("delete", "namespace", "shop", "--ignore-not-found", "--wait=false")
        crds.install(self._cluster)  # other tests count on them

    def _is_cached(self) -> bool:
        """Whether a list at resource version 0 has it, which may be behind what was created a moment ago.

        `kubectl wait` begins with one, and takes what is not in it for gone; a reader's hands are slower than that cache.
        """
        choreographies = "/apis/choregos.dev/v1alpha1/namespaces/shop/choreographies"
        (stored,) = self._cluster.get("choreographies", "-n", "shop")["items"]
        cached = json.loads(self._cluster.kubectl("get", "--raw", f"{choreographies}?resourceVersion=0"))["items"]
        return [each["metadata"]["uid"] for each in cached] == [stored["metadata"]["uid"]]

    async def _run(self, step: Step) -> None:
        ended = await asyncio.to_thread(self._shell, step.command)
        if step.reads:

            def shown() -> bool:
                nonlocal ended
                ended = self._shell(step.command)
                return matches(ended.stdout, step.printed)

            await wait_for(shown, f"line {step.line}: what the page shows for {step.command}")
        told = f"{PAGE.name}:{step.line}: $ {step.command}\n{ended.stdout}"
        assert matches(ended.stdout, step.printed), told
        assert ended.returncode == 0 or " is invalid: " in step.printed, told

    async def _start_webhook(self, command: str) -> None:
        """Start it where the API server looks for its Service, once the controller has made the certificate."""
        where = "kubectl get service choregos-webhook -n choregos-system -o jsonpath={.spec.clusterIP}"
        self._environment["CHOREGOS_WEBHOOK_HOST"] = self._shell(where).stdout
        made = "kubectl get secret choregos-webhook -n choregos-system"
        await wait_for(lambda: self._shell(made).returncode == 0, "the controller makes the certificate")
        self._webhook = await self._start(command, "probes")

    async def _start(self, command: str, ready: str) -> LoggingProcess:
        line = f"cd {self._directory} && exec env {self._localized(command)}"
        process = LoggingProcess(("bash", "-c", line), self._environment)
        process.ready = ready
        return await self._stack.enter_async_context(process)

    def _shell(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self._localized(command)],
            cwd=self._directory,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def _localized(self, command: str) -> str:
        for theirs, ours in self._here.items():
            command = command.replace(theirs, ours)
        return command


@pytest.fixture
async def reader(cluster: Cluster, tmp_path: Path) -> AsyncIterator[tuple[Reader, NatsServer]]:
    with NatsServer() as nats:
        found = Reader(cluster, nats, tmp_path)
        try:
            yield found, nats
        finally:
            await found.leave()


async def durable_made(nats: NatsServer) -> str:
    async with connected(nats.url) as client:
        (durable,) = await client.jetstream().consumers_info("choregos_shop_default_events")
        return str(durable.created)


async def test_the_commands_of_the_page_do_what_it_says(reader: tuple[Reader, NatsServer]) -> None:
    doing, nats = reader
    listening, made = False, ""
    for step in steps(PAGE):
        if not listening and step.printed != ANYTHING:
            await doing.admitted()
            listening = True
        if step.command.startswith("kubectl delete -f docs/first-steps"):
            made = await durable_made(nats)
        await doing.follow(step)
        if made and step.command.startswith("kubectl wait "):
            assert await durable_made(nats) == made, "the position is kept"
            made = ""
    assert listening
    assert not made


def test_the_questions_of_an_operator_can_be_asked(cluster: Cluster, namespace: str) -> None:
    crds.install(cluster)
    cluster.apply(orders(), namespace=namespace)
    page = (ROOT / "docs" / "operations" / "README.md").read_text()
    (questions,) = (block["text"].splitlines() for block in BLOCK.finditer(page))
    assert len(questions) == 3
    for question in questions:
        named = question.replace("NAMESPACE", namespace).replace("NAME", "orders")
        cluster.kubectl(*shlex.split(named)[1:])


@pytest.mark.parametrize(
    ("printed", "expected", "same"),
    [
        ("a   b\n", "a b", True),
        ("a b", "a …", True),
        ("first\nsecond\nthird\n", "first\n…\nthird\n", True),
        ("first\nsecond\n", "first…\nsecond", True),
        ("first\nsecond\nthird\n", "first\n…third\n", False),
        ("a\n", "…", True),
        ("a b c", "a b", False),
        ("a b", "b …", False),
    ],
)
def test_what_is_shown_is_compared_with_what_is_printed(printed: str, expected: str, same: bool) -> None:
    assert matches(printed, expected) is same
