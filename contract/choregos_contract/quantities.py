"""Durations and sizes, written as Kubernetes and Go users write them.

A duration is one or more whole numbers with their units, largest first: `500ms`, `30s`, `1h30m`, `7d`. A size is a
whole number of bytes with an optional suffix: `65536`, `64Ki`, `1Mi`, `1M`. Everything else is refused, and the
refusal shows the spelling that would have been right.
"""

import re
from typing import Annotated, Any, Final

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

DURATION_PATTERN: Final = r"^([0-9]{1,9}d)?([0-9]{1,9}h)?([0-9]{1,9}m)?([0-9]{1,9}s)?([0-9]{1,9}ms)?$"
SIZE_PATTERN: Final = r"^[0-9]{1,19}(k|M|G|T|Ki|Mi|Gi|Ti)?$"
LONGEST: Final = 36500 * 86400.0
"""Seconds in a hundred years: JetStream counts nanoseconds in 64 bits, which end after 292."""
LARGEST: Final = 2**63 - 1

_MILLISECONDS: Final = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_BYTES: Final = {"Ti": 2**40, "Gi": 2**30, "Mi": 2**20, "Ki": 2**10, "T": 10**12, "G": 10**9, "M": 10**6, "k": 1000}
_SPOKEN_UNIT: Final = re.compile(r"([0-9]+(?:[.,][0-9]+)?)([a-zµ]+)")


class QuantityError(ValueError):
    """A duration or a size that cannot be read: `problem` says what is wrong, `mend` what to write instead."""

    def __init__(self, problem: str, mend: str) -> None:
        super().__init__(f"{problem}: {mend}")
        self.problem = problem
        self.mend = mend


class DurationError(QuantityError):
    """A duration that cannot be read."""


class SizeError(QuantityError):
    """A size that cannot be read."""


def parse_duration(text: str) -> float:
    """Return the seconds that a duration such as `1h30m` stands for; raise DurationError for anything else."""
    if not text or not (match := re.fullmatch(DURATION_PATTERN, text, re.ASCII)):
        raise DurationError(f'"{text[:40]}" is not a duration', _mend_duration(text))
    milliseconds = sum(
        int(part.rstrip("dhms")) * _MILLISECONDS[part.lstrip("0123456789")] for part in match.groups("0s")
    )
    if milliseconds / 1000 > LONGEST:
        raise DurationError(f'"{text}" is too long', f'write at most "{format_duration(LONGEST)}"')
    return milliseconds / 1000


def format_duration(seconds: float) -> str:
    """Return the shortest exact spelling of a duration, to the millisecond; raise ValueError below zero."""
    rest = round(seconds * 1000)
    if rest < 0:
        raise ValueError("a duration is never negative")
    parts = []
    for unit, length in _MILLISECONDS.items():
        count, rest = divmod(rest, length)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def parse_size(value: str | int) -> int:
    """Return the bytes that a size such as `64Ki` stands for; raise SizeError for anything else."""
    text = str(value)
    if isinstance(value, bool) or not re.fullmatch(SIZE_PATTERN, text, re.ASCII):
        raise SizeError(f'"{text[:40]}" is not a size', _mend_size(text))
    digits = text.rstrip("kMGTKi")
    size = int(digits) * _BYTES.get(text[len(digits) :], 1)
    if size > LARGEST:
        raise SizeError(f'"{text}" is too large', f"write at most {LARGEST} bytes")
    return size


def format_size(size: int) -> str:
    """Return the shortest exact spelling of a number of bytes; raise ValueError below zero."""
    if size < 0:
        raise ValueError("a size is never negative")
    spellings = [f"{size // factor}{suffix}" for suffix, factor in _BYTES.items() if size and size % factor == 0]
    return min([*spellings, str(size)], key=len)


def _mend_duration(text: str) -> str:
    """Guess the spelling that was meant by `5 s`, `1.5h`, `30 sec` or `30`."""
    squeezed = re.sub(r"\s+", "", text).lower()
    if re.fullmatch(r"[0-9]{1,9}", squeezed):
        return f'add a unit, "{squeezed}s" for seconds'
    total = 0.0
    for number, word in _SPOKEN_UNIT.findall(squeezed):
        unit = "ms" if word.startswith(("ms", "milli")) else word[0]
        total += float(number.replace(",", ".")) * _MILLISECONDS.get(unit, 0) / 1000
    if total and _SPOKEN_UNIT.sub("", squeezed) == "" and total <= LONGEST and round(total * 1000):
        return f'write "{format_duration(total)}"'
    return 'write whole numbers with the units d, h, m, s and ms, largest first, such as "500ms", "30s" or "1h30m"'


def _mend_size(text: str) -> str:
    """Guess the spelling that was meant by `1 Mi`, `1MB`, `1K` or `64kib`."""
    match = re.fullmatch(r"\s*([0-9]{1,18})\s*([kmgt])(i?)b?\s*", text, re.IGNORECASE | re.ASCII)
    if not match:
        return 'write a whole number of bytes, or one with a suffix, such as "64Ki" or "1Mi"'
    number, letter, binary = match.groups()
    if binary:
        return f'write "{number}{letter.upper()}i"'
    suffix = letter.lower() if letter in "kK" else letter.upper()
    return f'write "{number}{letter.upper()}i" (powers of 1024) or "{number}{suffix}" (powers of 1000)'


def _read_duration(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise DurationError("this is not a duration", 'write one such as "30s"')
    return parse_duration(str(value))


def _read_positive_duration(value: Any) -> float:
    if (seconds := _read_duration(value)) == 0:
        raise DurationError(f'"{value}" is too short', 'write at least "1ms"')
    return seconds


def _read_size(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise SizeError("this is not a size", 'write one such as "1Mi"')
    return parse_size(value if isinstance(value, int) else str(value))


def _read_positive_size(value: Any) -> int:
    if (size := _read_size(value)) == 0:
        raise SizeError(f'"{value}" is too small', "write at least 1 byte")
    return size


_duration_text: Final = PlainSerializer(format_duration, return_type=str, when_used="json")
_size_text: Final = PlainSerializer(format_size, return_type=str, when_used="json")
_duration_schema: Final = WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN, "minLength": 2})
# Two spellings in one field: this is how the Kubernetes API describes its own quantities.
_size_schema: Final = WithJsonSchema(
    {"anyOf": [{"type": "integer"}, {"type": "string"}], "pattern": SIZE_PATTERN, "x-kubernetes-int-or-string": True}
)

Duration = Annotated[float, PlainValidator(_read_duration), _duration_text, _duration_schema]
"""Seconds, read from `30s`. A bare number is refused, because nobody could tell its unit."""
PositiveDuration = Annotated[float, PlainValidator(_read_positive_duration), _duration_text, _duration_schema]
"""A Duration that is not zero."""
Size = Annotated[int, PlainValidator(_read_size), _size_text, _size_schema]
"""Bytes, read from `64Ki` or from a bare number of bytes."""
PositiveSize = Annotated[int, PlainValidator(_read_positive_size), _size_text, _size_schema]
"""A Size that is not zero."""
