"""How a business service can be told to misbehave, through a file that it reads before each call."""

from enum import StrEnum
from pathlib import Path


class Mode(StrEnum):
    """What a service does with a call."""

    BEHAVE = "behave"
    HANG = "hang"
    """Begin, and never answer."""
    GARBAGE = "garbage"
    """Do nothing, and answer with what is no HTTP, no JSON, or an event that nobody declared."""
    DIE = "die"
    """Do the work, answer, and die in the next moment."""
    UNAVAILABLE = "503"
    """Do nothing, and answer 503."""
    SLOW = "slow"
    """Do the work, after a while that is shorter than the time-out."""


def read(path: Path) -> Mode:
    """Return what the file says; without one, behave."""
    try:
        return Mode(path.read_text())
    except FileNotFoundError:
        return Mode.BEHAVE


def write(path: Path, mode: Mode) -> None:
    """Have the service do so from its next call on, and its successors, too."""
    successor = path.with_suffix(".new")
    successor.write_text(mode)
    successor.rename(path)
