"""The whole application with malware scanning required: what clients and subscribers see, whoever crashes."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from shared.adapters.memory import MemoryBlobs, MemoryClock, MemoryQueue, MemoryTables, MemoryUrlSigner
from shared.adapters.scan_tags import SCAN_RESULT
from shared.app import Application
from shared.files import file as files
from shared.files.file import FileStatus
from shared.notifications import delivery_record as deliveries
from shared.notifications.subscription import EventType
from shared.settings import SettingsError, read_settings
from tests.unit.identity import forge
from tests.unit.shared import sample
from tests.unit.shared.asgi import Client, body_of, request
from tests.unit.shared.portal import ENVIRONMENT, SETTINGS, Portal, bearer
from tests.unit.shared.sample import FILE_ID, OWNER
from tests.unit.shared.test_delivery_crashes import Doom, KilledError
from tests.unit.shared.test_fan_out import BLOB

if TYPE_CHECKING:
    from starlette.responses import Response

    from shared.settings import Settings

REQUIRED = read_settings(
    ENVIRONMENT | {"DROPBELL_MALWARE_SCANNING": "required", "DROPBELL_OWNER_QUOTA_FILES": "5"}
)
CLEAN, MALICIOUS = "No threats found", "Malicious"
JSON = {"content-type": "application/json"}
HOOK = {
    "channel": "webhook",
    "target": "http://127.0.0.1:9/hook",
    "events": [each.value for each in EventType],
}


class ScannedPortal(Portal):
    """One file that a subscriber of everything could be told of."""

    def __init__(self, settings: Settings = REQUIRED, **adapters: Any) -> None:
        super().__init__(settings, url_signer=MemoryUrlSigner(), **adapters)
        self.id = ""

    async def filled(self) -> ScannedPortal:
        assert (await self.subscribe(json.dumps(HOOK).encode())).status_code == 201
        told = body_of(await self.upload(b"ring the bell", content_type="text/plain"))
        self.id = told["id"]
        await self.announce()
        return self

    @property
    def blob(self) -> str:
        (name,) = {key for key in self.blobs.contents if key.endswith(self.id)}
        return name

    async def announce(self) -> None:
        await self.app.announce(self.blob)

    async def scan(self, result: str) -> None:
        """Defender comes to a result, and the sweep comes by."""
        self.blobs.tags[self.blob] = {SCAN_RESULT: result}
        self.clock.advance(60)
        await self.app.sweep()

    async def call(
        self, route: str, method: str = "GET", body: bytes = b"", *, query: str = "", **headers: str
    ) -> Response:
        client = Client((body,) if body else ())
        asked = request(method, headers=bearer() | headers, client=client, query=query, file_id=self.id)
        return await self.app.answer(route, asked)

    async def status(self) -> str:
        answer = await self.call("get_file")
        assert answer.status_code == 200
        return str(body_of(answer)["status"])

    async def share(self) -> str:
        made = body_of(await self.call("create_share_link", "POST"))
        return str(made["url"]).rpartition("/")[2]

    async def shared(self, token: str, method: str = "GET") -> Response:
        return await self.app.answer_open("get_shared_content", request(method, token=token))

    def told(self) -> list[str]:
        """The types of events that are on their way to the subscriber."""
        return [json.loads(message.body)["event"]["type"] for message in self.queue.messages]


def check_being_scanned(answer: Response) -> None:
    assert answer.status_code == 409
    assert body_of(answer)["type"] == "/api/problems/being-scanned"
    assert answer.headers["retry-after"].isdigit()
    assert "location" not in answer.headers


async def test_a_file_that_waits_is_seen_and_cannot_be_read() -> None:
    portal = await ScannedPortal().filled()

    assert await portal.status() == "stored"
    assert [each["id"] for each in body_of(await portal.call("list_files"))["items"]] == [portal.id]
    assert (await portal.call("get_file", "HEAD")).status_code == 200
    check_being_scanned(await portal.call("get_content"))
    check_being_scanned(await portal.call("get_content", range="bytes=0-1"))
    check_being_scanned(await portal.call("get_content", query="redirect=true"))
    assert (await portal.call("get_content", "HEAD")).status_code == 409
    link = await portal.share()
    check_being_scanned(await portal.shared(link))
    assert (await portal.shared(link, "HEAD")).status_code == 409
    assert portal.told() == []


async def test_its_owner_can_change_and_delete_it_and_nobody_hears_of_that() -> None:
    portal = await ScannedPortal().filled()
    tag = (await portal.call("get_file")).headers["etag"]
    patch = {"content-type": "application/merge-patch+json", "if-match": tag}
    assert (await portal.call("update_file", "PATCH", b'{"name": "b.txt"}', **patch)).status_code == 200
    assert portal.told() == []

    await portal.scan(CLEAN)
    (message,) = portal.queue.messages
    event = json.loads(message.body)["event"]
    assert (event["type"], event["data"]["file"]["name"]) == ("dropbell.file.stored.v1", "b.txt")

    other = await ScannedPortal().filled()
    assert (await other.call("delete_file", "DELETE")).status_code == 204
    other.clock.advance(7200)
    await other.app.sweep()
    assert other.told() == []


async def test_a_clean_file_is_told_of_and_can_be_read() -> None:
    portal = await ScannedPortal().filled()
    link = await portal.share()
    await portal.scan(CLEAN)

    assert await portal.status() == "announced"
    assert portal.told() == ["dropbell.file.stored.v1"]
    assert (await portal.call("get_content")).status_code == 200
    assert (await portal.shared(link)).status_code == 200


async def test_malware_is_told_of_as_rejected_and_is_gone() -> None:
    portal = await ScannedPortal().filled()
    link = await portal.share()
    await portal.scan(MALICIOUS)

    told = body_of(await portal.call("get_file"))
    assert told["status"] == "rejected"
    assert told["reason"].startswith("malware: ")
    assert portal.told() == ["dropbell.file.rejected.v1"]
    for query in ("", "redirect=true"):
        assert (await portal.call("get_content", query=query)).status_code == 404
    assert (await portal.shared(link)).status_code == 410
    assert portal.blobs.contents == {}
    assert (await portal.call("delete_file", "DELETE")).status_code == 204


@pytest.mark.parametrize("result", ["Error", "Not scanned"])
async def test_what_cannot_be_scanned_stays_where_it_is(result: str) -> None:
    portal = await ScannedPortal().filled()
    for _ in range(3):
        await portal.scan(result)
    assert await portal.status() == "stored"
    check_being_scanned(await portal.call("get_content"))
    assert portal.told() == []


async def test_without_the_setting_nothing_is_asked_and_nothing_waits() -> None:
    class NobodyAsks:
        async def verdict(self, name: str) -> None:
            raise AssertionError(f"{name} is not scanned")

    portal = await ScannedPortal(SETTINGS, scanner=NobodyAsks()).filled()
    assert await portal.status() == "announced"
    assert (await portal.call("get_content")).status_code == 200
    portal.clock.advance(files.ANNOUNCE_SECONDS + 60)
    await portal.app.sweep()


async def test_files_that_were_announced_before_the_setting_can_still_be_read() -> None:
    before = await ScannedPortal(SETTINGS).filled()
    after = ScannedPortal(REQUIRED, tables=before.tables, blobs=before.blobs)
    after.id = before.id
    assert (await after.call("get_content")).status_code == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DROPBELL_MALWARE_SCANNING", "on"),
        ("DROPBELL_MALWARE_SCANNING", "Required"),
        ("DROPBELL_MALWARE_SCAN_PATIENCE_SECONDS", "0"),
    ],
)
def test_a_setting_that_is_not_understood_is_refused(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        read_settings(ENVIRONMENT | {name: value})


class CrashingRun:
    """From the event of a blob to long after its verdict, with one death of a process in between."""

    def __init__(self, doom: Doom) -> None:
        self.clock = MemoryClock(sample.NOW)
        self.blobs, self.tables, self.queue = MemoryBlobs(), MemoryTables(), MemoryQueue()
        self._doom = doom

    def _app(self) -> Application:
        """A process that knows nothing."""
        over = self._doom.over
        adapters: dict[str, Any] = {"blobs": self.blobs, "tables": self.tables, "queue": self.queue}
        doomed = {name: over(adapter) for name, adapter in adapters.items()}
        scanner = over(self.blobs)
        return Application(
            REQUIRED, clock=self.clock, scanner=scanner, json_source=forge.FakeIssuer(), **doomed
        )

    async def to_the_end(self, result: str, *, is_late: bool) -> None:
        wanted = frozenset({EventType.FILE_STORED, EventType.FILE_REJECTED})
        await sample.insert(self.tables, sample.file(), sample.subscription(events=wanted))
        await self.blobs.create(BLOB, sample.chunks(b"hello"), content_type="text/plain", metadata=dict)
        undisturbed = Application(REQUIRED, clock=self.clock, tables=self.tables)
        look_at = sample.NOW + timedelta(seconds=files.ANNOUNCE_SECONDS)
        await undisturbed.due_book.put(files.ANNOUNCE, OWNER, FILE_ID, look_at)
        if not is_late:
            self.blobs.tags[BLOB] = {SCAN_RESULT: result}
        with suppress(KilledError):  # and the event does not come again
            await self._app().announce(BLOB)
        self.blobs.tags.setdefault(BLOB, {})[SCAN_RESULT] = result
        for seconds in (60, 60, 60, files.ANNOUNCE_SECONDS, 60, 60):
            self.clock.advance(seconds)
            with suppress(KilledError):
                await self._app().sweep()

    async def file(self) -> files.File:
        entity = await self.tables.get(OWNER, files.row_key(FILE_ID))
        assert entity is not None
        return files.from_entity(entity)

    def deliveries(self) -> list[str]:
        rows = [row for (_, key), row in self.tables.rows.items() if key.startswith("delivery|")]
        return [deliveries.from_entity(row).id for row in rows]


@pytest.mark.parametrize("is_late", [False, True], ids=["at the event", "by the sweep"])
@pytest.mark.parametrize(
    ("result", "status", "event"),
    [
        (CLEAN, FileStatus.ANNOUNCED, EventType.FILE_STORED),
        (MALICIOUS, FileStatus.REJECTED, EventType.FILE_REJECTED),
    ],
)
async def test_the_verdict_is_carried_out_whenever_a_process_dies(
    result: str, status: FileStatus, event: EventType, *, is_late: bool
) -> None:
    expected = deliveries.delivery_id(FILE_ID, event, f"{1:032x}", revision=0)
    for instant in count(1):
        doom = Doom(instant)
        run = CrashingRun(doom)
        await run.to_the_end(result, is_late=is_late)
        assert (await run.file()).status is status, instant
        assert run.deliveries() == [expected], instant
        sent = [message.properties["delivery_id"] for message in run.queue.messages]
        assert set(sent) == {expected}, instant
        assert (BLOB in run.blobs.contents) == (status is FileStatus.ANNOUNCED), instant
        quota = run.tables.rows.get((OWNER, "quota|"))
        assert quota is None or quota.values["files"] == (status is FileStatus.ANNOUNCED), instant
        if not doom.has_struck:
            break
    assert instant > 20
