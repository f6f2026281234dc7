"""What a Prometheus gets that scrapes every pod of the release and of its user, read with the official parser."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from support import node_release
from support.console_script import ROOT
from support.customers import more_accepted
from support.helm import TOGGLES, Installed, only, template
from support.shipping import Shipping
from support.waiting import eventually

REFERENCE: Final = ROOT / "docs" / "reference"
SILENT: Final = {
    "choregos_dead_letters_total": "none came to be",
    "choregos_leases_lost_total": "none was lost",
    "choregos_evictions_total": "nobody asked for them",
    "choregos_inbox_claims_total": "no reaction of the example has an inbox",
    "choregos_inbox_unavailable_total": "the same",
}
"""What has no sample while all is well, because its labels would say what was wrong, or what is used."""
AMBASSADORS, OPERATOR = "metrics.md", "operator-metrics.md"

Families = list[Metric]


@pytest.fixture(scope="module")
def scraped(shipping: Shipping, release: Installed) -> dict[str, list[Families]]:
    """Everything that there is to scrape, after load, by the page that documents it."""
    with shipping.customers() as asking:
        more_accepted(asking, 20)
    shipping.settled(asking.accepted.values())
    operator = ",".join(("app.kubernetes.io/part-of=choregos", "app.kubernetes.io/component in (controller,webhook)"))
    pods = node_release.pods(release, operator)
    # The controller looks at a bus once a minute.
    eventually(lambda: any(shown(scrape(release, pod), "choregos_bus_lag_events") for pod in pods), "figures", 120)
    return {
        AMBASSADORS: [scrape(release, pod) for pod in shipping.pods()],
        OPERATOR: [scrape(release, pod) for pod in pods],
    }


def test_every_pod_is_scraped_without_a_series_or_a_family_twice(scraped: dict[str, list[Families]]) -> None:
    assert [len(scraped[page]) for page in (AMBASSADORS, OPERATOR)] == [4, 2]
    for families in (*scraped[AMBASSADORS], *scraped[OPERATOR]):
        names = Counter(family.name for family in families)
        series = Counter((each.name, *sorted(each.labels.items())) for family in families for each in family.samples)
        assert not [each for each, count in (names + series).items() if count > 1]


@pytest.mark.parametrize("page", [AMBASSADORS, OPERATOR])
def test_every_documented_metric_has_samples_after_load(scraped: dict[str, list[Families]], page: str) -> None:
    documented = names_of(page)
    assert len(documented) > 10
    there = {each.name for families in scraped[page] for family in families for each in family.samples}
    assert documented - there <= SILENT.keys()


@pytest.mark.parametrize("page", [AMBASSADORS, OPERATOR])
def test_no_metric_of_ours_is_without_documentation(scraped: dict[str, list[Families]], page: str) -> None:
    there = {each.name for families in scraped[page] for family in families for each in family.samples}
    ours = {name for name in there if name.startswith("choregos_") and not name.endswith("_created")}
    assert ours <= names_of(page)


def test_every_alert_is_about_a_metric_that_is_scraped(scraped: dict[str, list[Families]]) -> None:
    rules = only(template(TOGGLES["monitoring"]), "PrometheusRule", "choregos")["spec"]["groups"]
    wanted = {name for group in rules for rule in group["rules"] for name in re.findall(r"choregos_\w+", rule["expr"])}
    assert len(wanted) > 5
    there = {each.name for pods in scraped.values() for families in pods for f in families for each in f.samples}
    assert wanted - there <= SILENT.keys()


def scrape(release: Installed, pod: dict[str, object]) -> Families:
    """Return what a pod shows at its port of probes and metrics."""
    metadata = pod["metadata"]
    assert isinstance(metadata, dict)
    path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}:9481/proxy/metrics"
    return list(text_string_to_metric_families(release.cluster.kubectl("get", "--raw", path)))


def shown(families: Iterable[Metric], name: str) -> bool:
    """Whether a gauge has a sample."""
    return any(each.name == name for family in families for each in family.samples)


def names_of(page: str) -> set[str]:
    """Return every name that a page of the reference documents, those of a histogram with their endings."""
    rows = [row.split("|")[1] for row in (REFERENCE / page).read_text().splitlines() if row.startswith("| `choregos_")]
    found = set()
    for row in rows:
        first, *endings = re.findall(r"`(\w+)`", row)
        found |= {first, *(first.removesuffix("_bucket") + ending for ending in endings)}
    return found
