"""A plan as it is printed: for people, line by line, and as one JSON document."""

from collections import Counter
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from choregos_cli.console import printable
from choregos_cli.planning.changes import Change, Sign, What
from choregos_cli.planning.made import Plan
from choregos_cli.planning.prose import MARKS, heading, sentences
from choregos_cli.planning.settings import Setting

_COLOURS: Final = {Sign.NEW: "green", Sign.CHANGED: "yellow", Sign.GONE: "red"}
_NONE: Final = "(none)"


def show(plan: Plan, console: Console, complaints: Console) -> None:
    """Print a plan; what could not be asked goes to `complaints`."""
    for found in plan.findings:
        where = found.file or found.resource or ""
        line = f":{found.line}" if found.file and found.line else ""
        _line(console, f"{where}{line}: {found.severity}[{found.code}] {found.message}; {found.hint}", "yellow")
    for verdict in plan.verdicts:
        for warning in verdict.warnings:
            _line(console, f"{verdict.given.identity}: the API server warns: {warning}", "yellow")
        if verdict.refusal:
            _line(console, f"! {verdict.given.identity}: the API server refuses it: {verdict.refusal}", "bold red")
    for change in plan.changes:
        _show(change, plan, console)
    for each in plan.unknown:
        _line(complaints, f"unknown: {each}", "yellow")
    _line(console, _sum(plan), "bold")


def as_json(plan: Plan) -> dict[str, Any]:
    """Return a plan as one JSON document."""
    fields = ("resource", "file", "line", "column", "code", "severity", "message", "hint")
    return {
        "refused": plan.refused,
        "findings": [{"path": found.place} | {f: getattr(found, f) for f in fields} for found in plan.findings],
        "verdicts": [
            {
                "resource": each.given.identity,
                "accepted": not each.refusal,
                "refusal": each.refusal or None,
                "warnings": list(each.warnings),
            }
            for each in plan.verdicts
        ],
        "changes": [_change_as_json(each, plan) for each in plan.changes],
        "unknown": list(plan.unknown),
    }


def _show(change: Change, plan: Plan, console: Console) -> None:
    mark = "!" if change.refused else MARKS[change.sign]
    colour = "bold red" if change.refused else _COLOURS[change.sign]
    console.print(Text.assemble((f"{mark} {printable(heading(change))}", colour)))
    for sentence in sentences(change, plan.pods.get(change.namespace)):
        _line(console, f"    {sentence}", "")
    shown = change.settings if change.sign is Sign.CHANGED or change.what is What.BUS else ()
    for setting in shown:
        _line(console, f"      {_setting(setting)}", "")


def _setting(setting: Setting) -> str:
    return f"{setting.name}: {setting.before or _NONE} -> {setting.after or _NONE}"


def _line(console: Console, text: str, style: str) -> None:
    console.print(Text(printable(text), style=style))


def _sum(plan: Plan) -> str:
    if not plan.changes:
        return "nothing would be applied" if plan.refused else "no changes"
    counts = Counter(each.sign for each in plan.changes)
    parts = [f"{counts[sign]} {sign}" for sign in Sign if counts[sign]]
    return ", ".join(parts) + ("; something of it would be refused" if plan.refused else "")


def _change_as_json(change: Change, plan: Plan) -> dict[str, Any]:
    found: dict[str, Any] = {
        "what": change.what,
        "change": change.sign,
        "namespace": change.namespace,
        "bus": change.bus,
        "name": change.name,
        "settings": [{"name": s.name, "before": s.before, "after": s.after} for s in change.settings],
        "refused": change.refused,
    }
    if change.of:
        found["choreography"] = change.of
    if change.what is What.BUS:
        found |= {"obstacle": change.obstacle or None, "unread": change.unread}
    if change.what is What.SERVICE:
        pods = plan.pods.get(change.namespace)
        mine = pods.get(change.name) if pods else None
        found["reloads"] = list(mine.with_ambassador) if mine else ([] if pods is not None else None)
        found["withoutAmbassador"] = list(mine.without) if mine else ([] if pods is not None else None)
    if fate := change.fate:
        found |= {
            "durable": fate.durable,
            "wiring": fate.wiring,
            "startFrom": fate.start_from or None,
            "waiting": fate.waiting,
            "inHand": fate.in_hand,
            "deadLetters": fate.dead_letters,
            "reason": fate.reason or None,
        }
    return found
