from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from local.event_grid.access_log import Api, BlobCreation
from local.event_grid.events import Topic, blob_created
from local.event_grid.subscriptions import Subscription, SubscriptionsError, read_subscriptions

BASE = {"name": "blob-trigger", "endpoint": "http://127.0.0.1:1/runtime/webhooks/blobs?functionName=f&code=k"}
EVENT = blob_created(
    Topic("account", "http://127.0.0.1:1/account/"),
    BlobCreation("uploads", "owner/file", Api.PUT_BLOB),
    datetime.now(UTC),
    1,
)


def read_one(**changes: object) -> Subscription:
    (subscription,) = read_subscriptions(json.dumps([BASE | changes]))
    return subscription


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, True),
        ({"subject_begins_with": "/blobServices/default/containers/uploads/"}, True),
        ({"subject_begins_with": "/blobServices/default/containers/uploads/blobs/owner/"}, True),
        ({"subject_begins_with": "/blobServices/default/containers/other/"}, False),
        ({"included_event_types": ["Microsoft.Storage.BlobCreated"]}, True),
        ({"included_event_types": ["Microsoft.Storage.BlobDeleted"]}, False),
        ({"advanced": {"data.api": ["PutBlob", "CopyBlob"]}}, True),
        ({"advanced": {"data.api": ["PutBlockList"]}}, False),
    ],
)
def test_a_subscription_gets_what_its_filters_let_through(changes: dict[str, object], wanted: bool) -> None:
    assert read_one(**changes).matches(EVENT) is wanted


def test_the_limits_are_event_grids_unless_set() -> None:
    policy = read_one().policy(None)
    assert (policy.max_attempts, policy.time_to_live_seconds) == (30, 86_400)
    assert policy.schedule_seconds[:2] == (10, 30)
    quick = read_one(retry={"max_attempts": 3, "ttl_minutes": 1}).policy((0.2,))
    assert (quick.max_attempts, quick.time_to_live_seconds) == (3, 60)
    assert (quick.schedule_seconds, dict(quick.minimum_seconds)) == ((0.2,), {})


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", "the file"),
        ("{}", "the file"),
        ("[{}]", "0.name"),
        (json.dumps([BASE | {"endpoint": "ftp://x"}]), "0.endpoint"),
        (json.dumps([BASE | {"name": "a\r\nb"}]), "0.name"),
        (json.dumps([BASE | {"retry": {"max_attempts": 31}}]), "0.retry.max_attempts"),
        (json.dumps([BASE | {"advanced": {"data.api": ["Delete"]}}]), "0.advanced.data.api"),
        (json.dumps([BASE | {"subject_begin": "x"}]), "0.subject_begin"),
        (json.dumps([BASE, BASE]), "used twice"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_name(text: str, names: str) -> None:
    with pytest.raises(SubscriptionsError, match=names):
        read_subscriptions(text)
