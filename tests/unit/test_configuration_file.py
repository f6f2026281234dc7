"""The mounted configuration is given up when it is gone, and only then."""

import errno
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from unittest.mock import Mock

import pytest

from choregos_ambassador import configuration_file
from choregos_ambassador.configuration_file import changes
from choregos_ambassador.metrics import Metrics
from choregos_contract.configuration import dump
from support.labelled_pods import configured

CONFIGURATION = configured()
THERE = dump(CONFIGURATION)
MISSING = FileNotFoundError(errno.ENOENT, "No such file or directory")
NO_DIRECTORY = NotADirectoryError(errno.ENOTDIR, "Not a directory")
NO_DESCRIPTOR = OSError(errno.EMFILE, "Too many open files")
NOT_ALLOWED = PermissionError(errno.EACCES, "Permission denied")

Look = tuple[float, bytes | OSError]
"""The moment of a look in seconds, and what it finds."""


class EndOfScriptError(Exception):
    """Every look was taken."""


class Scripted:
    """Stands for the file and the clock: each look is at its moment."""

    def __init__(self, looks: Sequence[Look]) -> None:
        self._looks = iter(looks)
        self._now = 0.0

    def monotonic(self) -> float:
        return self._now

    def look(self) -> bytes:
        look = next(self._looks, None)
        if look is None:
            raise EndOfScriptError
        self._now, found = look
        if isinstance(found, OSError):
            raise found
        return found


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Mock:
    log = Mock()
    monkeypatch.setattr(configuration_file, "log", log)
    return log


async def in_force(monkeypatch: pytest.MonkeyPatch, metrics: Metrics, *looks: Look) -> list[int]:
    """How many reactions each configuration has that comes into force in the course of the looks."""
    script = Scripted(looks)
    monkeypatch.setattr(Path, "read_bytes", lambda _path: script.look())
    monkeypatch.setattr(configuration_file, "time", script)
    monkeypatch.setattr(configuration_file, "LOOK_EVERY", 0)
    found: list[int] = []
    with suppress(EndOfScriptError):
        async for configuration in changes(Path("configuration.json"), metrics):
            found.append(len(configuration.reactions))  # noqa: PERF401  what was found before the end counts
    return found


@pytest.mark.parametrize("gone", [MISSING, NO_DIRECTORY])
async def test_a_file_that_stays_away_is_given_up_and_taken_up_again(
    gone: OSError, monkeypatch: pytest.MonkeyPatch, metrics: Metrics, told: Mock
) -> None:
    looks: list[Look] = [(0, THERE), (1, gone), (4, gone), (7, gone), (8, gone), (9, THERE)]
    assert await in_force(monkeypatch, metrics, *looks) == [1, 0, 1]
    assert told.warning.call_count == 1
    assert not told.error.called


@pytest.mark.parametrize("fault", [NO_DESCRIPTOR, NOT_ALLOWED])
async def test_a_file_that_cannot_be_read_stays_in_force_and_is_told_once(
    fault: OSError, monkeypatch: pytest.MonkeyPatch, metrics: Metrics, told: Mock
) -> None:
    looks: list[Look] = [(0, THERE), *((float(second), fault) for second in range(1, 60)), (60, THERE)]
    assert await in_force(monkeypatch, metrics, *looks) == [1]
    assert told.error.call_count == 1
    assert (told.error.call_args.args, told.error.call_args.kwargs["in_force"]) == (("configuration unreadable",), True)
    assert metrics.registry.get_sample_value("choregos_configuration_errors_total") == 1


async def test_each_time_that_it_cannot_be_read_is_told(
    monkeypatch: pytest.MonkeyPatch, metrics: Metrics, told: Mock
) -> None:
    await in_force(monkeypatch, metrics, (0, NOT_ALLOWED), (1, THERE), (2, NOT_ALLOWED), (3, NOT_ALLOWED))
    assert [call.kwargs["in_force"] for call in told.error.call_args_list] == [False, True]


@pytest.mark.parametrize(
    "looks",
    [
        pytest.param([(100, MISSING), (101, THERE)], id="a process that was stopped, then one look between versions"),
        pytest.param([(1, MISSING), (100, THERE)], id="a look between versions, then stopped"),
        pytest.param([(1, MISSING), (3, THERE), (5, MISSING), (8, MISSING)], id="missing twice, never for long"),
        pytest.param(
            [(1, MISSING), (3, NO_DESCRIPTOR), (7, MISSING)], id="nobody saw that it was missing all the time"
        ),
    ],
)
async def test_one_look_that_misses_it_is_not_enough(
    looks: list[Look], monkeypatch: pytest.MonkeyPatch, metrics: Metrics, told: Mock
) -> None:
    assert await in_force(monkeypatch, metrics, (0, THERE), *looks) == [1]
    assert not told.warning.called
