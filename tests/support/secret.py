"""A Secret as the kubelet mounts it: links into a directory that is replaced as a whole."""

import shutil
from pathlib import Path


class Secret:
    """A directory whose files change all at once."""

    def __init__(self, directory: Path, **files: str) -> None:
        self._directory = directory
        self._version = 0
        self._directory.mkdir()
        self.hold(files)

    def __str__(self) -> str:
        return str(self._directory)

    def hold(self, files: dict[str, str]) -> None:
        """Hold these files, and no others, from now on."""
        self._version += 1
        data, before = self._directory / f"..{self._version}", (self._directory / "..data").resolve()
        data.mkdir()
        for name, text in files.items():
            (data / name).write_bytes(text.encode(errors="surrogateescape"))
        link = self._directory / "..new"
        link.symlink_to(data.name)
        link.rename(self._directory / "..data")
        for name in files:
            if not (self._directory / name).is_symlink():
                (self._directory / name).symlink_to(Path("..data") / name)
        for name in {each.name for each in self._directory.iterdir() if not each.name.startswith("..")} - set(files):
            (self._directory / name).unlink()
        if self._version > 1:
            shutil.rmtree(before)
