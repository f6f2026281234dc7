"""The objects of the API server as this process knows them, and word of every change.

A listing and the watch may overtake each other, so what is older than what is known already is not taken in.
"""

from collections.abc import Callable, Iterator

from choregos_operator.kube import Body, Kind, Listing

Key = tuple[str, str]
"""Namespace and name."""
Changed = Callable[[Kind, Body, bool], None]
"""Told the kind, the object, and whether it is there (or gone)."""


class Mirror:
    """What there is, by kind, namespace and name."""

    def __init__(self, changed: Changed) -> None:
        self._changed = changed
        self._objects: dict[Kind, dict[Key, Body]] = {}

    def put(self, kind: Kind, body: Body) -> None:
        """Take in an object that is new or has changed; one that has not is no news."""
        objects, key = self._objects.setdefault(kind, {}), _key(body)
        known = objects.get(key)
        if known is None or _version(body) > _version(known):
            objects[key] = kept = kind.kept(body)
            self._changed(kind, kept, True)

    def drop(self, kind: Kind, body: Body) -> None:
        """Forget an object that is gone; one of its name that was made since stays."""
        objects, key = self._objects.get(kind, {}), _key(body)
        known = objects.get(key)
        if known is not None and _version(known) <= _version(body):
            del objects[key]
            self._changed(kind, known, False)

    def replace(self, kind: Kind, listing: Listing) -> None:
        """Take in all that there is of a kind; what was made after the listing stays."""
        there = {_key(body) for body in listing.bodies}
        for key, known in list(self._objects.get(kind, {}).items()):
            if key not in there and _version(known) <= listing.version:
                self.drop(kind, known)
        for body in listing.bodies:
            self.put(kind, body)

    def get(self, kind: Kind, namespace: str, name: str) -> Body | None:
        """Return one object."""
        return self._objects.get(kind, {}).get((namespace, name))

    def of(self, kind: Kind, namespace: str | None = None) -> Iterator[Body]:
        """Yield the objects of a kind, of one namespace or of all."""
        for (place, _), body in list(self._objects.get(kind, {}).items()):
            if namespace in (None, place):
                yield body


def _key(body: Body) -> Key:
    return body["metadata"]["namespace"], body["metadata"]["name"]


def _version(body: Body) -> int:
    return int(body["metadata"]["resourceVersion"])
