"""What the test node needs of the machine is installed, or told with the very command that installs it."""

import os
import re
from pathlib import Path

import pytest

from support import node_packages


def test_where_apt_cannot_be_used_the_complaint_names_every_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        node_packages.PackagesError, match=r"install what Debian has in its packages .*containerd.* runc"
    ):
        node_packages.install()


def test_without_root_the_complaint_has_the_command_to_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    apt(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(
        node_packages.PackagesError, match=r"`apt-get update && apt-get install --no-install-recommends .*containerd"
    ):
        node_packages.install()
    assert not (tmp_path / "calls").exists()


def test_only_what_is_missing_is_installed_and_nothing_of_it_is_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    policy = tmp_path / "policy-rc.d"
    apt(tmp_path)
    for command in {each for name, needed in node_packages.PACKAGES.items() if name != "runc" for each in needed}:
        executable(tmp_path / command, "")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(node_packages, "_POLICY", policy)
    monkeypatch.setattr(node_packages, "plugins", lambda: tmp_path)
    for plugin in ("bridge", "host-local", "loopback"):
        executable(tmp_path / plugin, "")
    assert node_packages.install() == ["runc"]
    calls = (tmp_path / "calls").read_text()
    assert re.findall(r"(update|install .*)", calls) == ["update", "install --yes --no-install-recommends runc"]
    assert calls.count("exit 101") == 2
    assert not policy.exists()


def apt(directory: Path) -> None:
    """Write an apt-get that notes its arguments and the policy on daemons, and that "installs" runc."""
    note = f'echo "$@" >> {directory}/calls; /bin/cat {directory}/policy-rc.d >> {directory}/calls'
    executable(directory / "apt-get", f"{note}; : > {directory}/runc; /bin/chmod 755 {directory}/runc")


def executable(file: Path, script: str) -> None:
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
