"""The mirror holds the newest that it was told of every object, in whatever order listings and the watch tell it."""

from typing import Any

from choregos_operator.kube import Body, Kind, Listing
from choregos_operator.mirror import Mirror

KIND = Kind("", "v1", "configmaps", "ConfigMap")


class Told:
    def __init__(self) -> None:
        self.news: list[tuple[str, bool]] = []
        self.mirror = Mirror(self._hear)

    def _hear(self, _kind: Kind, body: Body, there: bool) -> None:
        self.news.append((body["metadata"]["resourceVersion"], there))

    @property
    def versions(self) -> list[str]:
        return [body["metadata"]["resourceVersion"] for body in self.mirror.of(KIND)]


def body(version: int) -> dict[str, Any]:
    return {"metadata": {"namespace": "shop", "name": "one", "resourceVersion": str(version)}}


def test_what_is_older_than_what_is_known_is_no_news() -> None:
    told = Told()
    for version in (9, 10, 9, 10):
        told.mirror.put(KIND, body(version))
    assert told.versions == ["10"]
    assert told.news == [("9", True), ("10", True)]


def test_a_deletion_forgets_what_came_before_it() -> None:
    told = Told()
    told.mirror.put(KIND, body(9))
    told.mirror.drop(KIND, body(10))
    assert told.versions == []
    assert told.news == [("9", True), ("9", False)]


def test_a_deletion_that_is_told_late_leaves_what_was_made_since() -> None:
    told = Told()
    told.mirror.put(KIND, body(9))
    told.mirror.replace(KIND, Listing(20, (body(15),)))
    told.mirror.drop(KIND, body(12))
    assert told.versions == ["15"]


def test_a_listing_forgets_what_it_does_not_hold_but_nothing_newer() -> None:
    told = Told()
    told.mirror.put(KIND, body(9))
    told.mirror.replace(KIND, Listing(8, ()))
    assert told.versions == ["9"]
    told.mirror.replace(KIND, Listing(10, ()))
    assert told.versions == []
