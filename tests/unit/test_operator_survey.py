"""A survey of servers that are not ours comes to an end."""

from typing import Any

import pytest

from choregos_contract.names import BusNames
from choregos_operator.bus import survey
from choregos_operator.bus.faults import BusUnusable


@pytest.mark.parametrize("endless", ["CONSUMER.LIST", "DLQ"])
async def test_a_list_without_an_end_is_given_up(endless: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    async def answers(_ask: Any, _what: str, subject: str, _body: bytes) -> dict[str, Any]:
        nonlocal asked
        asked += 1
        state = {"messages": 0, "bytes": 0, "last_seq": 0}
        more = asked + 1 if (endless == "CONSUMER.LIST") == ("CONSUMER.LIST" in subject) else 0
        info = {"config": {"name": subject}, "state": state, "created": "2026-01-01T00:00:00Z"}
        return {**info, "limit": 1, "total": more}

    monkeypatch.setattr(survey, "request", answers)
    with pytest.raises(BusUnusable, match="more than 1000 pages"):
        await survey.survey(Any, BusNames(namespace="shop"))  # type: ignore[arg-type]
    assert asked < 1100
