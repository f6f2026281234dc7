"""What a judgement says: each thing that is wrong, once."""

from dataclasses import dataclass
from enum import StrEnum


class Wrong(StrEnum):
    """What may be wrong."""

    LOST = "lost"
    DOUBLED = "doubled"
    STUCK = "stuck"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, with the event and the transaction it is about."""

    wrong: Wrong
    sentence: str
    event: str
    transaction: str = ""

    def __str__(self) -> str:
        return f"{self.wrong}: {self.sentence} (event {self.event}, transaction {self.transaction or 'unknown'})"


@dataclass(frozen=True)
class Judgement:
    """All findings, each once."""

    findings: tuple[Finding, ...]

    def count(self, wrong: Wrong) -> int:
        """Return how many findings are of that kind."""
        return sum(each.wrong is wrong for each in self.findings)

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings
