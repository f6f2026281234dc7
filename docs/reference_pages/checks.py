"""The page of every check that `choregos check` makes."""

from collections.abc import Iterator

from choregos_cli.checks.catalogue import CATALOGUE, Check, Level, Section
from reference_pages.markdown import page

_INTRODUCTIONS = {
    Section.KUBERNETES: "The cluster itself, and what you may see of it.",
    Section.DEFINITIONS: "The definitions of the two kinds.",
    Section.OPERATOR: "The Deployments are found by the labels that the chart gives them, in whichever namespace.",
    Section.WEBHOOK: """
It is tried, and not only looked at: the API server is asked, in a dry run, to create a labelled pod and a choreography with an
error. Nothing is stored.""",
    Section.NATS: "Every bus of the namespace: those that choreographies name, and those with an EventBus.",
    Section.CHOREOGRAPHIES: "What the controller says, in its own sentences.",
    Section.PODS: """
Pods with the label `choregos.dev/service` that neither have ended nor declined an ambassador, and the ambassadors that answer
over NATS.""",
    Section.FLOW: "What is left behind on the buses. A dead letter or a lag is no fault of the installation: it warns.",
}


def checks() -> str:
    """Return the page."""
    return page(
        "Checks",
        """
What `choregos check` looks at, in this order, because each part stands on the ones before. A code never changes its meaning;
the JSON holds it. A check that fails makes the exit code 1, one that warns does not. What could not be read, for lack of a
right or because something before it failed, is skipped and says why: it is never fine.""",
        *(block for section in Section for block in _of_section(section)),
    )


def _of_section(section: Section) -> Iterator[str]:
    yield f"## {section}"
    yield _INTRODUCTIONS[section]
    for check in CATALOGUE.values():
        if check.section is section:
            yield f"### {check.code}"
            yield _told(check)


def _told(check: Check) -> str:
    verb = "Warns" if check.worst is Level.WARNING else "Fails"
    asks, hint = (text[:1].upper() + text[1:] for text in (check.asks, check.hint))
    return f"{asks}.\n\n{verb} otherwise. {hint}."
