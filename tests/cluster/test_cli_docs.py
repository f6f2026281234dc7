"""The examples of `choregos plan` and `choregos status` in docs/cli.md print what the page shows, in a namespace of the test's."""

import asyncio
import os
import re
import subprocess
from pathlib import Path

import pytest

from support import binaries
from support.choreographed import Choreographed
from support.cluster import Cluster
from support.console_script import ROOT, SCRIPT, environment
from support.controlled import controlled
from support.shown_commands import Step, matches, steps
from support.waiting import wait_for

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]
PAGE = ROOT / "docs" / "cli.md"
FILE = Path("docs") / "first-steps" / "choreography.yaml"


class Reader:
    """Runs what the page shows; the page's namespace is called `shop`."""

    def __init__(self, cluster: Cluster, namespace: str, nats: str, directory: Path) -> None:
        self._namespace = namespace
        self._directory = directory
        self._nats = nats
        path = f"{SCRIPT.parent}:{binaries.find('kubectl').parent}:{os.environ['PATH']}"
        self._environment = environment({"KUBECONFIG": str(cluster.kubeconfig), "PATH": path})
        self._code = 0
        self.file = directory / FILE
        self.file.parent.mkdir(parents=True)
        self.file.write_text((ROOT / FILE).read_text().replace("namespace: shop", f"namespace: {namespace}"))

    def follow(self, step: Step) -> str:
        """Run one command, and return what it prints."""
        if step.command == "echo $?":
            return f"{self._code}\n"
        command = re.sub(
            r"choregos (plan|status)", rf"choregos \1 --nats={self._nats} -n{self._namespace}", step.command
        )
        ended = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self._directory,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        self._code = ended.returncode
        return ended.stdout.replace(self._namespace, "shop")


async def test_the_examples_on_the_page_print_what_it_shows(
    cluster: Cluster, crds: None, namespace: str, tmp_path: Path
) -> None:
    async with controlled(cluster, namespace) as site, site.controller():
        reader = Reader(cluster, namespace, site.server.url, tmp_path)
        shop: Choreographed = site.shop
        await asyncio.to_thread(cluster.kubectl, "apply", f"--filename={reader.file}")
        await shop.until("orders", "True")
        for number in range(2):
            await shop.bus().publish("OrderPlaced", event_id=str(number))
        shown = [*steps(PAGE, "`choregos plan "), *steps(PAGE, "`choregos status ")]
        assert len(shown) == 4
        for step in shown:
            printed = ""

            async def as_shown(step: Step = step) -> bool:
                nonlocal printed
                printed = await asyncio.to_thread(reader.follow, step)
                return matches(printed, step.printed)

            try:
                await wait_for(as_shown, step.command, 15)
            except AssertionError:
                raise AssertionError(f"{step}\n{printed}") from None
