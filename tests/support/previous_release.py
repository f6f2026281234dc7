"""The ambassador of the release before this one, which runs in pods that nobody has restarted since the upgrade."""

import io
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Final

from support import images

COMMIT: Final = "24a46abdb4cf0f579be09ad6d76a2b1f582f1ccc"
"""What stands for the previous release while there is none: a commit from before the images. Then it is the release's tag."""


def ambassador(tag: str = "previous") -> images.Image:
    """Return the image, built from the tree of that commit; raises AssertionError in a clone without its history."""
    ended = subprocess.run(["git", "-C", images.ROOT, "archive", COMMIT], capture_output=True, check=False)
    assert ended.returncode == 0, f"no commit {COMMIT} here; fetch the whole history: {ended.stderr.decode()}"
    with tempfile.TemporaryDirectory(prefix="choregos-previous-") as directory:
        with tarfile.open(fileobj=io.BytesIO(ended.stdout)) as archive:
            archive.extractall(directory, filter="data")
        return images.image("ambassador", Path(directory), tag)
