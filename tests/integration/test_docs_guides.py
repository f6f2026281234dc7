"""The guides are true: their services run as they stand there, each beside a real ambassador, on a real bus."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any
from urllib.request import Request, urlopen

import pytest

from choregos_contract.configure import bus_names
from support.bus import Stored, TestBus, connected
from support.console_script import ROOT
from support.up_process import PATIENCE, Up

SNIPPETS = ROOT / "docs" / "guides" / "snippets"


@pytest.fixture(scope="module")
def orders() -> Iterator[Up]:
    with Up(SNIPPETS / "orders" / "choreography.yaml") as up:
        up.until("ready")
        yield up


def post(url: str, data: Any, **headers: str) -> tuple[int, dict[str, str], Any]:
    """POST JSON, as a client of the shop or as an ambassador would."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = Request(url, json.dumps(data).encode(), {"Content-Type": "application/json", **named})
    with urlopen(request, timeout=PATIENCE) as answer:
        return answer.status, {name.lower(): value for name, value in answer.headers.items()}, json.load(answer)


def place(up: Up, order: dict[str, Any]) -> dict[str, Any]:
    """Place an order through the shop's own port; returns what the publish API told it."""
    status, _, stored = post(f"{up.address('shop')['url']}/orders", order)
    assert status == 202
    return dict(stored)


def letters(up: Up) -> list[Stored]:
    async def read() -> list[Stored]:
        async with connected(up.until("ready")["nats"]) as connection:
            return await TestBus(connection, bus_names(None, "shop")).dead_letters()

    return asyncio.run(read())


def test_binary_structured_batched_and_plain_answers_become_the_next_hops(orders: Up) -> None:
    correlation = place(orders, {"id": "o-1", "total": 12, "card": "good", "items": ["cup", "pot"]})["correlationId"]
    done = {"verdict": "done", "status": 200, "correlationId": correlation}
    assert orders.until("hop-ended", service="stock", **done)["replies"] == ["StockReserved"]
    assert orders.until("hop-ended", service="payment", **done)["replies"] == ["PaymentTaken"]
    assert orders.until("hop-ended", service="invoice", **done)["replies"] == ["InvoiceIssued"]
    assert orders.until("hop-ended", service="shipping", **done)["replies"] == [
        "ParcelPacked",
        "ParcelPacked",
        "OrderShipped",
    ]
    orders.until("hop-ended", service="stock", eventType="ParcelPacked", replies=[], **done)
    assert orders.until("event-stored", type="OrderShipped", correlationId=correlation)["hops"] == 4


def test_a_published_event_is_the_same_event_with_the_same_key(orders: Up) -> None:
    order = {"id": "o-2", "total": 12, "card": "good", "items": ["cup"]}
    first, second = place(orders, order), place(orders, order)
    assert "duplicate" not in first
    assert second == {**first, "duplicate": True}


def test_the_publish_api_takes_a_cloudevent_or_a_batch_of_them(orders: Up) -> None:
    url = f"{orders.address('shop')['publishUrl']}/events"
    data = {"id": "o-10", "total": 12, "card": "good", "items": ["cup"]}
    event = {"specversion": "1.0", "id": "o-10", "source": "/till/4", "type": "OrderPlaced", "data": data}
    binary = {"ce_specversion": "1.0", "ce_id": "o-10", "ce_source": "/till/4", "ce_type": "OrderPlaced"}
    status, _, stored = post(url, data, **binary)
    assert (status, stored["id"]) == (201, "o-10")
    _, _, again = post(url, event, Content_Type="application/cloudevents+json")
    assert again == {**stored, "duplicate": True}
    batch = [{**event, "id": "o-11"}, {**event, "id": "o-12"}]
    _, _, results = post(url, batch, Content_Type="application/cloudevents-batch+json")
    assert [each["id"] for each in results["events"]] == ["o-11", "o-12"]


def test_a_refused_payment_is_an_event_and_is_compensated(orders: Up) -> None:
    correlation = place(orders, {"id": "o-3", "total": 12, "card": "declined", "items": ["cup"]})["correlationId"]
    ended = orders.until("hop-ended", service="payment", correlationId=correlation)
    assert (ended["verdict"], ended["replies"]) == ("done", ["PaymentRefused"])
    orders.until("hop-ended", service="stock", eventType="PaymentRefused", verdict="done", correlationId=correlation)
    orders.until("event-stored", type="StockReleased", correlationId=correlation)


def test_a_bank_that_stays_away_is_given_up_and_compensated(orders: Up) -> None:
    correlation = place(orders, {"id": "o-4", "total": 12, "card": "bank-away", "items": ["cup"]})["correlationId"]
    ended = orders.until("hop-ended", verdict="dead-letter", correlationId=correlation)
    assert (ended["reason"], ended["status"], ended["attempt"]) == ("exhausted", 503, 3)
    retry = orders.until("hop-ended", verdict="retry", correlationId=correlation)
    assert retry["delayS"] >= 1, "Retry-After is honoured"
    orders.until("event-stored", type="StockReleased", correlationId=correlation)
    (letter,) = [each for each in letters(orders) if each.headers["ce-correlationid"] == correlation]
    assert letter.headers["Choregos-Failure-Emitted"] == "true"
    assert json.loads(letter.data)["id"] == "o-4"


def test_the_services_own_word_rejects_a_400_at_once(orders: Up) -> None:
    correlation = place(orders, {"id": "o-5", "card": "good", "items": ["cup"]})["correlationId"]
    ended = orders.until("hop-ended", service="payment", correlationId=correlation)
    assert (ended["verdict"], ended["reason"], ended["status"]) == ("dead-letter", "rejected", 400)


def test_the_same_event_again_is_charged_once(orders: Up) -> None:
    url = f"{orders.address('payment')['url']}/payments"
    order = {"id": "o-6", "total": 12, "card": "good", "items": ["cup"]}
    first = post(url, order, Idempotency_Key="k-6", Choregos_Attempt="1")
    assert post(url, order, Idempotency_Key="k-6", Choregos_Attempt="2")[2] == first[2]
    assert post(url, order, Idempotency_Key="k-7")[2]["receipt"] == first[2]["receipt"] + 1


def test_analytics_joins_a_running_choreography_and_hears_what_was_before(orders: Up) -> None:
    correlation = place(orders, {"id": "o-8", "total": 12, "card": "good", "items": ["cup"]})["correlationId"]
    orders.until("hop-ended", service="shipping", verdict="done", correlationId=correlation)
    with Up("--nats", orders.until("ready")["nats"], SNIPPETS / "analytics" / "choreography.yaml") as analytics:
        analytics.until("output", service="analytics", line='OrderShipped {"id": "o-8", "parcels": 1}')
        later = place(orders, {"id": "o-9", "total": 12, "card": "good", "items": ["pot"]})["correlationId"]
        analytics.until("hop-ended", service="analytics", verdict="done", correlationId=later)
