"""The pages of the log lines say every line of the code, of the right process, with its fields."""

import re
from pathlib import Path

import pytest

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"


def sections(page: str) -> dict[str, str]:
    parts = re.split(r"^## (.+)$", (REFERENCE / page).read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize(
    ("process", "line"),
    [
        ("Both processes", "| `stopping` | info | `signal` |"),  # logged by the name of a module
        ("The controller", "| `a pass broke` | error | `namespace`, `bus`, `seconds` |"),
        ("The controller", "| `webhook certificate` | info or warning | `step`, `configuration`, `reason` |"),
        ("The webhook", "| `failed` | error | `path`, `kind`, `namespace`, `name`, `uid` |"),  # of a mapping
    ],
)
def test_a_line_of_the_operator_stands_with_its_process_its_level_and_its_fields(process: str, line: str) -> None:
    assert line in sections("operator-logs.md")[process]


def test_every_line_of_the_operator_has_one_place_and_a_meaning() -> None:
    rows = [row for text in sections("operator-logs.md").values() for row in re.findall(r"^\| `.*", text, re.MULTILINE)]
    messages = [row.split("`")[1] for row in rows]
    assert sorted(set(messages)) == sorted(messages)
    assert all(re.search(r"\| [^|]{10,} \|$", row) for row in rows)
