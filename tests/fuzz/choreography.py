"""Any text is resources and findings; each finding is a designed sentence with its place, and lint ends on all of them."""

from collections.abc import Iterable
from pathlib import Path

from choregos_contract.checks import check, check_together
from choregos_contract.document import load
from choregos_contract.findings import CATALOGUE, Finding

EXAMPLES = Path(__file__).resolve().parents[2]
FOREIGN = ("pydantic", "Input should", "Traceback", "Error:", "<class", "object at 0x")
"""Words by which one sees that a sentence was not written by us."""


def seeds() -> Iterable[bytes]:
    yield from (path.read_bytes() for path in sorted(EXAMPLES.glob("docs/first-steps/*.yaml")))
    yield from (path.read_bytes() for path in sorted(EXAMPLES.glob("examples/*/choreography.yaml")))
    yield b"apiVersion: choregos.dev/v1alpha1\nkind: EventBus\nmetadata: {name: default}\nspec: {servers: ['nats://a:4222']}\n"
    yield b"a: &a [1]\nb: {<<: *a, c: !!binary x}\n---\n? {x: y}\n: 2026-01-02T03:04:05Z\n"


def consume(data: bytes) -> None:
    text = data.decode(errors="replace")
    loaded = load(text, "f.yaml")
    assert loaded.findings or loaded.resources
    for found in loaded.findings:
        assert found.line
        _is_designed(found)
    choreographies = loaded.choreographies
    for found in loaded.locate_all(
        [*(f for each in choreographies for f in check(each)), *check_together(choreographies)]
    ):
        assert found.file == "f.yaml"
        _is_designed(found)


def _is_designed(found: Finding) -> None:
    assert found.code in CATALOGUE
    assert found.message
    assert found.hint
    written = str(found)
    assert written.isprintable(), "it is one line"
    said = written.translate(dict.fromkeys(map(ord, '"')))
    assert not [words for words in FOREIGN if words in said]
