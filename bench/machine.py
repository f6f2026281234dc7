"""What processes cost, and on what they were measured. Linux only."""

import os
import platform
import subprocess
import time
from importlib.metadata import version
from pathlib import Path

from choregos_cli.embedded_nats import find_server

_TICK = os.sysconf("SC_CLK_TCK")
_SCHEDULED = 2
"""The clock that counts what the scheduler has given, in nanoseconds; CPUCLOCK_SCHED in the kernel's posix-timers.h."""
PACKAGES = ("choregos", "nats-py", "aiohttp", "uvloop", "httptools", "faststream")


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far, user and system, of all its threads, in steps of nanoseconds.

    Its clock's id is made as `clock_getcpuclockid(3)` does; `/proc/PID/stat` counts in steps of 10 ms.
    """
    return time.clock_gettime((~pid << 3) | _SCHEDULED)


def rss_mib(pid: int) -> float:
    """Resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


def busy_seconds() -> float:
    """CPU time that all cores have been busy for so far, by a clock of its own: what counts is the difference of two.

    It is what is left beside their idle time, which the kernel counts exactly; busy time it guesses at from ticks.
    """
    cores, _, _ = Path("/proc/stat").read_text().partition("\n")
    idle, waiting = (int(each) / _TICK for each in cores.split()[4:6])
    return time.monotonic() * (os.cpu_count() or 1) - idle - waiting


def machine() -> str:
    """Name the machine in a line."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown CPU")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB; {platform.system()} {platform.release()}"


def versions() -> str:
    """Name what was measured, in a line; the service says its own version."""
    said = subprocess.run([find_server(), "--version"], capture_output=True, text=True, check=True)
    nats_server = said.stdout.strip().rpartition("v")[2]
    packages = [f"{name} {version(name)}" for name in PACKAGES]
    return ", ".join([f"Python {platform.python_version()}", f"nats-server {nats_server}", *packages])
