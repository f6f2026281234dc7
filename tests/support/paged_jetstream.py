"""JetStream as far as lists go: a bus with any number of durables and of subjects, one on a page."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from choregos_contract.names import BusNames

ENDLESS: Final = 10**9
_CREATED: Final = "2026-01-01T00:00:00Z"


class PagedJetStream:
    """Answers for the streams of one bus. `refuses` are errors by the subject below `$JS.API.`."""

    def __init__(
        self,
        names: BusNames,
        *,
        durables: int = 0,
        letters: int = 0,
        events: int = 0,
        refuses: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self._names = names
        self._durables = durables
        self._subjects = {
            names.event_stream: ("ev.Ordered", events),
            names.dead_letter_stream: ("dl.payment.A%2EB", letters),
        }
        self._refuses = refuses or {}
        self.asked = Counter[str]()

    async def ask(self, subject: str, body: bytes = b"") -> bytes:
        """Answer, as `choregos_contract.wire` asks."""
        call = subject.removeprefix("$JS.API.")
        self.asked[call] += 1
        if error := self._refuses.get(call):
            return json.dumps({"error": error}).encode()
        wish = json.loads(body or b"{}")
        verb, _, stream = call.rpartition(".")
        answer = self._list(wish["offset"]) if verb == "CONSUMER.LIST" else self._info(stream, wish)
        return json.dumps(answer).encode()

    def _list(self, offset: int) -> dict[str, Any]:
        figures = dict.fromkeys(("num_pending", "num_ack_pending", "num_redelivered", "num_waiting"), 0)
        place = {"ack_floor": {"stream_seq": 0}, "delivered": {"consumer_seq": 0}}
        one = {"name": f"d{offset}", "config": {}, "created": _CREATED, **figures, **place}
        return {"consumers": [one] if offset < self._durables else [], "limit": 1, "total": self._durables}

    def _info(self, stream: str, wish: dict[str, Any]) -> dict[str, Any]:
        below, total = self._subjects.get(stream, ("", 0))
        state: dict[str, Any] = {"messages": total, "bytes": 0, "last_seq": total}
        found = {"config": {"name": stream}, "created": _CREATED, "state": state}
        if "offset" not in wish:
            return found
        if wish["offset"] < total:
            state["subjects"] = {f"{self._names.root}.{below}.{wish['offset']}": 1}
        return {**found, "limit": 1, "total": total}
