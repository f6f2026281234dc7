"""A round of faults on a NATS cluster: leaders die, are cut off, step down; nothing is lost, doubled or stuck."""

import asyncio

import pytest

from chaos.options import Options
from chaos.round import play
from chaos.theatre import Kind

ROUNDS = {
    "cut-off-leader,kill-stream-leader,step-down-*,kill-ambassador": {"cut-off-leader", "kill-stream-leader"},
    "cut-off-from-peers,roll-nats,step-down-*,kill-ambassador": {"cut-off-from-peers", "roll-nats"},
}


@pytest.mark.timeout(400)
@pytest.mark.parametrize("faults", ROUNDS)
async def test_a_round_on_a_cluster_loses_doubles_and_leaves_nothing(faults: str) -> None:
    options = Options(seed=4, nats=Kind.CLUSTER, faults=faults, rate=8, every=1)
    report = await play(options, asyncio.Event())
    assert report.good, report.line()
    assert report.settled, report.line()
    assert {each.kind for each in report.struck} >= ROUNDS[faults], report.line()
    assert len(report.evidence.accepted) > options.rate * options.duration / 2, "the customers were served meanwhile"
