"""The chart's template of accounts, roles and bindings: what `rights.py` says, with the chart's values in place of settings.

A rule that is there only by a setting stands between `if` and `end` of the value that it is set by.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Final

import yaml

from choregos_operator.rights import RBAC, Rights, Rule, controller_rights, webhook_rights
from choregos_operator.settings import Settings

FULLNAME: Final = '{{ include "choregos.fullname" . }}'
NAMESPACE: Final = "{{ .Release.Namespace }}"
HEAD: Final = """\
{{- /* Written by docs/generate.py from operator/choregos_operator/rights.py, and compared by `make check`: do not edit. */}}
"""
SWITCHES: Final = {
    "evict_uninjected": ".Values.operator.evictUninjected",
    "own_certificates": "not .Values.certificates.certManager.enabled",
}
"""Settings that rights depend on, and the template's condition that each is true."""

_SETTINGS: Final = Settings.model_construct(
    webhook_secret=f"{FULLNAME}-webhook",
    webhook_configuration=FULLNAME,
    lease=f"{FULLNAME}-controller",
    evict_uninjected=True,
    own_certificates=True,
)


def chart_rights() -> str:
    """Return the template."""
    documents = [*_of_process(controller_rights), *_of_process(webhook_rights)]
    return HEAD + "---\n".join(documents)


def _of_process(rights_of: Callable[[Settings], Rights]) -> Iterator[str]:
    whole = rights_of(_SETTINGS)
    name = f"{FULLNAME}-{whole.process}"
    yield (
        _head("v1", "ServiceAccount", name, whole.process, namespaced=True)
        + f"  {{{{- with .Values.{whole.process}.serviceAccount.annotations }}}}\n"
        "  annotations: {{- toYaml . | nindent 4 }}\n"
        "  {{- end }}\n"
        "automountServiceAccountToken: false\n"
    )
    # What there is in the release's namespace does not depend on a setting altogether, or the role would be empty.
    for kind, rules, namespaced in (("ClusterRole", whole.cluster, False), ("Role", whole.namespaced, True)):
        if rules:
            yield _head(f"{RBAC}/v1", kind, name, whole.process, namespaced) + _rules(rules, rights_of)
            yield _head(f"{RBAC}/v1", f"{kind}Binding", name, whole.process, namespaced) + (
                f"roleRef: {{apiGroup: {RBAC}, kind: {kind}, name: '{name}'}}\n"
                f"subjects:\n  - {{kind: ServiceAccount, name: '{name}', namespace: {NAMESPACE}}}\n"
            )


def _head(version: str, kind: str, name: str, process: str, namespaced: bool) -> str:
    return (
        f"apiVersion: {version}\nkind: {kind}\nmetadata:\n  name: '{name}'\n"
        + (f"  namespace: {NAMESPACE}\n" if namespaced else "")
        + f'  labels: {{{{- include "choregos.labels" (dict "root" . "component" "{process}") | nindent 4 }}}}\n'
    )


def _rules(rules: Iterable[Rule], rights_of: Callable[[Settings], Rights]) -> str:
    text = "rules:\n"
    for condition, group in groupby(rules, key=lambda rule: _condition(rule, rights_of)):
        block = "".join(map(_rule, group))
        text += f"  {{{{- if {condition} }}}}\n{block}  {{{{- end }}}}\n" if condition else block
    return text


def _condition(rule: Rule, rights_of: Callable[[Settings], Rights]) -> str | None:
    """Return the condition of a rule that goes with a setting, if it does."""
    for setting, condition in SWITCHES.items():
        if rule not in rights_of(_SETTINGS.model_copy(update={setting: False})).rules:
            return condition
    return None


def _rule(rule: Rule) -> str:
    # A name is a template, so it is quoted; no line is broken, for the same reason.
    manifest = yaml.safe_dump([rule.manifest], sort_keys=False, default_flow_style=None, width=10_000)
    return f"  # {rule.why}\n" + "".join(f"  {line}\n" for line in manifest.splitlines())
