from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local.event_grid.delivery_state import TRANSITIONS, DeliveryRecord, DeliveryState, IllegalTransitionError
from local.event_grid.journal import Journal, PendingDelivery, Publication
from local.event_grid.log_tail import START, Position

if TYPE_CHECKING:
    from pathlib import Path

HERE = Position(42, b"guard\n")


def publication(number: int = 0, *subscriptions: str) -> Publication:
    return Publication({"id": str(number)}, 1000.0 + number, subscriptions or ("a", "b"))


def test_what_is_pending_and_the_position_outlive_the_process(tmp_path: Path) -> None:
    path = tmp_path / "data" / "journal"
    with Journal(path) as journal:
        assert journal.position() == START
        first, second = journal.accept([publication(1), publication(2)], HERE)
        journal.settle(first.key, "a")
        journal.postpone(first.key, PendingDelivery("b", 3, 2000.5))
        journal.complete(second.key, {"id": "2", "data": {}})
    with Journal(path) as journal:
        assert journal.position() == HERE
        first, second = journal.pending(["a", "b"])
        assert first.deliveries == (PendingDelivery("b", 3, 2000.5),)
        assert (first.event, first.complete, first.published_at) == ({"id": "1"}, False, 1001.0)
        assert (second.event, second.complete) == ({"id": "2", "data": {}}, True)


def test_an_event_is_forgotten_with_its_last_delivery() -> None:
    with Journal() as journal:
        (event,) = journal.accept([publication()])
        for name in ("a", "b"):
            assert journal.pending(["a", "b"])
            journal.settle(event.key, name)
        assert journal.pending(["a", "b"]) == []


def test_a_subscription_that_is_gone_leaves_nothing_behind() -> None:
    with Journal() as journal:
        journal.accept([publication(1, "gone"), publication(2, "gone", "a")])
        assert [event.event["id"] for event in journal.pending(["a"])] == ["2"]
        assert [event.event["id"] for event in journal.pending(["a", "gone"])] == ["2"]


def test_events_and_position_are_taken_over_together_or_not_at_all() -> None:
    with Journal() as journal:
        unreadable = Publication({"id": object()}, 0.0, ("a",))
        with pytest.raises(TypeError):
            journal.accept([publication(1), unreadable], HERE)
        assert (journal.position(), journal.pending(["a", "b"])) == (START, [])


def test_one_event_may_be_pending_twice() -> None:
    with Journal() as journal:
        first, _ = journal.accept([publication(1), publication(1)])
        journal.settle(first.key, "a")
        assert [len(event.deliveries) for event in journal.pending(["a", "b"])] == [1, 2]


@pytest.mark.parametrize("start", DeliveryState)
@pytest.mark.parametrize("end", DeliveryState)
def test_a_delivery_moves_only_along_the_table(start: DeliveryState, end: DeliveryState) -> None:
    record = DeliveryRecord(state=start)
    if end in TRANSITIONS[start]:
        record.move(end)
        assert record.state is end
    else:
        with pytest.raises(IllegalTransitionError):
            record.move(end)
