"""A Debian with Python, to build images from where no registry answers: made by debootstrap, and kept as an image."""

import subprocess
import tempfile
from pathlib import Path

from support import buildah, caching

SUITE = "bookworm"
PACKAGES = ("ca-certificates", "python3", "python3-distutils", "python3-venv")
DROPPED = ("usr/share/doc", "usr/share/info", "usr/share/locale", "usr/share/man", "var/cache/apt", "var/lib/apt/lists")
DOCKERFILE = """\
FROM scratch
ADD root.tar /
CMD ["python3"]
"""


def name() -> str:
    """Return the name of the image; another recipe has another name."""
    return (
        f"localhost/debian-python:{caching.key(str(each).encode() for each in (SUITE, PACKAGES, DROPPED, DOCKERFILE))}"
    )


def build() -> str:
    """Have the image in the store, which takes two minutes once, and return its name; raises BuildError."""
    if not buildah.known(name()):
        with tempfile.TemporaryDirectory(prefix="choregos-debian-") as temporary:
            context = Path(temporary) / "context"
            context.mkdir()
            _pack(Path(temporary) / "root", context / "root.tar")
            (Path(temporary) / "Dockerfile").write_text(DOCKERFILE)
            buildah.build(context, name(), Path(temporary) / "Dockerfile")
    return name()


def _pack(root: Path, archive: Path) -> None:
    # The mirror is debootstrap's own choice, or what its settings on this machine say.
    debootstrap = buildah.tool("debootstrap", "debootstrap")
    _run(debootstrap, "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(root))
    excluded = [f"--exclude=./{path}/*" for path in (*DROPPED, "dev", "proc", "sys")]
    _run("tar", "--create", "--numeric-owner", f"--file={archive}", f"--directory={root}", *excluded, ".")


def _run(*command: str) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        complaint = "\n".join((ended.stdout + ended.stderr).splitlines()[-20:])
        raise buildah.BuildError(
            f"`{' '.join(command)}` failed:\n{complaint}\nWhat helps: to be root, and a way to a mirror of Debian"
        )
