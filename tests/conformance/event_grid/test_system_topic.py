"""The process as the local stack runs it: a real Azurite's log in, requests to a webhook out."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
import uuid
from collections.abc import Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import aiohttp
import pytest
from aiohttp import web
from azure.storage.blob import BlobBlock
from azure.storage.blob.aio import BlobServiceClient, ContainerClient

from local.part import http_site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


class Account(Protocol):
    """What the ``azurite`` fixture gives."""

    connection_string: str
    access_log: Path


@dataclass
class Receiver:
    """A webhook that can be unwilling."""

    status: int = 200
    received: list[dict[str, Any]] = field(default_factory=list)
    arrived_at: list[float] = field(default_factory=list)
    validations: int = 0

    async def receive(self, request: web.Request) -> web.Response:
        (event,) = await request.json()
        if self.status != 200:
            return web.Response(status=self.status)
        if request.headers["aeg-event-type"] == "SubscriptionValidation":
            self.validations += 1
            return web.json_response({"validationResponse": event["data"]["validationCode"]})
        assert request.headers["aeg-event-type"] == "Notification"
        assert request.headers["aeg-subscription-name"] == "SUB"
        self.received.append(event)
        self.arrived_at.append(time.perf_counter())
        return web.Response(status=202)

    def names(self) -> list[str]:
        return sorted(event["subject"].partition("/blobs/")[2] for event in self.received)


@dataclass
class Stage:
    """A container of its own, a subscriber to it, and what starts a topic over both."""

    azurite: Account
    container: ContainerClient
    receiver: Receiver
    hook: str
    folder: Path

    @asynccontextmanager
    async def topic(self, *, ready: bool = True) -> AsyncIterator[Topic]:
        subscriptions = self.folder / "subscriptions.json"
        prefix = f"/blobServices/default/containers/{self.container.container_name}/"
        subscriptions.write_text(
            json.dumps([{"name": "sub", "endpoint": self.hook, "subject_begins_with": prefix}])
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "local.event_grid", "--port", "0",
            "--access-log", str(self.azurite.access_log),
            "--connection-string", self.azurite.connection_string,
            "--subscriptions", str(subscriptions),
            "--data-dir", str(self.folder / "data"),
            "--retry-schedule-seconds", "0.05,0.1,0.2",
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), 20)).decode()
        address = next(word for word in line.split() if word.startswith("http://"))
        try:
            async with aiohttp.ClientSession(address) as session:
                topic = Topic(process, session)
                if ready:
                    await until(topic.is_ready)
                yield topic
        finally:
            if process.returncode is None:
                process.terminate()
            # A pipe that is full would hold the process up.
            await asyncio.wait_for(process.communicate(), 5)


@dataclass
class Topic:
    process: asyncio.subprocess.Process
    session: aiohttp.ClientSession

    async def is_ready(self) -> bool:
        return (await self.health())[0] == 200

    async def is_refused(self) -> bool:
        status, body = await self.health()
        return status == 503 and "answered 500" in body

    async def is_retrying(self) -> bool:
        deliveries = [delivery for event in await self.events() for delivery in event["deliveries"]]
        return any(delivery["attempts"] > 1 for delivery in deliveries)

    async def health(self) -> tuple[int, str]:
        async with self.session.get("/health") as answer:
            return answer.status, await answer.text()

    async def post(self, path: str, body: object) -> int:
        async with self.session.post(path, json=body) as answer:
            return answer.status

    async def events(self) -> list[dict[str, Any]]:
        async with self.session.get("/events") as answer:
            items: list[dict[str, Any]] = (await answer.json())["items"]
            return items


@pytest.fixture
async def stage(azurite: Account, tmp_path: Path) -> AsyncIterator[Stage]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/hook", receiver.receive)
    async with (
        http_site(app) as port,
        BlobServiceClient.from_connection_string(azurite.connection_string) as service,
        service.get_container_client(f"test-{uuid.uuid4()}") as container,
    ):
        await container.create_container()
        yield Stage(azurite, container, receiver, f"http://127.0.0.1:{port}/hook?code=secret", tmp_path)


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Return when ``condition`` holds; looks again and again for up to ten seconds."""
    async with asyncio.timeout(10):
        while True:
            held = condition()
            if held is True or (isinstance(held, Awaitable) and await held):
                return
            await asyncio.sleep(0.01)


async def test_each_way_to_create_a_blob_is_one_event_and_nothing_else_is(stage: Stage) -> None:
    name = "a b/ü%41?x&y#z.txt"
    async with stage.topic():
        blob = stage.container.get_blob_client(name)
        await blob.upload_blob(b"abc", content_type="text/plain")
        await until(lambda: len(stage.receiver.received) == 1)
        put = stage.receiver.received[0]["data"]
        properties = await blob.get_blob_properties()
        assert (put["api"], put["contentType"], put["contentLength"], put["blobType"]) == (
            "PutBlob", "text/plain", 3, "BlockBlob"
        )  # fmt: skip
        assert put["eTag"] == properties.etag.strip('"')
        assert put["url"] == blob.url

        staged = stage.container.get_blob_client("staged")
        await staged.stage_block("AAAA", b"x" * 10)
        await blob.set_blob_metadata({"a": "b"})
        await blob.set_blob_tags({"a": "b"})
        lease = await blob.acquire_lease(15)
        await lease.release()
        await staged.commit_block_list([BlobBlock("AAAA")])
        await stage.container.get_blob_client("copy").start_copy_from_url(staged.url)
        await until(lambda: len(stage.receiver.received) >= 3)
        await asyncio.sleep(0.1)
    apis = [event["data"]["api"] for event in stage.receiver.received]
    assert apis == ["PutBlob", "PutBlockList", "CopyBlob"]
    assert stage.receiver.names() == sorted([name, "staged", "copy"])
    sequencers = [event["data"]["sequencer"] for event in stage.receiver.received]
    assert sequencers == sorted(sequencers)


async def test_an_event_takes_less_than_50_ms(stage: Stage) -> None:
    delays_ms = []
    async with stage.topic():
        for number in range(20):
            await stage.container.upload_blob(str(number), b"x")
            created_at = time.perf_counter()
            await until(lambda number=number: len(stage.receiver.received) > number)  # type: ignore[misc]
            delays_ms.append((stage.receiver.arrived_at[-1] - created_at) * 1000)
    assert statistics.median(delays_ms) < 50


async def test_many_blobs_at_once_lose_none(stage: Stage) -> None:
    names = [f"{number:03}" for number in range(100)]
    async with stage.topic():
        await asyncio.gather(*(stage.container.upload_blob(name, b"x") for name in names))
        await until(lambda: len(stage.receiver.received) >= len(names))
    assert stage.receiver.names() == names


async def test_a_killed_process_loses_nothing(stage: Stage) -> None:
    async with stage.topic() as topic:
        stage.receiver.status = 500
        await stage.container.upload_blob("refused", b"x")
        await until(topic.is_retrying)
        topic.process.kill()
        await topic.process.wait()
    await stage.container.upload_blob("meanwhile", b"x")
    stage.receiver.status = 200
    async with stage.topic():
        await until(lambda: set(stage.receiver.names()) == {"refused", "meanwhile"})
        await asyncio.sleep(0.1)
    assert stage.receiver.names() == ["meanwhile", "refused"]
    async with stage.topic() as topic:
        assert await topic.events() == []


async def test_it_is_healthy_once_its_subscriptions_are_validated(stage: Stage) -> None:
    stage.receiver.status = 500
    async with stage.topic(ready=False) as topic:
        await stage.container.upload_blob("early", b"x")
        await until(topic.is_refused)
        assert stage.receiver.received == []
        stage.receiver.status = 200
        await until(topic.is_ready)
        await until(lambda: stage.receiver.names() == ["early"])
    assert stage.receiver.validations == 1


async def test_it_can_be_made_to_misbehave(stage: Stage) -> None:
    container = stage.container.container_name
    async with stage.topic() as topic:
        await stage.container.upload_blob("a", b"x")
        await until(lambda: stage.receiver.names() == ["a"])
        assert await topic.post("/replay", {"container": container, "name": "a"}) == 202
        await until(lambda: stage.receiver.names() == ["a", "a"])
        assert await topic.post("/replay", {"container": container, "name": "none"}) == 404
        assert await topic.post("/replay", {"container": container}) == 400
        assert await topic.post("/behaviour", {"drop_next": -1}) == 400
        assert await topic.post("/behaviour", {"drop_next": 1, "duplicate": True}) == 200
        await stage.container.upload_blob("lost", b"x")
        await stage.container.upload_blob("twice", b"x")
        await until(lambda: stage.receiver.names() == ["a", "a", "twice", "twice"])
        events = await topic.events()
    states = {e["event"]["subject"].rpartition("/")[2]: e["deliveries"][0]["state"] for e in events}
    assert states == {"a": "delivered", "lost": "dropped", "twice": "delivered"}


async def test_it_stops_at_once_when_asked(stage: Stage) -> None:
    async with stage.topic() as topic:
        stage.receiver.status = 500
        await stage.container.upload_blob("a", b"x")
        topic.process.terminate()
        async with asyncio.timeout(3):
            await topic.process.communicate()
        assert topic.process.returncode == 0


async def test_a_wrong_command_line_is_refused_in_one_sentence(azurite: Account, tmp_path: Path) -> None:
    subscriptions = tmp_path / "subscriptions.json"
    for text, connection_string, names in [
        ("[{}]", azurite.connection_string, "0.name"),
        ("[]", "nonsense", "Connection string"),
    ]:
        subscriptions.write_text(text)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "local.event_grid", "--port", "0", "--access-log", "x",
            "--connection-string", connection_string, "--subscriptions", str(subscriptions),
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, stderr = await asyncio.wait_for(process.communicate(), 20)
        assert process.returncode == 2
        assert names in stderr.decode().splitlines()[-1]
        assert "Traceback" not in stderr.decode()
