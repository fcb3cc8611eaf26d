"""Resumable uploads under crashes, lost answers and rivals at every call: what is told is what is there.

Devices append to uploads through several instances, chosen at random; every call of a store can fail, be
carried out and yet fail, or take the instance with it. Events of blobs come late and twice, and the sweep
runs now and then. At rest, every upload that was told to be finished is a file with the right bytes, every
other one is gone without a trace, and the owner's count is that of the files.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

from shared.adapters.memory import MemoryBlobs, MemoryClock, MemoryTables
from shared.errors import (
    ConflictError,
    UnavailableError,
    UploadIncompleteError,
)
from shared.files import file as files
from shared.files import quota
from shared.files.appending import Checksum
from shared.files.file import FileStatus
from shared.files.quota import QuotaPolicy
from shared.files.upload import UploadStatus
from tests.faults.fragile import CrashError
from tests.unit.shared.uploads_world import OWNER, World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

SEEDS = 150
UPLOADS = 3
MAX_ROUNDS = 60


class Luck:
    """Decides what befalls each call, and counts it."""

    def __init__(self, seed: int, bad_luck: int) -> None:
        self.chance = random.Random(seed)
        self.left = bad_luck
        self.occurred: Counter[str] = Counter()

    def fate(self, call: str, kinds: tuple[str, ...]) -> str:
        if self.left <= 0 or self.chance.random() >= 0.06:
            return "fine"
        self.left -= 1
        fate = self.chance.choice(kinds)
        self.occurred[f"{fate}: {call}"] += 1
        return fate


READ_FATES = ("crash before", "refused")
FATES = (*READ_FATES, "crash after", "answer lost")
READS = {"get", "query", "properties", "staged"}


class Flaky:
    """A store whose every call may fail; each takes at least one turn of the event loop."""

    def __init__(self, real: Any, luck: Luck, created: Callable[[str], None] = lambda _: None) -> None:
        self._real, self._luck, self._created = real, luck, created

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._real, name)

        async def call(*args: Any, **options: Any) -> Any:
            fate = self._luck.fate(name, READ_FATES if name in READS else FATES)
            for _ in range(self._luck.chance.randint(1, 3)):
                await asyncio.sleep(0)
            if fate == "crash before":
                raise CrashError(name)
            if fate == "refused":
                raise UnavailableError("refused")
            result = await method(*args, **options)
            if name in {"commit", "create"}:
                self._created(str(args[0]))
            if fate == "crash after":
                raise CrashError(name)
            if fate == "answer lost":
                raise UnavailableError("answer lost")
            return result

        return self._read if name == "read" else call

    async def _read(self, *args: Any, **options: Any) -> AsyncIterator[bytes]:
        async for piece in self._real.read(*args, **options):
            await asyncio.sleep(0)
            yield piece


class Story:
    """One run of it all."""

    def __init__(self, seed: int, bad_luck: int = 12) -> None:
        self.luck = Luck(seed, bad_luck)
        self.chance = self.luck.chance
        self.blobs, self.tables, self.clock = MemoryBlobs(), MemoryTables(), MemoryClock()
        self.events: list[str] = []
        self.told: dict[str, bytes] = {}
        """Uploads that their client was told are finished, and what it sent."""
        blobs: Any = Flaky(self.blobs, self.luck, self._created)
        tables: Any = Flaky(self.tables, self.luck)
        policy = QuotaPolicy(max_bytes=10_000)
        self.instances = [World(blobs, tables, self.clock, policy) for _ in range(3)]
        self.calm = World(self.blobs, self.tables, self.clock, policy)

    def _created(self, name: str) -> None:
        self.events += [name] * self.chance.choice((1, 1, 2))

    def instance(self) -> World:
        return self.chance.choice(self.instances)

    async def client(self, length_bytes: int) -> None:
        """Create an upload, then append to it from two devices at once until it is finished or given up."""
        content = self.chance.randbytes(length_bytes)
        for _ in range(MAX_ROUNDS):
            try:
                length = length_bytes if self.chance.random() < 0.7 else None
                upload_id = (await self.instance().create(length)).id
                break
            except (UnavailableError, CrashError):
                continue
        else:
            return
        await asyncio.gather(*(self._device(upload_id, content) for _ in range(2)))

    async def _device(self, upload_id: str, content: bytes) -> None:
        for _ in range(MAX_ROUNDS):
            if self.chance.random() < 0.02:
                return  # its user gives up
            try:
                state = await self.instance().uploads.offset(OWNER, upload_id)
                at = state.offset_bytes
                if state.status is not UploadStatus.FINISHED:
                    end = min(len(content), at + self.chance.randint(1, 40))
                    state = await self._append(upload_id, content, at, end)
                if state.status is UploadStatus.FINISHED:
                    self.told[upload_id] = content
                    return
            except (UnavailableError, CrashError, ConflictError, UploadIncompleteError) as error:
                self.luck.occurred[type(error).__name__] += 1

    async def _append(self, upload_id: str, content: bytes, at: int, end: int) -> Any:
        async def body() -> AsyncIterator[bytes]:
            for start in range(at, end, 7):
                await asyncio.sleep(0)
                yield content[start : min(start + 7, end)]
            if self.chance.random() < 0.1:
                raise UploadIncompleteError("cut")

        digest = hashlib.sha256(content[at:end]).digest()
        return await self.instance().uploads.append(
            OWNER,
            upload_id,
            body(),
            offset_bytes=at,
            announced_size_bytes=end - at,
            complete=end == len(content),
            checksum=Checksum("sha256", digest) if self.chance.random() < 0.3 else None,
        )

    async def world(self) -> None:
        """Events, the sweep, and rivals that ask for offsets at the wrong moment."""
        for _ in range(200):
            await asyncio.sleep(0)
            try:
                if self.events and self.chance.random() < 0.3:
                    name = self.events.pop(self.chance.randrange(len(self.events)))
                    try:
                        await self.instance().publication.file_at(name)
                    except (UnavailableError, CrashError):
                        self.events.append(name)
                elif self.chance.random() < 0.1:
                    self.clock.advance(self.chance.choice((1, 130)))
                    instance = self.instance()
                    await instance.due.work_off({"upload": instance.ends.look})
            except (UnavailableError, CrashError):
                continue

    async def run(self) -> None:
        await asyncio.gather(*(self.client(self.chance.randint(0, 90)) for _ in range(UPLOADS)), self.world())

    async def come_to_rest(self) -> None:
        """Good times: every event arrives, the sweep runs until nothing is due any more."""
        for name in self.events:
            await self.calm.publication.file_at(name)
        for _ in range(6):
            self.clock.advance(3601)
            await self.calm.due.work_off({"upload": self.calm.ends.look, files.ANNOUNCE: self._announced})

    async def _announced(self, owner: str, file_id: str) -> None:
        """What the fan-out would do is not this story."""

    async def complaints(self) -> list[str]:
        found = []
        kept = [
            files.from_entity(row) for (_, key), row in self.tables.rows.items() if key.startswith("file|")
        ]
        for upload_id, content in self.told.items():
            row = self.tables.rows.get((OWNER, files.row_key(upload_id)))
            file = None if row is None else files.from_entity(row)
            name = files.blob_name(OWNER, upload_id)
            stored = self.blobs.contents.get(name)
            if file is None or stored != content or file.sha256 != hashlib.sha256(content).hexdigest():
                found.append(f"{upload_id} was told to be finished; its row is {file}")
        for file in kept:
            stored = self.blobs.contents.get(files.blob_name(OWNER, file.id))
            if stored is None or hashlib.sha256(stored).hexdigest() != file.sha256:
                found.append(f"{file.id} is {file.status} and its bytes are not those of its digest")
            if file.status is not FileStatus.STORED:
                found.append(f"{file.id} is {file.status}")
        left = [key for (_, key) in self.tables.rows if not key.startswith(("file|", "quota|"))]
        found += [f"left: {key}" for key in left]
        strangers = set(self.blobs.contents) - {files.blob_name(OWNER, file.id) for file in kept}
        found += [f"a blob without a file: {name}" for name in strangers]
        count = self.tables.rows.get((OWNER, quota.ROW_KEY))
        if count is not None and count.values != {
            "bytes": sum(file.size_bytes for file in kept),
            "files": len(kept),
        }:
            found.append(f"the count is {count.values} for {len(kept)} files")
        return found


async def test_whatever_happens_uploads_end_as_they_were_told() -> None:
    occurred: Counter[str] = Counter()
    told = 0
    for seed in range(SEEDS):
        story = Story(seed)
        await story.run()
        await story.come_to_rest()
        assert await story.complaints() == [], f"seed {seed}"
        occurred += story.luck.occurred
        told += len(story.told)

    # The test proves something only as long as all of this goes wrong in it.
    writes = {f"{fate}: {call}" for fate in FATES for call in ("apply", "stage", "commit")}
    assert writes <= set(occurred)
    assert {"ConflictError", "CrashError", "UnavailableError", "UploadIncompleteError"} <= set(occurred)
    assert told > SEEDS * UPLOADS // 2
