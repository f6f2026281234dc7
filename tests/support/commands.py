"""The command `choregos` against a cluster of a test, as a user with a kubeconfig runs it."""

import asyncio
import subprocess
from dataclasses import dataclass
from pathlib import Path

from support import binaries
from support.console_script import choregos


@dataclass(frozen=True)
class Commands:
    """Runs commands in a namespace; `nats` is where they find NATS."""

    kubeconfig: Path
    namespace: str
    nats: str

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which a command finds kubectl and the cluster."""
        home = str(self.kubeconfig.parent)
        return {"KUBECONFIG": str(self.kubeconfig), "KUBECTL": str(binaries.find("kubectl")), "HOME": home}

    async def run(self, *arguments: str, stdin: str = "", nats: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command to its end, and let the event loop go on."""
        options = (f"--namespace={self.namespace}", f"--nats={nats or self.nats}")
        return await asyncio.to_thread(choregos, *arguments, *options, stdin=stdin.encode(), env=self.environment)
