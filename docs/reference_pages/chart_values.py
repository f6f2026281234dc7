"""The chart's values, as `values.yaml` has them: each key with the comment above it, which is its documentation.

The page of the reference and the chart's schema follow from it.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from reference_pages.markdown import code, page, table

VALUES: Final = Path(__file__).resolve().parents[2] / "charts" / "choregos" / "values.yaml"
KUBERNETES: Final = frozenset(
    [
        "affinity",
        "annotations",
        "commonLabels",
        "labels",
        "nodeSelector",
        "podAnnotations",
        "podLabels",
        "podSecurityContext",
        "resources",
    ]
)
"""Values that are as Kubernetes has them: what is in them is not ours to name."""

_KEY: Final = re.compile(r"(?P<indent> *)(?P<key>\w+):")


@dataclass(frozen=True, slots=True)
class Value:
    """One value, or a section of them."""

    path: tuple[str, ...]
    prose: str
    default: Any

    @property
    def name(self) -> str:
        """How `--set` names it."""
        return ".".join(self.path)

    @property
    def section(self) -> bool:
        """Whether it holds values of ours, instead of being one."""
        return isinstance(self.default, Mapping) and self.path[-1] not in KUBERNETES


def chart_values() -> list[Value]:
    """Return all of them, in their order; raises LookupError for one without a comment."""
    text = VALUES.read_text(encoding="utf-8")
    return list(_walk(yaml.safe_load(text), dict(_comments(text)), ()))


def chart_values_page() -> str:
    """Return the page of the reference."""
    values = chart_values()
    sections = [value for value in values if len(value.path) == 1 and value.section]
    blocks = []
    for section in sections:
        rows = [value for value in values if value.path[0] == section.path[0] and value is not section]
        blocks += [f"## {code(section.name)}", section.prose, _table(rows)]
    single = [value for value in values if len(value.path) == 1 and not value.section]
    return page(
        "Values of the chart",
        """
What `helm install choregos charts/choregos` is told with `--set NAME=VALUE`, or in a file with `--values`. One of `nats.url` and
`nats.enabled` has to be set; what contradicts itself, is unknown or of a wrong type is refused with a sentence. The file
`values-ha.yaml` of the chart is a set of values for high availability.""",
        "## In general",
        _table(single),
        *blocks,
    )


def _table(values: list[Value]) -> str:
    return table(
        ("value", "default", "meaning"), ((code(value.name), _default(value), value.prose) for value in values)
    )


def _default(value: Value) -> str:
    return "" if value.section else code(json.dumps(value.default))


def _walk(values: Mapping[str, Any], comments: Mapping[tuple[str, ...], str], at: tuple[str, ...]) -> Iterator[Value]:
    for key, default in values.items():
        path = (*at, key)
        if path not in comments:
            raise LookupError(f"{VALUES.name}: {'.'.join(path)} has no comment above it")
        value = Value(path, comments[path], default)
        yield value
        if value.section:
            yield from _walk(default, comments, path)


def _comments(text: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield each key that has a comment right above it, with the comment as one line."""
    path: list[str] = []
    comment: list[str] = []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("#"):
            comment.append(stripped.removeprefix("#").strip())
        elif match := _KEY.match(line):
            path = [*path[: len(match["indent"]) // 2], match["key"]]
            if comment:
                yield tuple(path), " ".join(comment)
            comment = []
        else:
            comment = []
