"""The answer to the API server: a JSON Patch (RFC 6902) from the pod that came to the pod that goes back."""

from typing import Any, Final

import jsonpatch

from choregos_operator.injection.pod import CONTAINER, Manifest, items, spec

_FIELD: Final = "initContainers"


def json_patch(before: Manifest, after: Manifest) -> list[dict[str, Any]]:
    """Return the operations that make `before` into `after`; none if they are equal.

    The ambassador goes in first, by itself. The library compares lists place by place, and would otherwise tell, in the
    API server's audit log too, that every init container was renamed to the one before it.
    """
    middle = _with_ambassador(before, after)
    return [*_operations(before, middle), *_operations(middle, after)]


def _with_ambassador(before: Manifest, after: Manifest) -> Manifest:
    own, names = items(spec(before), _FIELD), [each.get("name") for each in items(spec(after), _FIELD)]
    if not own or CONTAINER not in names or any(each.get("name") == CONTAINER for each in own):
        return before
    place = names.index(CONTAINER)
    return {**before, "spec": {**spec(before), _FIELD: [*own[:place], spec(after)[_FIELD][place], *own[place:]]}}


def _operations(before: Manifest, after: Manifest) -> list[dict[str, Any]]:
    operations: list[dict[str, Any]] = jsonpatch.make_patch(before, after).patch
    return operations
