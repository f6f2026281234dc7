"""A container of an image, run by runc alone: the image's user, a root that nobody can write, no capability.

It shares the network of the machine, so that a test reaches it on the loopback, and a bus of the test's is reached by it.
"""

import json
import os
import subprocess
import tarfile
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from support import buildah
from support.images import Image

PATIENCE = 60.0
NAMESPACES = ("pid", "ipc", "uts", "mount")
USER = 65532


class Unpacked:
    """The root file system of an image in a directory, with what the image says of how to run it."""

    def __init__(self, image: Image, directory: Path) -> None:
        self.root = directory / "rootfs"
        self.root.mkdir()
        with tarfile.open(image.archive) as archive:
            manifest = json.loads(_member(archive, "manifest.json"))[0]
            self.config: dict[str, Any] = json.loads(_member(archive, manifest["Config"]))["config"]
            for layer in manifest["Layers"]:
                with tarfile.open(fileobj=archive.extractfile(layer)) as files:
                    files.extractall(self.root, filter="fully_trusted")  # as they are: modes are looked at
        assert not list(self.root.rglob(".wh.*")), "a layer removes files of another, which this does not do"

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that the image sets."""
        return dict(each.split("=", 1) for each in self.config["Env"])


class Container:
    """Runs a command, the image's entry point by default, from `with` on; `run` waits for its end instead."""

    def __init__(
        self,
        unpacked: Unpacked,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        entry: Sequence[str] | None = None,
    ) -> None:
        self._name = f"choregos-{uuid.uuid4().hex[:12]}"
        self._unpacked = unpacked
        self._arguments = [*(unpacked.config["Entrypoint"] if entry is None else entry), *arguments]
        self._environment = [f"{name}={value}" for name, value in {**unpacked.environment, **(env or {})}.items()]
        self._directory = tempfile.TemporaryDirectory(prefix=f"{self._name}-")
        self._log = Path(self._directory.name) / "log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """What the process has written so far, to either stream."""
        return self._log.read_text(errors="replace")

    def __enter__(self) -> Self:
        (Path(self._directory.name) / "config.json").write_text(json.dumps(self._specification()))
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*_runc(), "run", "--bundle", self._directory.name, self._name],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        subprocess.run([*_runc(), "delete", "--force", self._name], capture_output=True, check=False)
        assert self._process
        self._process.wait(PATIENCE)
        self._directory.cleanup()

    def execute(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run another command beside the first, as a hook or a probe does."""
        return subprocess.run(
            [*_runc(), "exec", self._name, *command], capture_output=True, text=True, timeout=PATIENCE, check=False
        )

    def signal(self, name: str = "TERM") -> None:
        """Send the command a signal."""
        subprocess.run([*_runc(), "kill", self._name, name], check=True, capture_output=True)

    def end(self) -> int:
        """Ask for the end as a kubelet does, wait for it and return the exit code."""
        self.signal()
        return self.wait()

    def wait(self) -> int:
        """Wait for the end and return the exit code."""
        assert self._process, "the container was not started"
        return self._process.wait(PATIENCE)

    def _specification(self) -> dict[str, Any]:
        mounts = [{"destination": "/proc", "type": "proc", "source": "proc"}]
        mounts += [{"destination": "/dev", "type": "tmpfs", "source": "tmpfs"}]
        return {
            "ociVersion": "1.0.2",
            "process": {
                "user": {"uid": USER, "gid": USER},
                "args": self._arguments,
                "env": self._environment,
                "cwd": self._unpacked.config.get("WorkingDir") or "/",
                "capabilities": {},
                "noNewPrivileges": True,
            },
            "root": {"path": str(self._unpacked.root), "readonly": True},
            "mounts": mounts,
            "linux": {"namespaces": [{"type": name} for name in NAMESPACES]},
        }


def run(
    unpacked: Unpacked, *arguments: str, env: Mapping[str, str] | None = None, entry: Sequence[str] | None = None
) -> tuple[int, str]:
    """Run a command to its end; return its exit code and what it wrote."""
    with Container(unpacked, *arguments, env=env, entry=entry) as container:
        return container.wait(), container.log


def _runc() -> list[str]:
    return [buildah.tool("runc", "runc"), "--root", f"{tempfile.gettempdir()}/choregos-runc-{os.getuid()}"]


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(name)
    assert member, f"the archive has no {name}"
    return member.read()
