"""An ambassador that counts its function calls: `python -m support.counted_ambassador FILE`.

On SIGUSR1 it writes to FILE how many there were until then, by the module that called and by what was called, and says so
in its log. Calls of C functions count, too, but not what happens inside of C. Calls are the same on a slow machine.
"""

import cProfile
import json
import signal
import sys
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

from choregos_ambassador.main import run
from choregos_contract.configuration import Configuration
from support.ambassador import Ambassador

_OURS: Final = ("choregos_ambassador", "choregos_contract")
_TESTS: Final = str(Path(__file__).parents[1])

Calls = Counter[tuple[str, str]]
"""Number of calls, by the module that made them, or whose own they are, and by the function."""


class CountedAmbassador(Ambassador):
    """One such process."""

    def __init__(self, nats_url: str, configuration: Configuration, file: Path) -> None:
        # Of each event it says nothing, as it does where nobody asks it to.
        super().__init__(nats_url, configuration, CHOREGOS_LOG_EVENTS="0", PYTHONPATH=_TESTS)
        self._command = (sys.executable, "-m", "support.counted_ambassador", str(file))
        self._file = file

    async def calls(self) -> Calls:
        """The calls until now."""
        known = len(self.lines)
        self.signal(signal.SIGUSR1)
        await self.until(lambda: any(line["message"] == "counted" for line in self.lines[known:]))
        rows = json.loads(self._file.read_text())
        return Counter({(module, function): number for module, function, number in rows})


def counted(entries: list[Any]) -> Calls:
    """Add up a profiler's entries: a Python function counts for its own module, a C function for the one that calls it."""
    calls: Calls = Counter()
    for entry in entries:
        if not isinstance(entry.code, CodeType):
            continue
        module = module_of(entry.code.co_filename)
        calls[module, entry.code.co_name] += entry.callcount
        for callee in entry.calls or ():
            if not isinstance(callee.code, CodeType):
                calls[module, callee.code.strip("<>")] += callee.callcount
    return calls


def module_of(path: str) -> str:
    """Name our own modules by themselves, others by their package."""
    parts = Path(path).with_suffix("").parts
    if ours := [each for each in _OURS if each in parts]:
        return ".".join(parts[parts.index(ours[0]) :]).removeprefix("choregos_")
    if "site-packages" in parts:
        return parts[parts.index("site-packages") + 1]
    return "the standard library"


def _main(file: Path) -> None:
    profile = cProfile.Profile()

    def tell(_number: int, _frame: FrameType | None) -> None:
        profile.disable()
        rows = [(*key, number) for key, number in counted(profile.getstats()).items()]
        file.write_text(json.dumps(rows))
        sys.stdout.write('{"message": "counted"}\n')
        sys.stdout.flush()
        profile.enable()

    signal.signal(signal.SIGUSR1, tell)
    profile.enable()
    run([])


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
