"""What a command is given to read: files, directories, stdin; and what the contract has to say about them."""

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Final

from choregos_cli.errors import MisuseError
from choregos_contract.checks import check, check_together
from choregos_contract.document import Loaded, load
from choregos_contract.event_bus import EventBus
from choregos_contract.findings import Finding, Severity, finding
from choregos_contract.resources import API_VERSION, Choreography
from choregos_contract.source import Document, NotYaml, read

STDIN: Final = "<stdin>"
_OUR_KINDS: Final = ("Choreography", "EventBus")
_OURS: Final = re.compile(r"choregos\.dev|^kind:\s*[\"']?(Choreography|EventBus)\b", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Examined:
    """All that was read, and all that was found in it, file by file and line by line."""

    texts: dict[str, str]
    choreographies: tuple[Choreography, ...]
    buses: tuple[EventBus, ...]
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> int:
        """The number of findings that refuse a document."""
        return _errors(self.findings)

    @property
    def warnings(self) -> int:
        """The number of findings that do not."""
        return len(self.findings) - self.errors


def examine(names: Sequence[str]) -> Examined:
    """Read and check everything that `names` stand for; raises MisuseError for what cannot be read."""
    texts = dict(_texts(names))
    files = [_loaded(text, name) for name, text in texts.items()]
    owners, findings = _owners(files)
    first = [each for file in files for each in file.resources if owners[each.identity] is file]
    choreographies = tuple(each for each in first if isinstance(each, Choreography))
    buses = tuple(each for each in first if isinstance(each, EventBus))
    by_name = {(bus.metadata.namespace, bus.metadata.name): bus for bus in buses}
    for choreography in choreographies:
        bus = by_name.get((choreography.metadata.namespace, choreography.spec.bus))
        findings += owners[choreography.identity].locate_all(check(choreography, bus))
    # Of a single choreography, nobody can say whether another one emits its external events; beside one that has an
    # error, neither.
    if len(choreographies) > 1 and not _errors(findings):
        findings += [owners[found.resource or ""].locate(found) for found in check_together(choreographies)]
    order = {name: index for index, name in enumerate(texts)}
    findings.sort(key=lambda found: (order[found.file or ""], found.line or 0, found.column or 0))
    return Examined(texts, choreographies, buses, tuple(findings))


def _errors(findings: Iterable[Finding]) -> int:
    return sum(found.severity is Severity.ERROR for found in findings)


def _owners(files: Sequence[Loaded]) -> tuple[dict[str, Loaded], list[Finding]]:
    """Return the file of each resource, the first one that holds it, and what was found while loading."""
    owners: dict[str, Loaded] = {}
    findings: list[Finding] = []
    for file in files:
        findings += file.findings
        for identity in (resource.identity for resource in file.resources):
            if (owner := owners.setdefault(identity, file)) is not file:
                again = finding(
                    "duplicate-resource",
                    ("metadata", "name"),
                    f"{identity} stands in {owner.file} already",
                    "rename or remove one of them",
                )
                findings.append(file.locate(replace(again, resource=identity)))
    return owners, findings


def _loaded(text: str, name: str) -> Loaded:
    """Return what a file holds of ours; what is wrong with other people's documents in it is not our business."""
    file = load(text, name)
    foreign = _foreign_lines(text) if file.findings else ()
    kept = tuple(found for found in file.findings if not any(found.line in lines for lines in foreign))
    return replace(file, findings=kept)


def _foreign_lines(text: str) -> list[range]:
    try:
        documents = read(text)
    except NotYaml:
        return []
    starts = [document.place(()).line for document in documents] + [sys.maxsize]
    spans = (range(start, end) for start, end in pairwise(starts))
    return [lines for lines, document in zip(spans, documents, strict=True) if _is_foreign(document)]


def _is_foreign(document: Document) -> bool:
    """Tell whether a document names both a version and a kind, and neither is ours."""
    if not isinstance(document.value, dict):
        return False
    version, kind = document.value.get("apiVersion"), document.value.get("kind")
    if not (isinstance(version, str) and isinstance(kind, str)):
        return False
    return version.partition("/")[0] != API_VERSION.partition("/")[0] and kind not in _OUR_KINDS


def _texts(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield every file once, by the name it was first given."""
    seen: set[Path] = set()
    for name in names:
        if name == "-":
            yield STDIN, _decoded(sys.stdin.buffer.read(), STDIN)
            continue
        path = Path(name)
        found = list(_below(path)) if path.is_dir() else [(path, _read(path))]
        for file, text in found:
            if (resolved := file.resolve()) not in seen:
                seen.add(resolved)
                yield str(file), text


def _below(directory: Path) -> Iterator[tuple[Path, str]]:
    """Yield the YAML files in a directory that have to do with us; others may be templates, or anybody's."""
    files = sorted(file for suffix in ("yaml", "yml") for file in directory.rglob(f"*.{suffix}") if file.is_file())
    visible = [file for file in files if not any(part.startswith(".") for part in file.relative_to(directory).parts)]
    ours = [(file, text) for file in visible if _OURS.search(text := _read(file))]
    if not ours:
        raise MisuseError(
            f"no choreography in the directory {directory} ({len(visible)} YAML files)", "name a file, or another one"
        )
    yield from ours


def _read(path: Path) -> str:
    try:
        return _decoded(path.read_bytes(), str(path))
    except OSError as error:
        raise MisuseError(f"cannot read {path}: {error.strerror}", "name a file that can be read, or `-`") from error


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MisuseError(f"{name} is not UTF-8: byte {error.start + 1} of it cannot be", "save it as UTF-8") from error
