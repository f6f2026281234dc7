"""Writes the pages and manifests that follow from the code; `--check` only says which ones are behind.

A page is a path and a function that returns its text. To add one, add a line to `PAGES`.
"""

import argparse
import difflib
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from custom_resources.definitions import choreographies, event_buses
from reference_pages.annotations import annotations
from reference_pages.chart_definitions import chart_definition
from reference_pages.chart_rights import chart_rights
from reference_pages.chart_schema import chart_schema
from reference_pages.chart_snapshot import chart_snapshot
from reference_pages.chart_values import chart_values_page
from reference_pages.checks import checks
from reference_pages.choreography import choreography
from reference_pages.conditions import conditions
from reference_pages.dead_letters import dead_letters
from reference_pages.graphs import graph
from reference_pages.headers import headers
from reference_pages.limits import limits
from reference_pages.lint_codes import lint_codes
from reference_pages.logs import logs, operator_logs
from reference_pages.metrics import metrics
from reference_pages.nats_permissions import nats_permissions
from reference_pages.operator_metrics import operator_metrics
from reference_pages.operator_settings import operator_settings
from reference_pages.ports import ports
from reference_pages.release import release
from reference_pages.rights import rights
from reference_pages.settings import settings
from reference_pages.verdicts import verdicts
from reference_pages.wire import wire

DOCS = Path(__file__).resolve().parent
REFERENCE = DOCS / "reference"
CRDS = DOCS.parent / "crds"
CHART = DOCS.parent / "charts" / "choregos"
ORDERS = DOCS / "guides" / "snippets" / "orders"

PAGES: tuple[tuple[Path, Callable[[], str]], ...] = (
    (DOCS / "lint-codes.md", lint_codes),
    (REFERENCE / "choreography.md", choreography),
    (REFERENCE / "checks.md", checks),
    (REFERENCE / "verdicts.md", verdicts),
    (REFERENCE / "dead-letters.md", dead_letters),
    (REFERENCE / "headers.md", headers),
    (REFERENCE / "ports.md", ports),
    (REFERENCE / "annotations.md", annotations),
    (REFERENCE / "conditions.md", conditions),
    (REFERENCE / "settings.md", settings),
    (REFERENCE / "operator-settings.md", operator_settings),
    (REFERENCE / "rights.md", rights),
    (REFERENCE / "limits.md", limits),
    (REFERENCE / "metrics.md", metrics),
    (REFERENCE / "operator-metrics.md", operator_metrics),
    (REFERENCE / "logs.md", logs),
    (REFERENCE / "operator-logs.md", operator_logs),
    (REFERENCE / "wire.md", wire),
    (DOCS / "guides" / "nats-permissions.md", nats_permissions),
    (CRDS / "choregos.dev_choreographies.yaml", choreographies),
    (CRDS / "choregos.dev_eventbuses.yaml", event_buses),
    (DOCS / "guides" / "snippets" / "kubernetes" / "release.yaml", release),
    (REFERENCE / "chart-values.md", chart_values_page),
    (CHART / "values.schema.json", chart_schema),
    (CHART / "templates" / "rbac.yaml", chart_rights),
    (CHART / "templates" / "crds" / "choreographies.yaml", partial(chart_definition, choreographies)),
    (CHART / "templates" / "crds" / "eventbuses.yaml", partial(chart_definition, event_buses)),
    # Of the templates above, as they are on the disk by then.
    (CHART.parents[1] / "tests" / "unit" / "snapshots" / "chart.yaml", chart_snapshot),
    (ORDERS / "graph.mmd", partial(graph, ORDERS / "choreography.yaml")),
)


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or compare them; returns 1 if `--check` found one that is behind."""
    parser = argparse.ArgumentParser(description="Write the generated reference pages.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page is not what it would be")
    check = parser.parse_args(arguments).check
    behind = 0
    for path, page in PAGES:
        wanted = page()
        present = path.read_text(encoding="utf-8") if path.exists() else ""
        if not check:
            path.write_text(wanted, encoding="utf-8")
        elif wanted != present:
            behind += 1
            lines = difflib.unified_diff(present.splitlines(True), wanted.splitlines(True), str(path), "generated")
            sys.stdout.writelines(lines)
    if behind:
        hint = f"run `{Path(sys.executable).name} docs/generate.py`"
        sys.stderr.write(f"error: {behind} generated pages are behind the code\n  hint: {hint}\n")
    return 1 if behind else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
