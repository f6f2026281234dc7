"""`make bench-operator`: what an admission costs, how soon a choreography is wired, and what a quiet hour costs.

Prints a table, and writes `bench/results/operator.json`.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import statistics
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import operator_controller
import operator_webhook
from operator_documents import Layout
from operator_stage import stage

RESULTS = Path(__file__).with_name("results")


@dataclass(frozen=True)
class Found:
    """All that was measured of one layout."""

    layout: Layout
    controller: operator_controller.Controller
    webhook: operator_webhook.Webhook


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    aim: str
    values: list[str]


async def measure(layout: Layout, arguments: argparse.Namespace) -> Found:
    """Measure one layout, on a cluster and a bus of its own; the controller first, then the webhook without it."""
    async with stage() as the:
        controller = await operator_controller.measure(
            the, layout, sample=arguments.ambassadors, edits=arguments.edits, steady=arguments.steady
        )
        the.controller.kill()
        await the.controller.ended()
        drawn = random.Random(arguments.seed)
        webhook = await operator_webhook.measure(
            the, layout, admissions=arguments.admissions, pods=arguments.pods, drawn=drawn
        )
    return Found(layout, controller, webhook)


def rows(found: list[Found]) -> list[Row]:
    """Return the table, line by line."""
    controllers, webhooks = [each.controller for each in found], [each.webhook for each in found]
    number = found[0].layout.choreographies
    return [
        Row("admission at the webhook, p50, ms", "", [f"{each.admissions.p50:.1f}" for each in webhooks]),
        Row("admission at the webhook, p99, ms", "50", [f"{each.admissions.p99:.1f}" for each in webhooks]),
        Row("admissions/s", "", [f"{each.admissions.per_second:.0f}" for each in webhooks]),
        Row("added to the creation of a pod, p50, ms", "", [f"{e.pods.p50 - e.bare_pods.p50:.1f}" for e in webhooks]),
        Row("added to the creation of a pod, p99, ms", "", [f"{e.pods.p99 - e.bare_pods.p99:.1f}" for e in webhooks]),
        Row(
            "creations/s with and without the webhook",
            "",
            [f"{each.pods.per_second:.0f}, {each.bare_pods.per_second:.0f}" for each in webhooks],
        ),
        Row("RSS of the webhook, MiB", "150", [f"{each.rss_mib:.0f}" for each in webhooks]),
        Row("apply to Wired, one choreography, s", "2", [f"{each.one_wired:.2f}" for each in controllers]),
        Row(f"apply to Wired, {number} at once, s", "60", [f"{each.all_wired:.1f}" for each in controllers]),
        Row("CPU of the controller for them, s", "", [f"{each.controller_cpu:.1f}" for each in controllers]),
        Row("apply to Wired, one more beside them, s", "2", [f"{each.one_more_wired:.2f}" for each in controllers]),
        Row(
            "edit to all ambassadors current, median (largest), s",
            "10",
            [f"{statistics.median(e.edit_current):.1f} ({max(e.edit_current):.1f})" for e in controllers],
        ),
        Row("steady: controller to the API server, 1/s", "1", [f"{each.api_per_second:.2f}" for each in controllers]),
        Row("steady: controller to NATS, 1/s", "1", [f"{each.nats_per_second:.2f}" for each in controllers]),
        Row("steady: webhook to the API server, 1/s", "1", [f"{e.webhook_api_per_second:.2f}" for e in controllers]),
        Row("steady: CPU of the controller, % of a core", "", [f"{each.steady_cpu:.1f}" for each in controllers]),
        Row("RSS of the controller, MiB", "150", [f"{each.rss_mib:.0f}" for each in controllers]),
        Row("the same, its peak", "", [f"{each.rss_peak_mib:.0f}" for each in controllers]),
    ]


def table(found: list[Found]) -> str:
    """Write the table."""
    head = ["what", "at most", *(each.layout.name for each in found)]
    lines = [head, ["---"] * len(head), *([row.what, row.aim, *row.values] for row in rows(found))]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> None:
    """Measure, write, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--choreographies", type=int, default=200, help="of five services each")
    parser.add_argument("--namespaces", type=int, default=20, help="of the second layout; the first has one")
    parser.add_argument("--ambassadors", type=int, default=10, help="real processes; the other pods only say they run")
    parser.add_argument("--edits", type=int, default=5)
    parser.add_argument("--admissions", type=int, default=5000)
    parser.add_argument("--pods", type=int, default=1000, help="created with, and as many without the webhook")
    parser.add_argument("--steady", type=float, default=120.0, help="seconds for which requests are counted")
    parser.add_argument("--seed", type=int, default=1, help="of the pods and choreographies that are drawn")
    parser.add_argument("--layout", choices=("one", "many"), help="measure only one of the two layouts")
    arguments = parser.parse_args()
    one = Layout("one namespace", arguments.choreographies, 1)
    many = Layout(f"{arguments.namespaces} namespaces", arguments.choreographies, arguments.namespaces)
    layouts = {"one": [one], "many": [many], None: [one, many]}[arguments.layout]
    found = [asyncio.run(measure(layout, arguments)) for layout in layouts]
    RESULTS.mkdir(exist_ok=True)
    about = {"python": platform.python_version(), "cores": os.cpu_count(), "load": os.getloadavg()}
    (RESULTS / "operator.json").write_text(
        json.dumps({"about": about, "arguments": vars(arguments), "found": [asdict(each) for each in found]}, indent=2)
    )
    sys.stdout.write(table(found))


if __name__ == "__main__":
    main()
