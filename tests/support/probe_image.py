"""An image of one static binary, written by hand as `docker save` would."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

PROBE = "docker.io/choregos/probe:test"
"""The image with `tests/cluster/node/probe` at /probe; its command by default is that of the pause container."""


def write(archive: Path, binary: Path) -> None:
    """Write the image's archive."""
    layer = _tar({"probe": binary.read_bytes()})
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": ["/probe"], "Cmd": ["pause"], "User": "65532:65532", "Env": ["PATH=/"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [PROBE], "Layers": ["layer.tar"]}]
    files = {"config.json": json.dumps(config).encode(), "layer.tar": layer}
    archive.write_bytes(_tar({**files, "manifest.json": json.dumps(manifest).encode()}))


def _tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
