"""What a pass is to work with: above all, whether the bus may be wired as the objects now say."""

from typing import Any

import pytest

from choregos_operator.watching import CHOREOGRAPHIES
from support.watched import Watched

ELSEWHERE = {"prefix": "other"}


@pytest.fixture
def cluster() -> Watched:
    found = Watched()
    found.choreography()
    return found


@pytest.mark.parametrize("stream", [ELSEWHERE, {"partitions": 32}, {"shards": 16}])
def test_a_bus_that_is_deleted_under_its_ambassadors_is_not_wired_elsewhere(
    cluster: Watched, stream: dict[str, Any]
) -> None:
    cluster.bus(**stream)
    cluster.configure()
    assert cluster.look().obstacle == ""
    cluster.without_bus()
    assert "without its EventBus the bus has prefix choregos, 16 partitions and 256 shards" in cluster.look().obstacle
    cluster.bus(**stream)
    assert cluster.look().obstacle == "", "it was put back"


def test_a_bus_that_is_made_anew_with_other_streams_says_both_and_each_way_out(cluster: Watched) -> None:
    cluster.configure()
    cluster.bus(**ELSEWHERE)
    assert cluster.look().obstacle == (
        "the ambassadors of payment are configured for prefix choregos, 16 partitions and 256 shards, the EventBus now says"
        " prefix other, 16 partitions and 256 shards: put the EventBus default back as it was, or, to move for good, let them"
        " process what is unread, delete the ConfigMaps choregos-payment and restart the pods"
    )


def test_many_ambassadors_are_counted(cluster: Watched) -> None:
    for number in range(5):
        cluster.choreography(f"c{number}", service=f"s{number}")
    cluster.configure()
    cluster.bus(**ELSEWHERE)
    assert "ambassadors of payment, s0, s1 and 3 more are" in cluster.look().obstacle


def test_a_document_that_other_hands_wrote_is_no_obstacle_but_put_right(cluster: Watched) -> None:
    names = {"namespace": "shop", "bus": "default", "prefix": "other", "partitions": 16, "shards": 256}
    cluster.configure(edits={"bus": names})
    assert cluster.look().obstacle == ""


def test_the_generation_of_a_document_makes_no_edit(cluster: Watched) -> None:
    cluster.configure(edits={"generation": 7})
    cluster.bus(**ELSEWHERE)
    assert "configured for prefix choregos" in cluster.look().obstacle


def test_a_service_that_moves_to_a_bus_of_another_name_is_no_obstacle(cluster: Watched) -> None:
    cluster.bus("fast", **ELSEWHERE)
    cluster.configure()
    cluster.choreography(bus="fast")
    assert cluster.look("fast").obstacle == ""
    assert cluster.look().obstacle == ""


def test_a_service_that_nobody_declares_any_more_keeps_no_bus_from_moving(cluster: Watched) -> None:
    cluster.configure()
    cluster.choreography(service="other")
    cluster.bus(**ELSEWHERE)
    assert cluster.look().obstacle == ""


def test_what_an_invalid_choreography_had_is_not_left_behind_either(cluster: Watched) -> None:
    cluster.configure()
    cluster.put(
        CHOREOGRAPHIES, "shop", {"spec": {"events": {}, "services": {"payment": {"reactions": [{"event": "A"}]}}}}
    )
    cluster.bus(**ELSEWHERE)
    assert cluster.look().frozen_services == {"payment"}
    assert "ambassadors of payment are" in cluster.look().obstacle


def test_a_reaction_is_promised_only_on_the_bus_that_its_document_names(cluster: Watched) -> None:
    cluster.configure()
    assert cluster.look().promised == {("payment", "A")}
    cluster.bus("fast")
    cluster.choreography(bus="fast")
    assert set(cluster.look("fast").configmaps) == {"payment"}
    assert cluster.look("fast").promised == frozenset()
