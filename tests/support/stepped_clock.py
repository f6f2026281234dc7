"""A wall clock of its own for one process, which a test may step while the process runs.

Nothing on this machine but that process sees it: a shim that is preloaded adds to what the kernel says.
"""

import shutil
import struct
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_SOURCE: Final = Path(__file__).with_suffix(".c")


def compiler() -> str | None:
    """The C compiler that builds the shim; without one there are no stepped clocks here."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


class SteppedClock:
    """A clock that tells the right time until it is stepped. Its directory goes away with it."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="choregos-clock-")
        self._file = Path(self._directory.name) / "step"
        self._shim = Path(self._directory.name) / "stepped_clock.so"
        self._file.write_bytes(struct.pack("q", 0))
        command = compiler()
        assert command, "no C compiler: install cc, gcc or clang to step the clock of a process"
        subprocess.run([command, "-shared", "-fPIC", "-O2", "-o", self._shim, _SOURCE, "-ldl"], check=True)

    @property
    def environment(self) -> dict[str, str]:
        """What a process has in its environment to go by this clock."""
        return {"LD_PRELOAD": str(self._shim), "STEPPED_CLOCK": str(self._file)}

    def step(self, seconds: int) -> None:
        """Be so many seconds ahead of the right time, or behind it, from now on."""
        with self._file.open("r+b") as file:
            file.write(struct.pack("q", seconds))

    def close(self) -> None:
        self._directory.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
