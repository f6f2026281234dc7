"""`choregos explain` tells every way through a choreography once, and bounds the time that each step may take."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from choregos_ambassador.backoff import delay
from choregos_cli.main import main
from choregos_cli.paths import MOST_REACTIONS, Mention, Story, story_of, time_to_dead_letter
from choregos_cli.prose import prose
from choregos_contract.configuration import Delivery
from choregos_contract.graph import Scope, Step
from support.choreographies import choreography
from support.console_script import ROOT, choregos
from support.documents import ANALYTICS, ORDERS, WARNING, changed

SCOPE = Scope("shipping", "default")


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CHOREGOS_DEBUG", raising=False)
    Path("orders.yaml").write_text(ORDERS)
    Path("analytics.yaml").write_text(ANALYTICS)


def story(services: dict[str, Any], **spec: Any) -> Story:
    return story_of(SCOPE, [choreography(services, **spec)])


def reaction(event: str, *emits: str, **fields: Any) -> dict[str, Any]:
    return {"event": event, "emits": list(emits), "delivery": {"retry": 0, "timeout": "1s"}, **fields}


# -- how long


@pytest.mark.parametrize(
    ("settings", "seconds"),
    [
        ({}, 6 * 30 + 2 + 4 + 8 + 16 + 32),
        ({"retry": 0}, 30),
        ({"retry": 1}, 30 + 2 + 30),
        ({"retry": 3, "timeout": 5.0}, 4 * 5 + 2 + 4 + 8),
        ({"retry": 3, "timeout": 1.0, "backoff_delay": 0.5, "backoff_max": 1.0}, 4 * 1 + 0.5 + 1 + 1),
        ({"retry": 2, "timeout": 1.0, "backoff_delay": 90.0}, 3 * 1 + 60 + 60),
        ({"retry": 100, "timeout": 0.001, "backoff_max": 3600.0}, 101 * 0.001 + 4094 + 89 * 3600),
    ],
)
def test_the_time_to_a_dead_letter_is_every_attempt_timed_out_and_every_backoff_at_its_longest(
    settings: dict[str, Any], seconds: float
) -> None:
    assert time_to_dead_letter(Delivery(**settings)) == pytest.approx(seconds)


seconds = st.floats(0.001, 1e6)


@given(st.builds(Delivery, timeout=seconds, retry=st.integers(0, 100), backoff_delay=seconds, backoff_max=seconds))
def test_no_run_of_attempts_and_backoffs_takes_longer_and_the_bound_is_no_wild_one(delivery: Delivery) -> None:
    run = delivery.timeout + sum(
        delay(delivery, attempt) + delivery.timeout for attempt in range(1, delivery.retry + 1)
    )
    bound = time_to_dead_letter(delivery)
    assert run <= bound * (1 + 1e-9)
    assert bound <= ((delivery.retry + 1) * delivery.timeout + delivery.retry * delivery.backoff_max) * (1 + 1e-9)


def test_the_longest_way_is_the_slowest_branch_failures_included() -> None:
    told = story(
        {
            "shop": {"emits": ["A"]},
            "quick": {"reactions": [reaction("A", "B"), reaction("B", "C", delivery={"retry": 0, "timeout": "2s"})]},
            "slow": {"reactions": [reaction("A", "D", onFailure="D", delivery={"retry": 0, "timeout": "9s"})]},
            "last": {"reactions": [reaction("D")]},
        }
    )
    way = told.longest["A"]
    assert (way.seconds, [f"{step.service}/{step.event}" for step in way.steps]) == (10, ["slow/A", "last/D"])
    assert told.longest["C"].steps == ()


def test_a_circle_takes_as_long_as_an_event_may_have_hops() -> None:
    """The event that 64 hops led to still meets its reaction; what that emits is a dead letter at once."""
    told = story({"shop": {"emits": ["A"]}, "x": {"reactions": [reaction("A", "B"), reaction("B", "A", "End")]}})
    assert MOST_REACTIONS == 65
    assert (told.longest["A"].seconds, len(told.longest["A"].steps)) == (65, 65)


# -- what after what

graphs = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 7), st.lists(st.integers(0, 7), max_size=3), st.integers(1, 9)),
    max_size=12,
    unique_by=lambda edge: edge[:2],
)


@given(graphs)
def test_every_reaction_that_an_entry_leads_to_is_told_once_and_the_others_are_named(
    edges: list[tuple[int, int, list[int], int]],
) -> None:
    told = _drawn(edges)
    steps = [part for _, part in told.tale() if isinstance(part, Step)]
    assert len(steps) == len({(step.service, step.event) for step in steps})
    assert {*steps_of(steps), *steps_of(told.never_reached())} == {*steps_of(told.graph.steps)}
    assert not {*steps_of(steps)} & {*steps_of(told.never_reached())}
    text = "\n".join(prose(told))
    assert all(f"-> {step.service}, POST" in text for step in steps)


@given(graphs)
def test_the_longest_way_is_the_longest_of_all_ways(edges: list[tuple[int, int, list[int], int]]) -> None:
    """Compared with trying every one, on graphs without circles: an event emits later ones only."""
    told = _drawn([(service, event, [e for e in emits if e > event], time) for service, event, emits, time in edges])

    def ways(event: str) -> Iterator[float]:
        yield 0
        for step in told.graph.steps_on.get(event, ()):
            own = time_to_dead_letter(told.delivery(step))
            yield own
            yield from (own + rest for after in step.emits for rest in ways(after))

    assert told.longest["E0"].seconds == max(ways("E0"))


def _drawn(edges: list[tuple[int, int, list[int], int]]) -> Story:
    services: dict[str, Any] = {"root": {"emits": ["E0"]}}
    for service, event, emits, time in edges:
        reactions = services.setdefault(f"s{service}", {"reactions": []})["reactions"]
        names = [f"E{each}" for each in dict.fromkeys(emits)]
        reactions.append(reaction(f"E{event}", *names, delivery={"retry": 0, "timeout": f"{time}s"}))
    return story(services)


def steps_of(steps: Any) -> list[tuple[str, str]]:
    return [(step.service, step.event) for step in steps]


def test_each_turn_has_its_words() -> None:
    told = story(
        {
            "shop": {"emits": ["Placed", "Seen"]},
            "stock": {
                "reactions": [
                    reaction("Placed", "Reserved", onSuccess="Reserved", path="/reservations"),
                    reaction("Refused", "Freed", required=True, compensates="Placed"),
                ]
            },
            "payment": {"reactions": [reaction("Reserved", "Paid", "Refused", onSuccess="Paid", onFailure="Refused")]},
            "audit": {"reactions": [reaction("Refused"), reaction("Paid", suspend=True)]},
            "courier": {"reactions": [reaction("Paid", "Tried"), reaction("Tried", "Tried", "Paid", "Sent")]},
            "orphan": {"reactions": [reaction("Nowhere")]},
        }
    )
    assert list(prose(told)) == [
        "shop, in namespace shipping on bus default",
        "",
        "Placed, published by shop",
        "   -> stock, POST /reservations; if it fails, a dead letter within 1s",
        "      on success: Reserved",
        "         -> payment, POST /; if it fails, a dead letter and Refused within 1s",
        "            on success: Paid",
        "               -> audit, POST /; suspended, events wait",
        "               -> courier, POST /; if it fails, a dead letter within 1s",
        "                  if it answers so: Tried",
        "                     -> courier, POST /; if it fails, a dead letter within 1s",
        "                        if it answers so: Tried, and round again",
        "                        if it answers so: Paid, and round again",
        "                        if it answers so: Sent, nobody here reacts to it",
        "            if it answers so, or if it fails: Refused",
        "               -> stock, POST /, to undo what it did on Placed; if it fails, a dead letter within 1s",
        "                  on success: Freed, nobody here reacts to it",
        "               -> audit, POST /; if it fails, a dead letter within 1s",
        "",
        "Seen, published by shop, nobody here reacts to it",
        "",
        "From Placed, a transaction takes 1m5s at most: by 65 reactions.",
        "Paid -> Tried -> Paid may go round until 64 hops are behind; the next event is a dead letter.",
        "No entry leads to orphan/Nowhere.",
    ]


def test_an_event_that_two_ways_lead_to_is_told_where_it_comes_first() -> None:
    joined = story({"a": {"emits": ["A", "B"]}, "b": {"reactions": [reaction("A", "B"), reaction("B")]}})
    mentions = [(part.event, part.told) for _, part in joined.tale() if isinstance(part, Mention)]
    assert mentions == [("A", False), ("B", False), ("B", True)]
    assert "B, as told above" in list(prose(joined))


# -- the command


def test_several_files_of_one_bus_are_one_tale_and_others_another(tmp_path: Path) -> None:
    together = choregos("explain", "orders.yaml", "analytics.yaml", cwd=tmp_path)
    assert (together.returncode, together.stderr) == (0, "")
    assert "orders, analytics, in namespace shop on bus default\n" in together.stdout
    assert "on success: OrderShipped, the transaction is completed\n" in together.stdout
    assert "-> analytics, POST /facts;" in together.stdout
    (tmp_path / "analytics.yaml").write_text(ANALYTICS.replace("namespace: shop", "namespace: ops"))
    apart = choregos("explain", "orders.yaml", "analytics.yaml", cwd=tmp_path).stdout
    assert "orders, in namespace shop on bus default\n" in apart
    assert "analytics, in namespace ops on bus default\n\nOrderShipped, from outside\n   -> analytics" in apart


def test_a_reaction_with_an_inbox_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    Path("orders.yaml").write_text(changed("path: /payments", "path: /payments\n          idempotency: {ttl: 36h}"))
    assert main(["explain", "orders.yaml"]) == 0
    assert "payment, POST /payments, one call at a time, remembered for 1d12h; if it fails" in capsys.readouterr().out
    assert main(["explain", "orders.yaml", "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)["stories"]
    assert [each["idempotencyTtl"] for each in told["reactions"]] == [129600.0, None]


def test_the_json_holds_seconds_and_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "orders.yaml", "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)["stories"]
    assert told["entries"] == [
        {
            "event": "OrderPlaced",
            "publishedBy": ["shop"],
            "longest": 184.0,
            "longestWay": ["payment/OrderPlaced", "shipping/PaymentTaken"],
        }
    ]
    assert told["reactions"][0] == {
        "service": "payment",
        "event": "OrderPlaced",
        "path": "/payments",
        "emits": ["PaymentTaken"],
        "onSuccess": "PaymentTaken",
        "onFailure": None,
        "compensates": None,
        "idempotencyTtl": None,
        "suspended": False,
        "attempts": 6,
        "timeout": 5.0,
        "timeToDeadLetter": 92.0,
    }
    assert (told["cycles"], told["neverReached"]) == ([], [])
    assert [event["outcome"] for event in told["events"]] == [None, None, "completed"]


def test_a_warning_does_not_keep_it_from_telling(capsys: pytest.CaptureFixture[str]) -> None:
    Path("orders.yaml").write_text(WARNING)
    assert main(["explain", "orders.yaml"]) == 0
    assert "Ping, published by shop, nobody here reacts to it" in capsys.readouterr().out


def test_an_error_is_printed_as_lint_would_print_it_and_nothing_is_told(tmp_path: Path) -> None:
    Path("orders.yaml").write_text(changed("timeout: 5s", "timeout: 5 s"))
    told = choregos("explain", "orders.yaml", cwd=tmp_path)
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr == choregos("lint", "orders.yaml", cwd=tmp_path).stdout


def test_what_cannot_be_read_or_holds_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "absent.yaml"]) == 2
    Path("orders.yaml").write_text("apiVersion: v1\nkind: ConfigMap\n")
    assert main(["explain", "orders.yaml"]) == 1
    assert "there is no choreography to explain" in capsys.readouterr().err


def test_the_page_shows_what_it_prints() -> None:
    page = (ROOT / "docs" / "cli.md").read_text()
    shown = page.partition("$ choregos explain examples/drone-delivery\n")[2].partition("```")[0]
    assert choregos("explain", "examples/drone-delivery").stdout == shown
