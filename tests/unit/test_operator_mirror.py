"""The mirror holds the newest that it was told of every object, in whatever order listings and the watch tell it."""

from typing import Any

import pytest

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


def body(version: int, *, namespace: str = "shop", name: str = "one") -> dict[str, Any]:
    return {"metadata": {"namespace": namespace, "name": name, "resourceVersion": str(version)}}


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


def test_after_a_restored_backup_the_listings_are_right_although_their_versions_ran_backwards() -> None:
    told = Told()
    told.mirror.put(KIND, body(900))
    told.mirror.put(KIND, body(901, name="made-after-the-backup"))
    told.mirror.replace(KIND, Listing(500, (body(400),)))
    assert told.versions == ["900", "901"], "each may have been told while the listing was on its way"
    told.mirror.replace(KIND, Listing(501, (body(400),)))
    assert told.versions == ["400"]
    told.mirror.put(KIND, body(502))
    assert told.versions == ["502"]


def test_a_listing_that_has_caught_up_with_what_was_known_before_the_backup_is_right_as_well() -> None:
    told = Told()
    told.mirror.put(KIND, body(900))
    told.mirror.replace(KIND, Listing(1000, (body(400),)))
    assert told.versions == ["400"]


def test_what_changes_between_two_listings_is_newer_than_both() -> None:
    told = Told()
    for version in (10, 20, 30):
        told.mirror.put(KIND, body(version))
        told.mirror.replace(KIND, Listing(version - 1, ()))
    assert told.versions == ["30"]


def test_an_object_whose_news_broke_is_told_again() -> None:
    def broken(*_: Any) -> None:
        raise ValueError("a defect")

    told = Told()
    hear, told.mirror._changed = told.mirror._changed, broken
    with pytest.raises(ValueError, match="a defect"):
        told.mirror.put(KIND, body(9))
    told.mirror._changed = hear
    told.mirror.replace(KIND, Listing(9, (body(9),)))
    assert told.news == [("9", True)]


def test_the_objects_of_one_namespace_are_found_without_a_look_at_the_others_and_nothing_is_kept_of_empty_ones() -> (
    None
):
    told = Told()
    for namespace in ("shop", "depot"):
        told.mirror.put(KIND, body(9, namespace=namespace))
    assert [each["metadata"]["namespace"] for each in told.mirror.of(KIND, "depot")] == ["depot"]
    assert told.mirror._objects[KIND].keys() == {"shop", "depot"}
    told.mirror.drop(KIND, body(9, namespace="depot"))
    assert list(told.mirror.of(KIND, "depot")) == []
    assert told.mirror._objects[KIND].keys() == {"shop"}
