"""The installed console script `choregos`, run as a user's shell would run it."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(sys.executable).parent / "choregos"


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment, without what would change how the command prints or where it publishes."""
    steering = ("CHOREGOS_", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "TTY_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(steering)}
    return kept | dict(extra or {})


def choregos(
    *arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None, cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end; the output is decoded as UTF-8."""
    ended = subprocess.run(
        [SCRIPT, *arguments], input=stdin, env=environment(env), cwd=cwd, capture_output=True, timeout=60, check=False
    )
    return subprocess.CompletedProcess(ended.args, ended.returncode, ended.stdout.decode(), ended.stderr.decode())
