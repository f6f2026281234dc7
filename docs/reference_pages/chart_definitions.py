"""The chart's copies of the CustomResourceDefinitions, as templates."""

from collections.abc import Callable
from typing import Final

HEAD: Final = """\
{{- /* Written by docs/generate.py from the models of choregos_contract, and compared by `make check`: do not edit. */}}
{{- if .Values.crds.enabled }}
"""
METADATA: Final = """\
  labels: {{- include "choregos.labels" (dict "root" .) | nindent 4 }}
  {{- if .Values.crds.keep }}
  annotations:
    helm.sh/resource-policy: keep
  {{- end }}
spec:
"""


def chart_definition(definition: Callable[[], str]) -> str:
    """Return the template of a definition, which is as it stands but for the head of the file and the metadata."""
    lines = [line for line in definition().splitlines(keepends=True) if not line.startswith("#")]
    text = "".join(lines).replace("{{", '{{ "{{" }}')
    before, found, after = text.partition("\nspec:\n")
    assert found, "a definition has a spec"
    return f"{HEAD}{before}\n{METADATA}{after}{{{{- end }}}}\n"
