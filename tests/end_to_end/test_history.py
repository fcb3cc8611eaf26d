"""The history of deliveries, and a file that is watched while it is told, over the real parts."""

from __future__ import annotations

import json
import time
import uuid
from typing import TYPE_CHECKING, Any

import requests

from shared.web.file_events import StreamPolicy
from tests.end_to_end.running_stack import HTTP_TIMEOUT_SECONDS, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.end_to_end.running_stack import RunningStack


def watch(stack: RunningStack, file_id: str, **headers: str) -> requests.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.get(
        stack.url(f"/files/{file_id}/events"),
        headers=stack.headers(**named),
        stream=True,
        timeout=HTTP_TIMEOUT_SECONDS,
    )


def messages(answer: requests.Response) -> Iterator[tuple[str, str, Any]]:
    """Event, id and data of each message, as soon as it is there."""
    fields: dict[str, str] = {}
    for raw in answer.iter_lines(chunk_size=1):
        line = raw.decode()
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value
        elif not line and "data" in fields:
            yield fields["event"], fields["id"], json.loads(fields["data"])
            fields = {}


def test_a_file_is_watched_until_everybody_is_told(stack: RunningStack) -> None:
    hook = uuid.uuid4().hex
    subscription = stack.subscribe(hook)
    stack.inbox("post", "/behaviour", json={"path": f"/hooks/{hook}", "status": 500, "count": 1})
    file = stack.upload(b"ring", content_type="text/plain").json()

    with watch(stack, file["id"], accept="text/event-stream") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        told = list(messages(answer))

    assert told[0][0] == "file"
    assert (told[-1][0], told[-1][2]) == ("end", {"reason": "settled"})
    ours = [data for _, _, data in told if data.get("subscription_id") == subscription["id"]]
    assert ours[-1]["status"] == "delivered"
    assert [attempt["status_code"] for attempt in ours[-1]["attempts"]] == [500, 200]
    assert watch(stack, file["id"], last_event_id=told[-1][1]).status_code == 204
    with watch(stack, file["id"], last_event_id=told[-2][1]) as answer:
        assert [event for event, _, _ in messages(answer)] == ["end"]


def test_the_first_message_comes_while_the_stream_goes_on(stack: RunningStack) -> None:
    hook = uuid.uuid4().hex
    stack.subscribe(hook)
    stack.inbox("post", "/behaviour", json={"path": f"/hooks/{hook}", "delay_seconds": 1.5, "count": 1})
    file = stack.upload(b"ring").json()
    with watch(stack, file["id"]) as answer:
        times = [(event, time.monotonic()) for event, _, _ in messages(answer)]
    assert times[0][0] == "file"
    assert times[-1][0] == "end"
    assert times[-1][1] - times[0][1] > 0.4


def test_who_polls_is_told_when_to_come_back_until_it_is_over(stack: RunningStack) -> None:
    hook = uuid.uuid4().hex
    subscription = stack.subscribe(hook)
    file = stack.upload(b"ring").json()
    stack.settled_delivery(file["id"], subscription["id"])
    told = watch(stack, file["id"], accept="application/json")
    assert told.json()["settled"] is True
    assert "retry-after" not in told.headers
    assert subscription["id"] in {each["subscription_id"] for each in told.json()["deliveries"]}
    assert watch(stack, str(uuid.uuid4())).status_code == 404


def test_history_is_ones_own_and_can_be_narrowed(stack: RunningStack) -> None:
    hook = uuid.uuid4().hex
    subscription = stack.subscribe(hook)
    made = [stack.upload(b"ring").json()["id"] for _ in range(3)]
    for file_id in made:
        stack.settled_delivery(file_id, subscription["id"])

    path = f"/deliveries?subscription_id={subscription['id']}&status=delivered&event=file.stored&limit=2"
    first = stack.get(path).json()
    second = stack.get(f"{path}&cursor={first['next_cursor']}").json()

    items = first["items"] + second["items"]
    assert [item["file_id"] for item in items] == made[::-1]
    one = stack.get(f"/deliveries/{items[0]['id']}")
    assert one.json() == items[0]
    assert one.headers["etag"]
    assert stack.get(f"/deliveries/{items[0]['id']}", user="bob").status_code == 404
    assert not stack.get(path, user="bob").json()["items"]
    assert "secret" not in json.dumps(items)


def test_a_reader_who_leaves_makes_room_for_another_at_once(stack: RunningStack) -> None:
    hook = uuid.uuid4().hex
    path = f"/hooks/{hook}"
    stack.subscribe(hook)
    stack.inbox("post", "/behaviour", json={"path": path, "status": 500, "delay_seconds": 1.5})
    file = stack.upload(b"ring").json()
    answers = [watch(stack, file["id"]) for _ in range(StreamPolicy().max_streams_of_owner)]
    refused = watch(stack, file["id"])
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "10")
    for answer in answers:
        assert answer.status_code == 200
        answer.close()
    wait_until(lambda: closed(watch(stack, file["id"])) == 200, timeout_seconds=2)
    stack.inbox("post", "/behaviour", json={"path": path, "status": 200})


def closed(answer: requests.Response) -> int:
    answer.close()
    return answer.status_code
