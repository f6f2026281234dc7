"""Amounts of CPU and memory, as `resources` of a Kubernetes container has them: `25m`, `0.5`, `64Mi`, `1e3`.

The grammar is that of `resource.Quantity` in Kubernetes' apimachinery, without a sign. It is another one than that of the
sizes in a choreography (`choregos_contract.quantities`), which are whole numbers of bytes.
"""

import re
from decimal import Decimal
from typing import Final

_QUANTITY: Final = re.compile(
    r"(?P<number>[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?P<suffix>[KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,2})?", re.ASCII
)
_LONGEST: Final = 32
_FACTORS: Final = {
    **{letter: Decimal(1000) ** power for power, letter in enumerate("num", start=-3)},
    **{letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", start=1)},
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", start=1)},
}


def amount(text: str) -> Decimal:
    """Return the cores or bytes that a quantity stands for; raise ValueError if it is none."""
    match = _QUANTITY.fullmatch(text)
    if not match or len(text) > _LONGEST:
        raise ValueError(f'"{text[:_LONGEST]}" is not a Kubernetes quantity; write one such as 25m or 64Mi')
    number, suffix = Decimal(match["number"]), match["suffix"]
    if suffix is None:
        return number
    return number * _FACTORS[suffix] if suffix in _FACTORS else number.scaleb(int(suffix[1:]))
