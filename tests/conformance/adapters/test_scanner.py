"""The verdict of the malware scanner: read from tags, and carried out on real storage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shared.errors import UnavailableError
from shared.files.file import blob_name
from shared.ports import Verdict
from tests.conformance.adapters.backends import azure_blobs, put
from tests.conformance.adapters.counted_service import CountedService
from tests.unit.shared.asgi import body_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from local.azurite import StoragePorts
    from shared.adapters.azure_transport import AzureTransport
    from tests.conformance.adapters.backends import AzureBackend, BlobBackend

RESULT, TIME = "Malware Scanning scan result", "Malware Scanning scan time UTC"
"""As Defender for Storage names them."""


async def scan(backend: BlobBackend, name: str, result: str) -> None:
    """What Defender for Storage does once it has scanned a blob."""
    await backend.tag(name, {RESULT: result, TIME: "2026-03-01 12:00:05Z"})


@pytest.mark.parametrize(
    ("result", "verdict"),
    [
        ("No threats found", Verdict.CLEAN),
        ("Malicious", Verdict.MALICIOUS),
        ("Not scanned", Verdict.NOT_SCANNED),
        ("Error", Verdict.FAILED),
    ],
)
async def test_the_verdict_is_what_the_tag_says(
    backend: BlobBackend, name: str, result: str, verdict: Verdict
) -> None:
    before = await put(backend.store, name, b"content", a="b")
    assert await backend.scanner.verdict(name) is None
    await scan(backend, name, result)
    assert await backend.scanner.verdict(name) is verdict
    assert await backend.store.properties(name) == before  # whoever reads it is not disturbed


async def test_other_tags_are_no_verdict(backend: BlobBackend, name: str) -> None:
    await put(backend.store, name, b"content")
    await backend.tag(name, {"project": "roof"})
    assert await backend.scanner.verdict(name) is None


async def test_a_blob_that_is_not_there_has_no_verdict(backend: BlobBackend, name: str) -> None:
    assert await backend.scanner.verdict(name) is None


async def test_a_verdict_is_not_that_of_the_next_blob_of_the_name(backend: BlobBackend, name: str) -> None:
    await put(backend.store, name, b"content")
    await scan(backend, name, "No threats found")
    await backend.store.delete(name)
    await put(backend.store, name, b"other")
    assert await backend.scanner.verdict(name) is None


async def test_storage_that_does_not_answer_has_no_verdict_to_give(
    no_storage: StoragePorts, transport: AzureTransport, name: str
) -> None:
    with pytest.raises(UnavailableError):
        await azure_blobs(no_storage, transport).verdict(name)


async def test_a_container_that_is_not_there_is_no_missing_verdict(
    storage: StoragePorts, transport: AzureTransport, name: str
) -> None:
    with pytest.raises(UnavailableError):
        await azure_blobs(storage, transport, "nowhere").verdict(name)


@pytest.fixture
async def service(storage: StoragePorts) -> AsyncIterator[CountedService]:
    made = CountedService(storage, {"DROPBELL_MALWARE_SCANNING": "required"})
    yield made
    await made.close()


@pytest.mark.parametrize(
    ("result", "status", "content_status"),
    [("No threats found", "settled", 200), ("Malicious", "rejected", 404), ("Error", "stored", 409)],
)
async def test_an_upload_waits_for_its_verdict(
    service: CountedService, azure_backend: AzureBackend, result: str, status: str, content_status: int
) -> None:
    id_ = (await service.upload(b"ring the bell"))["id"]
    name = blob_name(service.owner, id_)
    service.taken()
    await service.announce(id_)
    # A look in vain: the row, the tags, the note of the next look.
    assert service.taken() == {"executions": 1, "blob_tag_reads": 1, "table_requests": 2}
    await service.call("get_content", "GET", expect=409, file_id=id_)

    await scan(azure_backend, name, result)
    service.clock.advance(60)
    await service.app.sweep()

    told = body_of(await service.call("get_file", "GET", expect=200, file_id=id_))
    assert told["status"] == status
    await service.call("get_content", "GET", expect=content_status, file_id=id_)
    assert (await azure_backend.content(name) is None) == (result == "Malicious")
