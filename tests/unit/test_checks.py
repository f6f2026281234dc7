"""What a choreography as a whole gets wrong: one finding for each mistake, at its line; and nothing for what is right.

In the tables below the finding's line carries the comment `# here`.
"""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from choregos_contract.cautions import is_command_like
from choregos_contract.checks import check, check_together
from choregos_contract.document import load
from choregos_contract.event_bus import EventBus
from choregos_contract.findings import CATALOGUE, Finding, Severity
from choregos_contract.resources import Choreography

DRONES = (Path(__file__).parents[2] / "examples/drone-delivery/choreography.yaml").read_text("utf-8")

SHOP = """\
apiVersion: choregos.dev/v1alpha1
kind: Choreography
metadata:
  name: shop
spec:
  events:
    OrderPlaced: {}
    OrderPaid: {}
    OrderShipped: {outcome: completed}
  services:
    shop:
      emits: [OrderPlaced]
    till:
      reactions:
        - {event: OrderPlaced, path: /payments, emits: [OrderPaid]}
    depot:
      reactions:
        - {event: OrderPaid, path: /parcels, emits: [OrderShipped]}
"""
FAST = """\
apiVersion: choregos.dev/v1alpha1
kind: EventBus
metadata: {name: default}
spec: {stream: {duplicateWindow: 1m}}
"""


def lint(text: str, bus: EventBus | None = None) -> list[Finding]:
    loaded = load(text, "shop.yaml")
    assert loaded.findings == ()
    return [loaded.locate(found) for each in loaded.choreographies for found in check(each, bus)]


def changed(*changes: tuple[str, str], text: str = SHOP) -> str:
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def line_of(text: str) -> int:
    [line] = [number for number, line in enumerate(text.splitlines(), 1) if "# here" in line]
    return line


TILL = "{event: OrderPlaced, path: /payments, emits: [OrderPaid]}"
DEPOT = "{event: OrderPaid, path: /parcels, emits: [OrderShipped]}"
LOOP = "\n".join(f"        - {{event: E{n}, emits: [E{n + 1}]}}" for n in range(8))

MISTAKES = [
    # code, what the finding must say, the document
    ("unknown-event", 'did you mean "OrderPaid"?', changed(("{event: OrderPaid,", "{event: OrderPiad, # here\n"))),
    ("unknown-event", "used in 2 places", changed(("    OrderPaid: {}", "    OrderPayd: {}"), (TILL, f"{TILL} # here"))),
    ("unknown-event", "declare it under spec.events", changed((TILL, f"{TILL}\n        - {{event: Weekend}} # here"))),
    ("unknown-event", 'did you mean "OrderPlaced"?', changed(("[OrderPlaced]", "[OrderPlacd] # here"))),
    ("duplicate-reaction", '"till" reacts to "OrderPlaced"', changed((TILL, f"{TILL}\n        - {{event: OrderPlaced}} # here"))),
    ("not-in-emits", 'did you mean "OrderPaid"?', changed(("[OrderPaid]", "[OrderPaid], onSuccess: OrderPayd } # here\n#"))),
    ("not-in-emits", 'add "OrderShipped" to emits', changed(("[OrderPaid]", "[OrderPaid], onFailure: OrderShipped } # here\n#"))),
    ("compensates-nothing", 'no reaction to "OrderPaid"', changed(("[OrderPaid]", "[OrderPaid], compensates: OrderPaid } # here\n#"))),
    ("compensates-nothing", "could be undone", changed(("[OrderPaid]", "[OrderPaid], compensates: OrderPlaced } # here\n#"))),
    ("never-emitted", "declare it {external: true}", changed(("OrderPaid: {}", "OrderPaid: {}\n    OrderLost: {} # here"))),
    ("never-emitted", 'though "till" reacts to it', changed(("OrderPlaced: {}", "OrderPlaced: {} # here"), ("      emits: [OrderPlaced]", "      port: 80"))),
    ("endless-cycle", "OrderPlaced -> OrderPaid -> OrderPlaced", changed((TILL, f"{TILL} # here"), ("[OrderShipped]", "[OrderPlaced]"), ("outcome: completed", "external: true"))),
    ("endless-cycle", "OrderPaid -> OrderPaid", changed(("[OrderShipped]", "[OrderPaid] # here\n"), ("outcome: completed", "external: true"))),
    ("outcome-out-of-reach", 'from "OrderPlaced"', changed(("OrderPlaced: {}", "OrderPlaced: {} # here"), ("[OrderShipped]", "[]"), ("completed", "completed, external: true"))),
    ("outcome-out-of-reach", 'from "OrderPlaced"', changed(("OrderPlaced: {}", "OrderPlaced: {external: true} # here"), ("      emits: [OrderPlaced]", "      port: 80"), ("OrderPaid,", "OrderLost,"), ("    OrderPaid: {}", "    OrderPaid: {}\n    OrderLost: {}"), (", emits: [OrderShipped]", ", emits: [OrderShipped, OrderLost]"))),
    ("no-outcome", "OrderShipped: {outcome: completed}", changed(("  events:", "  events: # here"), ("{outcome: completed}", "{}"))),
    ("unheard-event", 'nobody reacts to "OrderLost"', changed(("[OrderShipped]", "[OrderShipped, OrderLost]"), ("OrderPaid: {}", "OrderPaid: {}\n    OrderLost: {} # here"))),
    ("cycle-with-exit", "OrderPlaced -> OrderPaid -> OrderPlaced", changed((TILL, f"{TILL} # here"), ("[OrderShipped]", "[OrderShipped, OrderPlaced]"))),
    ("command-like-name", "name what has happened", changed(("OrderPaid: {}", "OrderPaid: {}\n    ShipOrder: {outcome: failed} # here"), ("[OrderShipped]", "[OrderShipped, ShipOrder]"))),
    ("uncompensated", 'let "till" react to "OrderLost" with compensates: OrderPlaced', changed((TILL, f"{TILL} # here"), ("[OrderShipped]", "[OrderShipped, OrderLost], onFailure: OrderLost"), ("OrderPaid: {}", "OrderPaid: {}\n    OrderLost: {outcome: failed}"))),
    ("unreachable-reaction", "Dusk -> Dawn -> Dusk", changed(("OrderPaid: {}", "OrderPaid: {}\n    Dusk: {}\n    Dawn: {}"), (DEPOT, f"{DEPOT}\n    sun:\n      reactions:\n        - {{event: Dusk, emits: [Dawn]}} # here\n        - {{event: Dawn, emits: [Dusk, OrderShipped]}}"))),
    ("long-chain", "9 reactions follow one another, from OrderPlaced", changed(("[OrderPaid]", "[E0]"), ("    OrderPaid: {}", "\n".join(f"    E{n}: {{}}" for n in range(8))), ("{event: OrderPaid, path", "{event: E7, path"), ("    depot:", f"    line:\n      reactions:\n{LOOP.rpartition(chr(10))[0]}\n    depot:"), ("emits: [OrderShipped]}", "emits: [OrderShipped]} # here"))),
    ("short-duplicate-window", "duplicateWindow of the bus to 10m30s", changed(("spec:", "spec:\n  delivery: {timeout: 9m} # here"))),
    ("short-duplicate-window", "after 10m30s", changed(("[OrderPaid]", "[OrderPaid], delivery: {timeout: 9m}} # here\n#"))),
    ("short-inbox-ttl", "after 1m, and an event may come back after 2m; write ttl: 10m or more", changed(("emits: [OrderShipped]}", "emits: [OrderShipped], idempotency: {ttl: 1m}} # here"))),
    ("short-inbox-ttl", "after 5m, and the bus itself knows a duplicate for 10m", changed(("emits: [OrderShipped]}", "emits: [OrderShipped], idempotency: {ttl: 5m}} # here"))),
    ("useless-ignore", "is no code", changed(("name: shop", "name: shop\n  annotations:\n    choregos.dev/ignore: spelling # here"))),
    ("useless-ignore", 'did you mean "long-chain"?', changed(("name: shop", "name: shop\n  annotations: {choregos.dev/ignore: 'cycle-with-exit,long-chian'} # here"))),
    ("useless-ignore", "cannot be ignored", changed(("name: shop", "name: shop\n  annotations: {choregos.dev/ignore: unknown-event} # here"))),
]  # fmt: skip


@pytest.mark.parametrize(("code", "words", "text"), MISTAKES)
def test_one_mistake_gives_one_finding_with_its_line(code: str, words: str, text: str) -> None:
    found = lint(text)
    assert [each.code for each in found] == [code]
    assert words in f"{found[0].message}; {found[0].hint}"
    assert found[0].line == line_of(text)
    assert found[0].resource == "Choreography/default/shop"


@pytest.mark.parametrize("text", [DRONES, SHOP], ids=["drone-delivery", "shop"])
def test_what_is_right_gives_no_finding(text: str) -> None:
    assert lint(text) == []


def test_a_listener_to_other_peoples_events_needs_no_outcome() -> None:
    listener = """\
apiVersion: choregos.dev/v1alpha1
kind: Choreography
metadata: {name: analytics, namespace: shipping}
spec:
  events: {PackageCreated: {external: true}, CreateReport: {external: true}}
  services:
    analytics: {reactions: [{event: PackageCreated}, {event: CreateReport}]}
"""
    assert lint(listener) == []


def test_an_own_event_that_only_others_may_hear_is_doubtful_and_not_refused() -> None:
    """Whether somebody elsewhere carries it on to an outcome, this document cannot know."""
    text = changed(("emits: [OrderPlaced]", "emits: [OrderPlaced, ShopOpened]"), ("OrderPaid: {}", "OrderPaid: {}\n    ShopOpened: {}"))  # fmt: skip
    assert [each.code for each in lint(text)] == ["unheard-event"]


def test_a_circle_that_outsiders_only_watch_has_no_way_out() -> None:
    text = changed(
        ("[OrderShipped]", "[OrderPlaced]"),
        (TILL, f"{TILL} # here"),
        ("    depot:", "    audit: {reactions: [{event: OrderPaid, emits: [OrderShipped]}]}\n    depot:"),
    )
    assert [(each.code, each.line) for each in lint(text)] == [("endless-cycle", line_of(text))]


def test_only_a_compensation_that_the_failure_leads_to_counts() -> None:
    broken = changed(("compensates: DeliveryRequested ", "required: false "), text=DRONES)
    assert [each.code for each in lint(broken)] == ["uncompensated"]
    elsewhere = changed(("- event: DroneUnavailable", "- event: DeliveryScheduled"), text=DRONES)
    assert {each.code for each in lint(elsewhere)} == {"uncompensated", "unheard-event"}


def test_the_bus_decides_how_long_replies_are_known() -> None:
    [bus] = load(FAST, "bus.yaml").buses
    assert [(each.code, each.place) for each in lint(SHOP, bus)] == [("short-duplicate-window", "spec.delivery")]
    unseen = changed(("spec:", "spec:\n  bus: fast\n  delivery: {timeout: 9m}"))
    assert lint(unseen) == []


def test_warnings_can_be_silenced_and_errors_cannot() -> None:
    ignoring = ("name: shop", "name: shop\n  annotations: {choregos.dev/ignore: 'no-outcome, uncompensated'}")
    assert lint(changed(ignoring, ("{outcome: completed}", "{}"))) == []
    refused = lint(changed((ignoring[0], ignoring[1].replace("uncompensated", "unknown-event")), ("{event: OrderPaid,", "{event: OrderPayed,")))  # fmt: skip
    assert [each.code for each in refused] == ["unknown-event"]


PAIRS = [
    # code, what the finding must say, the elder, the younger
    ("nobody-emits", 'no choreography emits "OrderPlaced"', changed(("name: shop", "name: elder\n  namespace: far")),
     changed(("OrderPlaced: {}", "OrderPlaced: {external: true} # here"), ("emits: [OrderPlaced]", "port: 80"))),
    ("claimed-twice", 'elder claims the reaction of "depot"',
     changed(("name: shop", "name: elder"), (f"    till:\n      reactions:\n        - {TILL}\n", ""), ("OrderPaid: {}", "OrderPaid: {external: true}")),
     changed((DEPOT, f"{DEPOT} # here"))),
    ("conflicting-port", "listens on port 81 in elder, on 80 here",
     changed(("name: shop", "name: elder"), (f"    till:\n      reactions:\n        - {TILL}\n    depot:\n      reactions:\n        - {DEPOT}", ""), ("      emits: [OrderPlaced]", "      port: 81")),
     changed(("      emits: [OrderPlaced]", "      port: 80 # here\n      emits: [OrderPlaced]"))),
    ("conflicting-bus", 'on the bus "fast" in elder, on "default" here',
     changed(("name: shop", "name: elder"), ("spec:", "spec:\n  bus: fast"), (f"    till:\n      reactions:\n        - {TILL}\n    depot:\n      reactions:\n        - {DEPOT}", "")),
     changed(("spec:", "spec:\n  bus: default # here"))),
]  # fmt: skip


def together(*texts: str) -> list[Finding]:
    files = [load(text, f"{number}.yaml") for number, text in enumerate(texts)]
    found = check_together([each for file in files for each in file.choreographies])
    for file in files:
        found = file.locate_all(found)
    return found


@pytest.mark.parametrize(("code", "words", "elder", "younger"), PAIRS)
def test_of_two_that_collide_the_younger_is_told_where(code: str, words: str, elder: str, younger: str) -> None:
    [found] = [each for each in together(elder, younger) if each.resource == "Choreography/default/shop"]
    assert (found.code, found.file, found.line) == (code, "1.yaml", line_of(younger))
    assert words in found.message
    assert found.severity is Severity.WARNING
    silent = changed(("name: shop", f"name: shop\n  annotations: {{choregos.dev/ignore: {code}}}"), text=younger)
    assert [each for each in together(elder, silent) if each.resource == "Choreography/default/shop"] == []


def test_choreographies_that_feed_each_other_agree() -> None:
    listener = changed(
        ("name: shop", "name: listener"),
        ("OrderPlaced: {}", "OrderPlaced: {external: true}"),
        ("    shop:\n      emits: [OrderPlaced]\n", ""),
        ("till:", "ledger:"),
        ("depot:", "store:"),
    )
    assert together(SHOP, listener) == []


def test_every_code_of_checking_has_a_row() -> None:
    codes = list(CATALOGUE)
    rows = {code for code, _, _ in MISTAKES} | {code for code, *_ in PAIRS}
    assert rows == set(codes[codes.index("unknown-event") :])


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("CreateOrder", True),
        ("order.create", True),
        ("send_mail", True),
        ("RestartCommand", True),
        ("OrderPlaced", False),
        ("PlaceVacated", False),
        ("order.created", False),
        ("DroneUnavailable", False),
        ("PaymentOverdue", False),
        ("HTTPRequestSent", False),
        ("_", False),
    ],
)
def test_an_order_is_told_from_a_fact(name: str, order: bool) -> None:
    assert is_command_like(name) is order


names = st.sampled_from([f"Event{letter}" for letter in "ABCDE"])
services = st.dictionaries(
    st.sampled_from(["a", "b", "c"]),
    st.fixed_dictionaries(
        {
            "emits": st.lists(names, max_size=2),
            "reactions": st.lists(
                st.fixed_dictionaries(
                    {"event": names, "emits": st.lists(names, max_size=2)},
                    optional={"onFailure": names, "compensates": names},
                ),
                max_size=3,
            ),
        }
    ),
    max_size=3,
)
events = st.dictionaries(names, st.sampled_from([{}, {"outcome": "completed"}, {"external": True}]), max_size=5)


@given(events, services)
def test_any_valid_choreography_is_judged_without_mixing_errors_and_warnings(
    events: dict[str, object], services: dict[str, object]
) -> None:
    value = {
        "apiVersion": "choregos.dev/v1alpha1",
        "kind": "Choreography",
        "metadata": {"name": "shop"},
        "spec": {"events": events, "services": services},
    }
    found = check(Choreography.model_validate(value))
    assert len({each.severity for each in found}) <= 1
    assert found == check(Choreography.model_validate(value))
    assert len({(each.code, each.path, each.message) for each in found}) == len(found)
