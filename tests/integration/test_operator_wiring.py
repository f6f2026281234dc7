"""What is remembered of a bus between two passes, and when it must not be, on real nats-servers."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from choregos_operator.bus.connections import Connections
from choregos_operator.controller.wiring import Outcome, Wirer
from choregos_operator.settings import Settings
from support.bus import TestBus, connected
from support.nats import NatsServer
from support.watched import Watched

NOW = datetime(2026, 1, 2, tzinfo=UTC)


class Controller:
    """The bus part of a controller, and what it knows of its namespace."""

    def __init__(self, url: str) -> None:
        settings = Settings(nats_url=url)
        self.url = url
        self.watched = Watched()
        self.connections = Connections(settings)
        self._wirer = Wirer(settings, self.connections)
        self._now = NOW

    async def wire(self, *, after: float = 0.0) -> Outcome:
        """Run a pass so many seconds after the last."""
        self._now += timedelta(seconds=after)
        return await self._wirer.wire(self.watched.look(), self._now)


@pytest.fixture
async def controller() -> AsyncIterator[Controller]:
    with NatsServer() as server:
        found = Controller(server.url)
        yield found
        await found.connections.close()


async def test_a_look_is_made_do_until_something_else_is_wanted_or_it_is_old(controller: Controller) -> None:
    controller.watched.choreography()
    assert (await controller.wire()).fresh
    assert not (await controller.wire(after=29)).fresh
    assert (await controller.wire(after=2)).fresh
    controller.watched.choreography(event="B")
    assert (await controller.wire()).fresh


async def test_a_bus_that_goes_to_other_servers_is_looked_at_there_and_nothing_is_taken_for_lost(
    controller: Controller,
) -> None:
    watched = controller.watched
    watched.choreography()
    with NatsServer() as other:
        # The bus is on the other servers already, where nothing was read; here, it is far ahead.
        watched.bus(servers=[other.url])
        assert (await controller.wire()).state
        watched.bus()
        assert (await controller.wire()).fresh, "the same is wanted as before, of other servers"
        watched.bus(servers=[other.url])
        outcome = await controller.wire()
        assert outcome.state
        assert outcome.fresh
        assert (outcome.state.created, outcome.state.remade, outcome.state.restored) == ((), (), ())


async def test_positions_of_other_servers_are_not_resumed_at(controller: Controller) -> None:
    watched = controller.watched
    watched.choreography()
    watched.bus()
    assert (await controller.wire()).state
    with NatsServer() as other:
        watched.bus(servers=[other.url])
        outcome = await controller.wire()
    assert outcome.state
    assert outcome.fresh
    assert len(outcome.state.created) == 4
    assert (outcome.state.remade, outcome.state.restored, outcome.state.lost) == ((), (), ())


async def test_a_bus_whose_ambassadors_work_with_other_streams_is_not_touched(controller: Controller) -> None:
    watched = controller.watched
    watched.choreography()
    watched.bus(prefix="mine")
    assert (await controller.wire()).fresh
    watched.configure()
    watched.without_bus()
    assert await controller.wire(after=60) == Outcome()
    async with connected(controller.url) as nats:
        names = await TestBus(nats, watched.look().names).api("STREAM.NAMES")
    assert all(each.startswith(("mine_", "KV_mine_")) for each in names["streams"])
    watched.bus(prefix="mine")
    outcome = await controller.wire()
    assert outcome.state
    assert (outcome.state.created, outcome.state.restored, outcome.state.remade) == ((), (), ())
