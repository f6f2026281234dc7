"""A strike that hits nobody is no proof, and what falls over by itself is no fault: both are told."""

from pathlib import Path
from random import Random

import pytest

from chaos.faults import ALL, Missed
from chaos.faults.services import Misbehave
from chaos.mode import Mode
from chaos.theatre import Kind, Runner, theatre


@pytest.mark.timeout(120)
async def test_a_strike_that_hits_nobody_is_missed_and_a_crash_is_no_strike(tmp_path: Path) -> None:
    async with theatre(tmp_path, Kind.SINGLE, Runner.CHOREGOS) as quiet:
        with pytest.raises(Missed, match="nobody called"):
            await Misbehave("hang-service", Mode.HANG, between=(0.1, 0.2)).strike(quiet, Random(1))
        assert not any(each.ended() for each in quiet.replicas)
        crashed = quiet.replicas[0]
        crashed.ambassador.kill()
        await crashed.ambassador.ended()
        quiet.replicas = [crashed]
        with pytest.raises(AssertionError, match=f"ambassador of {crashed.name} ended by itself"):
            await ALL["kill-ambassador"].strike(quiet, Random(1))
