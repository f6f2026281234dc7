"""The real kubectl, bound to one cluster: nothing of the user's own configuration or cache gets in."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 60.0


class KubectlError(Exception):
    """kubectl ended with another code than 0; the message holds the command and what it said."""


@dataclass(frozen=True)
class Kubectl:
    """kubectl with one kubeconfig; `run` for what must succeed, `refusal` for what must not."""

    binary: Path
    kubeconfig: Path | None
    """None for what the environment says."""
    cache: Path

    def run(self, *arguments: str | Path, stdin: str | bytes | None = None) -> str:
        """Run kubectl and return its output; raises KubectlError with its complaint."""
        ended = self._end(arguments, stdin)
        if ended.returncode:
            raise KubectlError(f"kubectl {' '.join(map(str, arguments))}: exit {ended.returncode}\n{ended.stderr}")
        return ended.stdout

    def refusal(self, *arguments: str | Path, stdin: str | bytes | None = None) -> str:
        """Run kubectl, which must fail, and return its complaint; raises AssertionError if it succeeds."""
        ended = self._end(arguments, stdin)
        assert ended.returncode, f"kubectl {' '.join(map(str, arguments))} succeeded: {ended.stdout}"
        return ended.stderr

    def succeeds(self, *arguments: str | Path) -> bool:
        """Run kubectl, and tell whether it succeeded."""
        return self._end(arguments, None).returncode == 0

    def _end(self, arguments: tuple[str | Path, ...], stdin: str | bytes | None) -> subprocess.CompletedProcess[str]:
        own = [str(self.binary), f"--cache-dir={self.cache}"]
        environment = dict(os.environ)
        if self.kubeconfig:
            environment["KUBECONFIG"] = str(self.kubeconfig)
        text = stdin.decode() if isinstance(stdin, bytes) else stdin
        return subprocess.run(
            [*own, *map(str, arguments)],
            input="" if text is None else text,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
