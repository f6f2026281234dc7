"""Who may have an ambassador drain: whoever is in the pod and says that he means it."""

import asyncio
from typing import Any
from unittest.mock import Mock

import pytest
from aiohttp.test_utils import make_mocked_request

from choregos_ambassador.bus import Bus
from choregos_ambassador.credentials import Credentials
from choregos_ambassador.drain import HEADER
from choregos_ambassador.metrics import Metrics
from choregos_ambassador.publish_api import PublishApi


async def answered(peer: Any, headers: dict[str, str]) -> tuple[int, int]:
    """The status of the answer to a request from `peer`, and how often it had the ambassador drain."""
    drains: list[asyncio.Future[None]] = []

    def drain() -> asyncio.Future[None]:
        drains.append(asyncio.get_running_loop().create_future())
        drains[-1].set_result(None)
        return drains[-1]

    metrics = Metrics()
    application = PublishApi(Bus(metrics, Credentials(None)), metrics, drain).application()
    transport = Mock()
    transport.get_extra_info.side_effect = lambda name, default=None: peer if name == "peername" else default
    request = make_mocked_request("POST", "/drain", headers=headers, transport=transport, app=application)
    route = await application.router.resolve(request)
    response = await route.handler(request)
    assert hasattr(response, "status")
    return response.status, len(drains)


@pytest.mark.parametrize("peer", [("127.0.0.1", 1), ("127.8.8.8", 1), ("::1", 1, 0, 0), ("::ffff:127.0.0.1", 1, 0, 0)])
async def test_who_is_in_the_pod_and_sends_the_header_is_obeyed(peer: Any) -> None:
    assert await answered(peer, dict([HEADER])) == (200, 1)


@pytest.mark.parametrize("headers", [{}, {HEADER[0]: "0"}, {HEADER[0]: ""}])
async def test_without_the_header_it_is_refused(headers: dict[str, str]) -> None:
    assert await answered(("127.0.0.1", 1), headers) == (403, 0)


@pytest.mark.parametrize("peer", [("10.1.2.3", 1), ("fe80::1%eth0", 1, 0, 2), ("::ffff:10.1.2.3", 1, 0, 0), None, ""])
async def test_from_outside_of_the_pod_it_is_refused(peer: Any) -> None:
    assert await answered(peer, dict([HEADER])) == (403, 0)
