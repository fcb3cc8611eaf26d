from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from local.service_bus.config import ConfigError, load_namespace, parse_duration_ms, parse_namespace

if TYPE_CHECKING:
    from pathlib import Path

# The queue of the example in Microsoft's emulator installer.
EXAMPLE: dict[str, Any] = {
    "DeadLetteringOnMessageExpiration": False,
    "DefaultMessageTimeToLive": "PT1H",
    "DuplicateDetectionHistoryTimeWindow": "PT20S",
    "ForwardDeadLetteredMessagesTo": "",
    "ForwardTo": "",
    "LockDuration": "PT1M",
    "MaxDeliveryCount": 3,
    "RequiresDuplicateDetection": False,
    "RequiresSession": False,
}


def document(*, topics: list[object] | None = None, **properties: object) -> dict[str, Any]:
    queue = {"Name": "queue.1", "Properties": {**EXAMPLE, **properties}}
    namespace = {"Name": "sbemulatorns", "Queues": [queue], "Topics": topics or []}
    return {"UserConfig": {"Namespaces": [namespace], "Logging": {"Type": "File"}}}


def test_the_example_of_the_emulator_is_understood() -> None:
    namespace = parse_namespace(document())
    (queue,) = namespace.queues
    assert (namespace.name, queue.name) == ("sbemulatorns", "queue.1")
    assert (queue.lock_duration_ms, queue.max_delivery_count) == (60_000, 3)
    assert (queue.default_time_to_live_ms, queue.duplicate_window_ms) == (3_600_000, None)


def test_duplicate_detection_takes_its_window() -> None:
    (queue,) = parse_namespace(document(RequiresDuplicateDetection=True)).queues
    assert queue.duplicate_window_ms == 20_000


def test_a_topic_has_its_subscriptions() -> None:
    (topic,) = parse_namespace(document(topics=[{"Name": "t", "Subscriptions": [{"Name": "s"}]}])).topics
    assert [subscription.name for subscription in topic.subscriptions] == ["t/Subscriptions/s"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"Partitions": 4}, r"Queues\[0\].Properties.Partitions is not a setting that the broker knows"),
        ({"ForwardTo": "other"}, "ForwardTo is set; the broker does not forward"),
        ({"ForwardDeadLetteredMessagesTo": "other"}, "ForwardDeadLetteredMessagesTo is set"),
        ({"LockDuration": "1 minute"}, "LockDuration '1 minute' is not an ISO 8601 duration"),
        ({"LockDuration": "PT6M"}, "LockDuration 'PT6M' must be more than 0 and at most 300 seconds"),
        ({"LockDuration": "PT0S"}, "LockDuration 'PT0S' must be more than 0"),
        ({"MaxDeliveryCount": 0}, "MaxDeliveryCount is 0; it must be from 1"),
        ({"MaxDeliveryCount": "3"}, "MaxDeliveryCount is not a whole number"),
        ({"MaxDeliveryCount": True}, "MaxDeliveryCount is not a whole number"),
        ({"RequiresSession": "yes"}, "RequiresSession is not true or false"),
        ({"topics": [{"Name": "queue.1"}]}, "two of the entity 'queue.1'"),
        ({"topics": [{"Name": "$x"}]}, "'\\$x' is not a name"),
        ({"topics": [{"Name": "t", "Subscriptions": [{"Name": "s", "Rules": [{}]}]}]}, "has Rules"),
        ({"topics": ["t"]}, r"Topics\[0\] is not a JSON object"),
    ],
)
def test_what_the_broker_cannot_do_is_refused_by_name(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        parse_namespace(document(**changes))


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ([], "The configuration is not a JSON object"),
        ({}, "The configuration has no UserConfig"),
        ({"UserConfig": {}}, "names 0 namespaces"),
        ({"UserConfig": {"Namespaces": 1}}, "UserConfig.Namespaces is not a list"),
        ({"UserConfig": {"Namespaces": []}, "Extra": 1}, "Extra is not a setting"),
    ],
)
def test_a_malformed_document_is_refused(value: object, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        parse_namespace(value)


def test_a_file_that_is_missing_or_not_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_namespace(tmp_path / "missing.json")
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    with pytest.raises(ConfigError, match="is not JSON"):
        load_namespace(broken)
    broken.write_text(json.dumps(document()))
    assert load_namespace(broken).queues


@pytest.mark.parametrize(
    ("text", "duration_ms"),
    [
        ("PT1M", 60_000),
        ("P14D", 14 * 86_400_000),
        ("P1DT2H3M4.5S", 93_784_500),
        ("PT0.25S", 250),
        ("P", None),
        ("PT", None),
        ("P1DT", None),
        ("1M", None),
        ("-PT1M", None),
        ("P1Y", None),
    ],
)
def test_durations(text: str, duration_ms: int | None) -> None:
    assert parse_duration_ms(text) == duration_ms
