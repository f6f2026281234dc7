"""The page of every code that `choregos lint` knows."""

from collections.abc import Iterable

from choregos_contract.findings import CATALOGUE, Rule, Severity
from reference_pages.markdown import code, page, table


def lint_codes() -> str:
    """Return the page."""
    rules = CATALOGUE.values()
    return page(
        "Lint codes",
        """
What `choregos lint` finds. A code never changes its meaning. Each finding comes with file, line and column, the path in the
document, and a hint that says how to mend it.""",
        "## Errors",
        "An error refuses the document: in `choregos lint`, `graph` and `up`, and later in the cluster.",
        _rules(rule for rule in rules if rule.severity is Severity.ERROR),
        "## Warnings",
        """
A warning refuses nothing, unless `--strict` is given. The annotation `choregos.dev/ignore` silences warnings: it holds
their codes, separated by commas.""",
        _rules(rule for rule in rules if rule.severity is Severity.WARNING),
    )


def _rules(rules: Iterable[Rule]) -> str:
    return table(("code", "what is wrong"), ((code(rule.code), rule.summary) for rule in rules))
