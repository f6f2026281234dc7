"""YAML text as plain values that remember where they were written.

Composing keeps the nodes, so that every value has its line and column; constructing is done here, because the stock
constructor lets duplicate keys pass and turns times into objects. What kubectl would read differently from what the
user sees (a key `on:`) is a finding, not a value.
"""

import re
from dataclasses import dataclass, field, replace
from typing import Any, Final

import yaml

from choregos_contract.findings import DocumentPath, Finding, finding

_Entry = tuple[yaml.Node, yaml.Node]
_Loader: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MOST_NODES: Final = 200_000
_DEEPEST: Final = 50
_BOOLEAN: Final = re.compile(
    "y|Y|yes|Yes|YES|n|N|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF", re.ASCII
)
_UNPRINTABLE: Final = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TAG: Final = "tag:yaml.org,2002:"
_SYNTAX: Final = (
    ("undefined alias", "an alias that no anchor defines", "define the anchor before it, or quote the text"),
    ("cannot start any token", "a character that no plain text may begin with", "put the text in quotes"),
    (
        "mapping values",
        "a second colon, or a line indented too far",
        "quote a text that holds a colon, or align the line",
    ),
    ("end of stream", "a quote that is never closed", "close it"),
    ("node content", "a value is missing", "write the value, or remove the key"),
    ("',' or", "a bracket or brace that is not closed, or a comma that is missing", "close it, or add the comma"),
    ("expected ':'", "a line without a colon", 'write "key: value"'),
    ("did not find expected", "a line that is indented unlike its neighbours", "align it with them"),
    ("expected <block end>", "a line that is indented unlike its neighbours", "align it with them"),
    ("escape character", "a backslash that begins no known escape", "double it, or use single quotes"),
    ("duplicate anchor", "an anchor that is defined twice", "rename one of them"),
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is written, counted from 1, and a plain scalar as it stands there."""

    line: int
    column: int
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document: its value, where each part of it is written, and what is wrong with it as YAML."""

    value: object
    places: dict[DocumentPath, Place]
    findings: tuple[Finding, ...] = ()

    def place(self, path: DocumentPath) -> Place:
        """Return where a path is written, or the nearest part around it that is written at all."""
        while path not in self.places:
            path = path[:-1]
        return self.places[path]


class NotYaml(Exception):  # noqa: N818 - it carries a finding, and is read as the sentence "not YAML"
    """The text as a whole cannot be read; `finding` says why, with its line."""

    def __init__(self, found: Finding, line: int, column: int) -> None:
        super().__init__(found.message)
        self.finding = replace(found, line=line, column=column)


def read(text: str) -> list[Document]:
    """Return the documents of a text, empty ones left out; raise NotYaml if it cannot be read at all."""
    try:
        _refuse_depth(text)
        nodes = [node for node in yaml.compose_all(text, Loader=_Loader) if node is not None]
    except yaml.MarkedYAMLError as error:
        raise _not_yaml(text, error) from None
    except yaml.YAMLError:
        raise _unprintable(text) from None
    return [_Reader().document(node) for node in nodes if node.tag != f"{_TAG}null"]


def _refuse_depth(text: str) -> None:
    """Look at the events first, because composing recurses in C and would end the process on a deep text."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise _too_large(event.start_mark)


def _too_large(mark: Any) -> NotYaml:
    message = f"the document nests deeper than {_DEEPEST} levels or holds more than {_MOST_NODES} values"
    hint = "split it, and look for an alias that repeats itself"
    return NotYaml(finding("too-large", (), message, hint), mark.line + 1, mark.column + 1)


def _not_yaml(text: str, error: yaml.MarkedYAMLError) -> NotYaml:
    mark: Any = error.problem_mark or error.context_mark
    lines = re.split("\r\n|\r|\n", text)
    line = lines[mark.line] if mark.line < len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        found = finding("tab-indentation", (), "a tab indents this line", "indent with spaces only")
        return NotYaml(found, mark.line + 1, line.index("\t") + 1)
    problem = error.problem or "it cannot be parsed"
    opened = f", opened in line {error.context_mark.line + 1}" if error.context_mark else ""
    for words, what, hint in _SYNTAX:
        if words in problem:
            message = what + opened if "close" in hint else what
            return NotYaml(finding("yaml-syntax", (), message, hint), mark.line + 1, mark.column + 1)
    return NotYaml(finding("yaml-syntax", (), problem, "write plain YAML 1.1"), mark.line + 1, mark.column + 1)


def _unprintable(text: str) -> NotYaml:
    match = _UNPRINTABLE.search(text)
    before = text[: match.start() if match else 0]
    code = f"U+{ord(match[0]):04X}" if match else "of control"
    found = finding(
        "yaml-syntax", (), f"the character {code} is not allowed in YAML", "remove it, or escape it in quotes"
    )
    return NotYaml(found, before.count("\n") + 1, len(before) - before.rfind("\n"))


@dataclass(slots=True)
class _Reader:
    """Turns the nodes of one document into values, and notes where they were."""

    places: dict[DocumentPath, Place] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    nodes: int = 0

    def document(self, node: yaml.Node) -> Document:
        self.places[()] = _place(node)
        value = self.value(node, ())
        return Document(value, self.places, tuple(dict.fromkeys(self.findings)))

    def value(self, node: yaml.Node, path: DocumentPath) -> object:
        self.nodes += 1
        if self.nodes > _MOST_NODES or len(path) > _DEEPEST:
            raise _too_large(node.start_mark)
        if not isinstance(node, yaml.ScalarNode) and node.tag not in (f"{_TAG}map", f"{_TAG}seq"):
            self.note(node, path, "yaml-syntax", f"the tag {node.tag} has no meaning here", "remove it")
            return None
        if isinstance(node, yaml.MappingNode):
            mapping = {}
            for key, (key_node, value) in self.entries(node, path).items():
                self.places[(*path, key)] = _place(key_node, value)
                mapping[key] = self.value(value, (*path, key))
            return mapping
        if isinstance(node, yaml.SequenceNode):
            self.places.update({(*path, index): _place(item) for index, item in enumerate(node.value)})
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        return self.scalar(node, path)

    def entries(self, node: yaml.MappingNode, path: DocumentPath, depth: int = 0) -> dict[str, _Entry]:
        """Return the entries of a mapping, those of merged mappings (`<<`) last and only where nothing hides them."""
        if depth > _DEEPEST:
            raise _too_large(node.start_mark)
        found: dict[str, _Entry] = {}
        merged: list[yaml.Node] = []
        for key_node, value in node.value:
            if key_node.tag == f"{_TAG}merge":
                merged += value.value if isinstance(value, yaml.SequenceNode) else [value]
            elif (key := self.key(key_node, path, found)) is not None:
                found[key] = (key_node, value)
        for part in merged:
            if not isinstance(part, yaml.MappingNode):
                self.note(part, path, "yaml-syntax", "<< merges something that is no mapping", "merge a mapping")
                continue
            found = self.entries(part, path, depth + 1) | found
        return found

    def key(self, node: yaml.Node, path: DocumentPath, found: dict[str, _Entry]) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            self.note(
                node,
                path,
                "yaml-syntax",
                "a key that is itself a mapping or a list",
                "render templates before checking",
            )
            return None
        key = str(node.value)
        if key in found:
            hint = f"keep one of them; the other is in line {found[key][0].start_mark.line + 1}"
            self.note(node, (*path, key), "duplicate-key", f'the key "{key}" stands here a second time', hint)
            return None
        if _is_plain(node) and _BOOLEAN.fullmatch(key):
            hint = f'put it in quotes, "{key}", or rename it'
            self.note(node, (*path, key), "boolean-key", f"YAML reads the key {key} as a boolean", hint)
        return key

    def scalar(self, node: yaml.Node, path: DocumentPath) -> object:
        text, kind = str(node.value), node.tag.removeprefix(_TAG)
        match kind:
            case "null":
                return None
            case "bool":
                return text.lower() in ("true", "yes", "on")
            case "int" if re.fullmatch("[-+]?(0|[1-9][0-9]{0,17})", text):
                return int(text)
            case "float" if re.fullmatch(r"[-+]?[0-9]*\.[0-9]+", text):
                return float(text)
            case "str" | "int" | "float" | "timestamp" | "value" | "merge":
                return text
        self.note(node, path, "yaml-syntax", f"the tag {node.tag} has no meaning here", "remove it")
        return None

    def note(self, node: yaml.Node, path: DocumentPath, code: str, message: str, hint: str) -> None:
        mark = node.start_mark
        self.findings.append(replace(finding(code, path, message, hint), line=mark.line + 1, column=mark.column + 1))


def _place(node: yaml.Node, value: yaml.Node | None = None) -> Place:
    scalar = value or node
    text = str(scalar.value) if isinstance(scalar, yaml.ScalarNode) and _is_plain(scalar) else None
    return Place(node.start_mark.line + 1, node.start_mark.column + 1, text)


def _is_plain(node: yaml.ScalarNode) -> bool:
    """Tell a scalar without quotes: its style is empty with libyaml, and None without."""
    return not node.style
