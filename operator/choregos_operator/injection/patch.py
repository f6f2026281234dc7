"""The answer to the API server: a JSON Patch (RFC 6902) from the pod that came to the pod that goes back.

Members of a list are told apart by their names, as Kubernetes does it, so that the API server's audit log shows the
ambassador going in, and not every container after it being renamed to the one before. General libraries compare lists
place by place, and take longer than all the rest of an injection.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from choregos_operator.injection.pod import Manifest


def json_patch(before: Manifest, after: Manifest) -> list[dict[str, Any]]:
    """Return the operations that make `before` into `after`; none if they are equal."""
    return list(_operations(before, after, ""))


def _operations(before: Any, after: Any, path: str) -> Iterator[dict[str, Any]]:
    if before == after:
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        yield from _of_mappings(before, after, path)
    elif isinstance(before, list) and isinstance(after, list) and _only_grows(_names(before), _names(after)):
        yield from _of_lists(before, after, path)
    else:
        yield {"op": "replace", "path": path, "value": after}


def _of_mappings(before: Mapping[str, Any], after: Mapping[str, Any], path: str) -> Iterator[dict[str, Any]]:
    for key in before.keys() - after.keys():
        yield {"op": "remove", "path": f"{path}/{_escaped(key)}"}
    for key, value in after.items():
        place = f"{path}/{_escaped(key)}"
        if key in before:
            yield from _operations(before[key], value, place)
        else:
            yield {"op": "add", "path": place, "value": value}


def _of_lists(before: list[Any], after: list[Any], path: str) -> Iterator[dict[str, Any]]:
    """Go from the front: what is before a place is as it will be, so places count as in `after`."""
    known = {member["name"]: member for member in before}
    for index, member in enumerate(after):
        if member["name"] in known:
            yield from _operations(known[member["name"]], member, f"{path}/{index}")
        else:
            yield {"op": "add", "path": f"{path}/{index}", "value": member}


def _names(members: Sequence[Any]) -> list[str] | None:
    """Return the names of a list's members; None unless each has one of its own."""
    names: list[Any] = [member.get("name") if isinstance(member, Mapping) else None for member in members]
    return None if None in names or len(set(names)) < len(names) else names


def _only_grows(before: list[str] | None, after: list[str] | None) -> bool:
    """Tell whether every name is still there, in the order that it was."""
    return before is not None and after is not None and [name for name in after if name in set(before)] == before


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
