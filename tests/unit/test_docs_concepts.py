"""The figures in the hand-written pages are those of the code; where they stand in generated pages, `make verify` sees to it."""

import re
from pathlib import Path

import pytest

from choregos_ambassador import breaker, gate, lag, leases, outbox
from choregos_ambassador.delivery import ACK_WAIT
from choregos_contract.event import MAX_HOPS
from choregos_contract.event_bus import StreamSpec
from choregos_contract.quantities import format_duration
from choregos_operator.annotations import Tuning
from choregos_operator.controller.announcements import Happened
from choregos_operator.controller.conditions import Reason
from choregos_operator.controller.passes import LONGEST_BACKOFF
from choregos_operator.settings import PREFIX, Settings
from support.console_script import ROOT

WINDOW = f"{StreamSpec().duplicate_window / 60:g} minutes by default"
AGE = f"{StreamSpec().max_age / 86400:g} days by default"
OPERATOR = Settings.model_construct()
TUNING = Tuning()
FIGURES = (
    ("concepts/delivery.md", f"a sign of progress every {ACK_WAIT:g} s"),
    ("concepts/delivery.md", f"does so every {leases.RENEW_EVERY:g} s"),
    ("concepts/delivery.md", f"after {breaker.IN_A_ROW} time-outs, broken or refused connections, 429 or 503 in a row"),
    ("concepts/delivery.md", f"from at least {breaker.DISTINCT} events"),
    ("concepts/delivery.md", f"at least {breaker.ENOUGH} answers within {breaker.WINDOW} s"),
    ("concepts/delivery.md", f"for up to {outbox.PATIENCE:g} s"),
    ("concepts/delivery.md", f"warns from {lag.CROWDED * 100:g} % on"),
    ("concepts/hop.md", f"Above {MAX_HOPS} the event is a dead letter"),
    ("concepts/hop.md", WINDOW),
    ("guides/publish-an-event.md", WINDOW),
    ("guides/make-a-service-idempotent.md", AGE),
    ("guides/join-a-running-choreography.md", AGE),
    ("concepts/operator.md", f"is kept for {OPERATOR.orphan_ttl_days:g} days"),
    ("guides/run-on-kubernetes.md", f"is kept for {OPERATOR.orphan_ttl_days:g} days (`CHOREGOS_ORPHAN_TTL_DAYS`)"),
    ("operations/troubleshooting.md", f"Put it back within {OPERATOR.orphan_ttl_days:g} days"),
    ("operations/troubleshooting.md", f"at most {LONGEST_BACKOFF:g} s later"),
    ("operations/troubleshooting.md", f"the pod uses {TUNING.publish_port} or {TUNING.probes_port}"),
)


@pytest.mark.parametrize(("page", "figure"), FIGURES, ids=str)
def test_a_figure_in_a_page_is_the_one_in_the_code(page: str, figure: str) -> None:
    assert figure in " ".join((ROOT / "docs" / page).read_text().split())


def test_the_words_for_other_figures_fit() -> None:
    """Half of the answers, twice a second and each minute are words for these."""
    assert breaker.SHARE == 0.5
    assert format_duration(gate.PROBE_OPEN) == "500ms"
    assert OPERATOR.sweep_seconds == 60


@pytest.mark.parametrize("page", ["operations/troubleshooting.md", "guides/run-on-kubernetes.md"])
def test_the_reasons_and_settings_that_a_page_names_are_there(page: str) -> None:
    text = (ROOT / "docs" / page).read_text()
    reasons = set(re.findall(r"(?:reason|Event) `([A-Za-z]+)`", text))
    assert reasons
    assert reasons <= {*Reason, *Happened}
    settings = set(re.findall(rf"{PREFIX}([A-Z_]+)", text))
    assert settings <= {name.upper() for name in Settings.model_fields} | {"PUBLISH_URL"}


def test_every_page_is_linked_from_an_index() -> None:
    docs = ROOT / "docs"
    indices = [docs / "README.md", *(docs / room / "README.md" for room in ("guides", "concepts", "operations"))]
    linked = {_target(index, part) for index in indices for part in index.read_text().split("](")[1:]}
    assert {page for page in docs.rglob("*.md") if "decisions" not in page.parts} - linked <= {docs / "README.md"}


def _target(index: Path, link: str) -> Path:
    return (index.parent / link.partition(")")[0]).resolve()
