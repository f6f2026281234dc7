"""Markdown, as the generated pages write it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

COMMENT: Final = "<!-- Written by docs/generate.py from the code, and compared by `make check`: do not edit. -->"


def page(title: str, *blocks: str) -> str:
    """Return a page: its title, the mark of a generated file, and blocks with an empty line between them."""
    return "\n\n".join((f"# {title}", COMMENT, *(block.strip("\n") for block in blocks))) + "\n"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a bar in a cell is escaped."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in [list(headings), ["---"] * len(headings), *cells])


def code(value: object) -> str:
    """Return a value as code."""
    return f"`{value}`"


def explained(names: Iterable[str], meanings: Mapping[str, str]) -> list[tuple[str, str]]:
    """Pair the names that the code gave with what we have to say about each; LookupError if the two differ.

    So no page can keep silent about what the code has learned, or tell of what it has forgotten.
    """
    found = list(dict.fromkeys(names))
    if differing := set(found) ^ set(meanings):
        raise LookupError(f"in the code or on the page, but not in both: {', '.join(sorted(differing))}")
    return [(name, meanings[name]) for name in found]
