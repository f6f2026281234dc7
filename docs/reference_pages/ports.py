"""The page of ports: what listens where, and what the publish API answers."""

import ast
import asyncio
from collections.abc import Iterator

from msgspec.structs import fields

from choregos_ambassador import admission, publish_api
from choregos_ambassador.bodies import REQUEST_LIMIT
from choregos_ambassador.bus import Bus
from choregos_ambassador.credentials import Credentials
from choregos_ambassador.metrics import Metrics
from choregos_ambassador.probes import BEGUN_WITHIN, DRAINED_WITHIN, Probes
from choregos_ambassador.publish_api import HEADROOM, RECONNECT_WITHIN, SETTLING, PublishApi
from choregos_ambassador.settings import Settings
from choregos_contract.quantities import format_duration, format_size
from reference_pages.markdown import code, explained, page, table
from reference_pages.source import calls, sentence

_PUBLISH = {
    "POST /events": "a CloudEvent in binary or structured mode, or a batch",
    "POST /events/{type}": "plain JSON: the ambassador builds the event of that type around it",
    "POST /drain": "pulls no more, for good, and answers 200 when no event is in hand; what `choregos-ambassador drain` sends, "
    "which a pod's `preStop` hook runs: from loopback and with the header `Choregos-Drain: 1`, otherwise 403",
}
_STORED = (
    '`{"id": .., "correlationId": ..}`, with `"duplicate": true` where the stream had the event already;'
    ' of a batch `{"events": [..]}` with one of these for each'
)
_PROBES = {
    "GET /livez": "200 while the process answers at all",
    "GET /readyz": "200 once the publish API listens. NATS, the service and the configuration do not matter here: this decides "
    "whether the pod serves its own clients",
    "GET /metrics": "[metrics](metrics.md) for Prometheus",
    "GET /drained": "waits for a drain, which it does not start, and answers 200 when no event is in hand: what the `preStop` hook "
    f"of the pod's other containers asks for, so that SIGTERM waits for it; 503 after {format_duration(DRAINED_WITHIN)}, or "
    f"{format_duration(BEGUN_WITHIN)} without a drain",
}


def ports() -> str:
    """Return the page."""
    return page(
        "Ports and the publish API",
        "What an ambassador serves. Hosts and ports can be [set](settings.md).",
        _served(),
        "## What the publish API answers",
        f"""
It answers after the publish acknowledgement: a 201 is an event that is on the bus. While NATS is away, a request waits up to
{format_duration(RECONNECT_WITHIN)} for it. The body of each of these answers is JSON.""",
        _answers(),
        f"""
A refusal is `{{"error": ..}}`, with `size` and `limit` in bytes where something is too large, and with `events`, a result for
each element, where a batch was stored in part: the same batch may be sent again. With NATS 2.12 or later a batch is stored
whole or not at all. 403 says that the type is not among the service's `emits`; for {format_duration(SETTLING)} after a start or
a new configuration it is 503 instead, because a configuration may be on its way.

What is no HTTP is answered with 400, no route with 404 or 405, an unknown `Expect` with 417, in plain text. A request that
does not become whole in time is answered with 408, and where connections, requests or bytes in hand are too many, the answer is
503 with `Retry-After`: the [limits](limits.md#ports) say how many. A body with a `Content-Encoding` is refused with 415.

One request has at most {format_size(REQUEST_LIMIT)} bytes. One event, headers included, must leave {format_size(HEADROOM)} of
the server's `max_payload` free, for what later hops and a dead letter add.""",
        "## What becomes of a published event",
        """
| attribute | where it comes from |
| --- | --- |
| `id` | the CloudEvent's; of plain JSON derived from `Idempotency-Key`, service and type, otherwise a new UUIDv7 |
| `source` | the CloudEvent's; of plain JSON `/<namespace>/<service>` |
| `time` | the CloudEvent's, otherwise now |
| `correlationid` | the CloudEvent's (`ce-correlationid`), otherwise `X-Correlation-ID`, otherwise the trace id of `traceparent`; otherwise of an event whose id its producer chose derived from source and id, and of any other a new UUIDv7 |
| `traceparent`, `tracestate` | the CloudEvent's, otherwise the request's headers of these names |

The same source and id, published again within `duplicateWindow`, is the same event: 201 with `"duplicate": true`. How to make
use of it: [Publish an event](../guides/publish-an-event.md).""",
        "## NATS' service API",
        """
An ambassador also answers on the bus, as a service `choregos-ambassador` of NATS' service API (ADR-32): `nats micro ls` finds
every replica, `nats micro stats choregos-ambassador` shows its version, the generation of its configuration, the state of its
breaker, whether it drains, and the events in hand of each reaction. Any one replica answers on `<prefix>.<namespace>.<bus>.status.<service>`.""",
    )


def _served() -> str:
    defaults = {field.name: field.default for field in fields(Settings)}
    metrics = Metrics()
    api = PublishApi(Bus(metrics, Credentials(None)), metrics, _never)
    served = [
        ("publish", [_route(each.method, each.resource) for each in api.application().router.routes()], _PUBLISH),
        (
            "probes",
            [_route(each.method, each.resource) for each in Probes(metrics).application().router.routes()],
            _PROBES,
        ),
    ]
    rows = [
        (f"`{defaults[f'{name}_host']}:{defaults[f'{name}_port']}`", code(route), text)
        for name, routes, meanings in served
        for route, text in explained((each for each in routes if not each.startswith("HEAD")), meanings)
    ]
    return table(("address", "request", "meaning"), rows)


def _answers() -> str:
    rows = [("201", "", _STORED), *sorted(set(_refusals()))]
    return table(("status", "`Retry-After`", "says"), rows)


def _route(method: str, resource: object) -> str:
    return f"{method} {getattr(resource, 'canonical', '')}"


def _refusals() -> Iterator[tuple[str, str, str]]:
    for module in (admission, publish_api):
        for call in calls(module, "Refusal"):
            status, error = call.arguments
            after = call.keywords.get("retry_after")
            said = sentence(error, call.within)
            seconds = "" if after is None else f"{ast.unparse(after)} s"
            yield ast.unparse(status), seconds, said if said != "…" else "what is wrong with it, in words"


def _never() -> "asyncio.Future[None]":
    raise NotImplementedError("the page drains nothing")
