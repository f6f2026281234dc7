"""The commands that a page shows, and what it says that they print."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ANYTHING: Final = "…"
BLOCK: Final = re.compile(r"^```(?P<language>sh|console)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_ASKING: Final = ("kubectl get ", "kubectl describe ", "choregos check", "choregos status", "helm history ")


class Step(NamedTuple):
    """A command of a page, and what the page says that it prints."""

    page: Path
    line: int
    command: str
    printed: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}: $ {self.command}"

    @property
    def reads(self) -> bool:
        """Whether it may be asked again until all have caught up."""
        asks = self.command.startswith(_ASKING) and " --wait" not in self.command
        return asks or ("curl " in self.command and " --data" not in self.command)


def steps(page: Path, section: str = "") -> Iterator[Step]:
    """Yield them in the page's order; a block of `sh` is one, and may print anything.

    With a `section`, only those of the one whose heading begins so.
    """
    text = page.read_text()
    for block in BLOCK.finditer(text, *_span(text, section)):
        line = text.count("\n", 0, block.start("text")) + 1
        if block["language"] == "sh":
            yield Step(page, line, block["text"], ANYTHING)
        else:
            for shown in re.split(r"^\$ ", block["text"], flags=re.MULTILINE)[1:]:
                command, _, printed = shown.partition("\n")
                yield Step(page, line, command, printed)


def matches(printed: str, expected: str) -> bool:
    """Whether this is what the page shows: `…` is anything in a line, or by itself any lines, and blanks are one."""
    wanted = "".join(map(_pattern, _lines(expected)))
    return re.fullmatch(wanted, "".join(f"{line}\n" for line in _lines(printed))) is not None


def _span(text: str, section: str) -> tuple[int, int]:
    begin = text.index(f"\n## {section}") if section else 0
    end = text.find("\n## ", begin + 1) if section else -1
    return begin, end if end >= 0 else len(text)


def _pattern(line: str) -> str:
    if line == ANYTHING:
        return r"(?:.*\n)*"
    return r".*".join(map(re.escape, line.split(ANYTHING))) + r"\n"


def _lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]
