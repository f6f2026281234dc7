"""`python -m fuzz [--seconds 60] [TARGET...]`: fuzz every target in turn; exit 1 with the input that broke one, in a file.

`python -m fuzz --again FILE TARGET` tries such an input once more, without atheris.
"""

import argparse
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from fuzz.targets import TARGETS

KEPT = Path(".fuzz")
"""Where the corpora and the inputs that broke something are kept."""

MISSING = (
    "atheris is not installed: it has wheels for CPython 3.11 to 3.13 on Linux (x86_64); "
    "tests/unit/test_fuzz_targets.py runs the same targets without it"
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--again", type=Path, metavar="FILE", help="try one input once more")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    options = parser.parse_args()
    names = options.targets or list(TARGETS)
    if unknown := [name for name in names if name not in TARGETS]:
        parser.error(f"there is no target {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    if options.again:
        for name in names:
            TARGETS[name].consume(options.again.read_bytes())
        return 0
    if find_spec("atheris") is None:
        sys.stdout.write(f"{MISSING}\n")
        return 2
    return max([_fuzz(name, options.seconds) for name in names])


def _fuzz(name: str, seconds: int) -> int:
    """Fuzz one target; 1 if it broke."""
    directory = KEPT / name
    directory.mkdir(parents=True, exist_ok=True)
    known = set(directory.glob("*-*"))
    limits = [f"-max_total_time={seconds}", "-timeout=20", "-rss_limit_mb=1024", "-print_final_stats=1", "-verbosity=0"]
    command = [sys.executable, "-m", "fuzz.guided", name, str(directory), *limits]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace")
    if ended.returncode == 0:
        figures = [line.split()[-1] for line in ended.stderr.splitlines() if "number_of_executed_units" in line]
        sys.stdout.write(f"{name}: nothing found, {figures[0] if figures else '?'} inputs\n")
        return 0
    sys.stdout.write(f"{ended.stdout}{ended.stderr}"[-6000:])
    found = sorted(map(str, set(directory.glob("*-*")) - known))
    kept = f"the input is in {' '.join(found)}" if found else "no input was kept"
    sys.stdout.write(f"{name}: broken; {kept}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
