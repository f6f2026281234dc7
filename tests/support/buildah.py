"""Buildah with a store of its own below the cache directory: builds images as any engine would, and exports them."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from support import caching

CONFIGURED = re.compile(r"^[^.]*\.([\w-]+)='(.*)'$", re.MULTILINE)


class BuildError(Exception):
    """An image cannot be built; the message says what was tried, and how to mend it."""


def tool(name: str, package: str) -> str:
    """Return the path of a program; raises BuildError with the package that has it."""
    # Some live where only an administrator's PATH looks.
    if found := shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"):
        return found
    raise BuildError(f"there is no {name} on PATH; on Debian: apt-get install {package}")


def build(
    context: Path, name: str, dockerfile: Path, arguments: Mapping[str, str] | None = None, target: str | None = None
) -> None:
    """Build an image from a context; layers that nothing changed come from the store."""
    options = ["--layers", "--isolation", "chroot", "--network", "host", "--format", "docker", "--pull=never"]
    options += ["--target", target] if target else []
    certificates = os.environ.get("SSL_CERT_FILE", "")
    own = {"SSL_CERT_FILE": certificates} if certificates else {}
    for argument, value in {**own, **(arguments or {})}.items():
        options += ["--build-arg", f"{argument}={value}"]
    for volume in _volumes(context.parent):
        options += ["--volume", volume]
    run("build", "--quiet", *options, "--file", str(dockerfile), "--tag", name, str(context))


def export(name: str, archive: Path) -> None:
    """Write an image, under its name, to an archive that containerd and Docker load."""
    run("push", "--quiet", name, f"docker-archive:{archive}:{name}")


def known(name: str) -> bool:
    """Whether the store has an image of this name."""
    return _ended("inspect", "--type", "image", name).returncode == 0


def run(*arguments: str) -> str:
    """Run buildah and return what it printed; raises BuildError with the end of its complaint."""
    ended = _ended(*arguments)
    if ended.returncode:
        complaint = "\n".join((ended.stdout + ended.stderr).splitlines()[-40:])
        raise BuildError(f"`buildah {' '.join(arguments)}` failed:\n{complaint}")
    return ended.stdout.strip()


def _ended(*arguments: str) -> "subprocess.CompletedProcess[str]":
    store = caching.directory() / "containers"
    command = [tool("buildah", "buildah"), "--root", f"{store}/storage", "--runroot", f"{store}/run"]
    return subprocess.run(
        [*command, "--storage-driver", "overlay", *arguments], capture_output=True, text=True, check=False
    )


def _volumes(directory: Path) -> list[str]:
    """Return how this machine's way to the package index is mounted into build steps: pip's settings, CA bundles."""
    settings = _pip_settings()
    file = directory / "pip.conf"
    file.write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items()))
    bundles = {settings.get("cert", ""), os.environ.get("SSL_CERT_FILE", "")} - {""}
    return [f"{file}:/etc/pip.conf:ro", *(f"{bundle}:{bundle}:ro" for bundle in sorted(bundles))]


def _pip_settings() -> dict[str, str]:
    command = [sys.executable, "-m", "pip", "config", "list"]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return dict(CONFIGURED.findall(told))
