"""The schema of the chart's values: their names and prose are those of `values.yaml`, their types those of the defaults.

What contradicts something else is not refused here but by the templates, which have a sentence for it.
"""

import json
from typing import Any, Final

from reference_pages.chart_values import KUBERNETES, Value, chart_values

Schema = dict[str, Any]

_TEXTS: Final = {"type": "object", "additionalProperties": {"type": "string"}}
_OBJECTS: Final = {"type": "array", "items": {"type": "object"}}
_PORT: Final = {"type": "integer", "minimum": 1, "maximum": 65535}
_POSITIVE: Final = {"type": "number", "exclusiveMinimum": 0}
_COUNT: Final = {"type": "integer", "minimum": 1}

BY_KEY: Final[dict[str, Schema]] = {
    "annotations": _TEXTS,
    "commonLabels": _TEXTS,
    "labels": _TEXTS,
    "nodeSelector": _TEXTS,
    "podAnnotations": _TEXTS,
    "podLabels": _TEXTS,
    "affinity": {"type": "object"},
    "podSecurityContext": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "runAsUser": {"type": "integer", "minimum": 1},
            "runAsGroup": {"type": "integer", "minimum": 1},
            "fsGroup": {"type": "integer", "minimum": 1},
            "fsGroupChangePolicy": {"type": "string", "enum": ["Always", "OnRootMismatch"]},
            "seLinuxOptions": {"type": "object"},
            "supplementalGroups": {"type": "array", "items": {"type": "integer", "minimum": 1}},
        },
    },
    "resources": {"type": "object"},
    "extraEgress": _OBJECTS,
    "extraEnv": {"type": "array", "items": {"type": "object", "required": ["name"]}},
    "imagePullSecrets": {"type": "array", "items": {"type": "object", "required": ["name"]}},
    "tolerations": _OBJECTS,
    "topologySpreadConstraints": _OBJECTS,
    "apiServerPorts": {"type": "array", "items": _PORT, "minItems": 1},
    "certificateDays": _POSITIVE,
    "digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
    "fullnameOverride": {"type": "string", "pattern": "^([a-z]([a-z0-9-]*[a-z0-9])?)?$"},
    "interval": {"type": "string", "pattern": "^[1-9][0-9]*(ms|s|m|h)$"},
    "lagEvents": {"type": "integer", "minimum": 0},
    "leaseSeconds": {"type": "integer", "minimum": 3},
    "logLevel": {"type": "string", "enum": ["debug", "info", "warning", "error"]},
    "minAvailable": _COUNT,
    "orphanTtlDays": _POSITIVE,
    "port": _PORT,
    "pullPolicy": {"type": "string", "enum": ["Always", "IfNotPresent", "Never"]},
    "replicas": _COUNT,
    "size": {"type": "string", "pattern": "^[1-9][0-9]*(Mi|Gi|Ti)$"},
    "sweepSeconds": _POSITIVE,
}
"""What a value takes whose default does not tell enough."""


def chart_schema() -> str:
    """Return `values.schema.json`."""
    root: Schema = {"$schema": "http://json-schema.org/draft-07/schema#", **_section()}
    nodes: dict[tuple[str, ...], Schema] = {(): root}
    for value in chart_values():
        node = {"description": value.prose, **_of(value)}
        nodes[value.path] = node
        parent = nodes[value.path[:-1]]
        parent["properties"][value.path[-1]] = node
        parent["required"].append(value.path[-1])
    # Charts that share values with this one have others in it, and need not have ours.
    root["properties"]["global"] |= {"additionalProperties": True, "required": []}
    return json.dumps(root, indent=2, ensure_ascii=False) + "\n"


def _of(value: Value) -> Schema:
    key = value.path[-1]
    if value.section:
        return _section()
    if key in BY_KEY:
        return BY_KEY[key]
    assert key not in KUBERNETES, f"what {value.name} takes is not said"
    match value.default:
        case bool():
            return {"type": "boolean"}
        case str():
            return {"type": "string"}
    raise LookupError(f"the default of {value.name} does not tell what it takes; say it in BY_KEY")


def _section() -> Schema:
    """Return the schema of values that are all known, and of which none can be taken away by `null`."""
    return {"type": "object", "additionalProperties": False, "properties": {}, "required": []}
