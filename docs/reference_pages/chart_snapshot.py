"""What the chart renders by its defaults, for whoever reviews a change of it; the definitions are in `crds` already."""

from pathlib import Path
from typing import Final

from helm_python import Chart

CHART: Final = Path(__file__).resolve().parents[2] / "charts" / "choregos"
HEAD: Final = """\
# Written by docs/generate.py with the Helm SDK, and compared by `make check`: do not edit.
# What `helm template choregos charts/choregos -n choregos-system --set nats.url=nats://nats.nats:4222,crds.enabled=false` prints.
"""


def chart_snapshot() -> str:
    """Return all manifests, sorted by the template's path."""
    values = {"nats": {"url": "nats://nats.nats:4222"}, "crds": {"enabled": False}}
    with Chart.load(CHART) as chart:
        rendered = chart.render(values, name="choregos", namespace="choregos-system")
    manifests = (text.strip().removeprefix("---").strip() for path, text in sorted(rendered.items()))
    return HEAD + "".join(f"---\n{text}\n" for text in manifests if text and ("kind:" in text))
