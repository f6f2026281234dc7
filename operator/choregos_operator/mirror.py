"""The objects of the API server as this process knows them, and word of every change.

A listing and the watch may overtake each other, so what is older than what is known already is not taken in. But for one
case: an API server whose store was restored from a backup counts its versions from there again, and what it holds is true.
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
        self._objects: dict[Kind, dict[str, dict[str, Body]]] = {}
        self._ahead: dict[Kind, dict[Key, int]] = {}
        """The versions of what was newer than the last listing."""

    def put(self, kind: Kind, body: Body) -> None:
        """Take in an object that is new or has changed; one that has not is no news."""
        known = self.get(kind, *_key(body))
        if known is None or _version(body) > _version(known):
            self._take(kind, body)

    def drop(self, kind: Kind, body: Body) -> None:
        """Forget an object that is gone; one of its name that was made since stays."""
        known = self.get(kind, *_key(body))
        if known is not None and _version(known) <= _version(body):
            self._forget(kind, known)

    def replace(self, kind: Kind, listing: Listing) -> None:
        """Take in all that there is of a kind; what was made after the listing stays."""
        newer = self._ahead[kind] = self._newer(kind, listing)
        there = {_key(body) for body in listing.bodies}
        for known in self.of(kind):
            if (key := _key(known)) not in there and key not in newer:
                self._forget(kind, known)
        for body in listing.bodies:
            known_too = self.get(kind, *(key := _key(body)))
            if key not in newer and (known_too is None or _version(known_too) != _version(body)):
                self._take(kind, body)

    def get(self, kind: Kind, namespace: str, name: str) -> Body | None:
        """Return one object."""
        return self._objects.get(kind, {}).get(namespace, {}).get(name)

    def of(self, kind: Kind, namespace: str | None = None) -> Iterator[Body]:
        """Yield the objects of a kind, of one namespace or of all."""
        places = self._objects.get(kind, {})
        for place in list(places) if namespace is None else (namespace,):
            yield from list(places.get(place, {}).values())

    def _newer(self, kind: Kind, listing: Listing) -> dict[Key, int]:
        """Return the versions of what was made after a listing.

        What was known, as it is, when the listing before was taken in cannot be: the versions have run backwards since.
        """
        before = self._ahead.get(kind, {})
        known = {_key(body): _version(body) for body in self.of(kind)}
        return {key: at for key, at in known.items() if at > listing.version and before.get(key) != at}

    def _take(self, kind: Kind, body: Body) -> None:
        """Tell of an object, and know it only then: one whose news broke is told again."""
        (namespace, name), kept = _key(body), kind.kept(body)
        self._changed(kind, kept, True)
        self._objects.setdefault(kind, {}).setdefault(namespace, {})[name] = kept

    def _forget(self, kind: Kind, known: Body) -> None:
        namespace, name = _key(known)
        self._changed(kind, known, False)
        places = self._objects[kind]
        del places[namespace][name]
        if not places[namespace]:
            del places[namespace]


def _key(body: Body) -> Key:
    return body["metadata"]["namespace"], body["metadata"]["name"]


def _version(body: Body) -> int:
    return int(body["metadata"]["resourceVersion"])
