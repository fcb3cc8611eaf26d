"""Blob functions: Event Grid's webhook and the scan of a container, against Azurite."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
from azure.storage.blob import BlobServiceClient

from tests.conformance.functions_host.running_host import APPS, MASTER_KEY, REPOSITORY, RunningHost

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conformance.functions_host.conftest import StartHost

WEBHOOK = "/runtime/webhooks/blobs?functionName=Host.Functions."
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The connection string of a blob service."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    directory = tmp_path_factory.mktemp("azurite")
    command = [str(REPOSITORY / "node_modules" / ".bin" / "azurite-blob"), "--blobPort", str(port)]
    command += ["--inMemoryPersistence", "--silent", "--skipApiVersionCheck", "--disableTelemetry"]
    azurite = subprocess.Popen(command, cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)  # noqa: S603 - as installed by make
    try:
        deadline = time.monotonic() + 15
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                assert time.monotonic() < deadline, "Azurite does not answer"
                time.sleep(0.05)
        yield (
            f"DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={ACCOUNT_KEY};"
            f"BlobEndpoint=http://127.0.0.1:{port}/devstoreaccount1;"
        )
    finally:
        azurite.terminate()
        azurite.wait(timeout=10)


@pytest.fixture(scope="module")
def service(storage: str) -> Iterator[BlobServiceClient]:
    with BlobServiceClient.from_connection_string(storage) as client:
        for container in ("uploads", "documents", "scanned"):
            client.create_container(container)
        yield client


@pytest.fixture(scope="module")
def blobs(
    tmp_path_factory: pytest.TempPathFactory, storage: str, service: BlobServiceClient
) -> Iterator[RunningHost]:
    environment = {"STORAGE": storage, "CONTAINER": "uploads"}
    with RunningHost(APPS / "blobs", tmp_path_factory.mktemp("blobs"), environment) as host:
        yield host


def event(container: str, name: str) -> dict[str, Any]:
    return {
        "eventType": "Microsoft.Storage.BlobCreated",
        "subject": f"/blobServices/default/containers/{container}/blobs/{name}",
        "data": {"api": "PutBlob", "eTag": "0x8D4", "blobType": "BlockBlob", "url": "https://elsewhere/"},
    }


def post(host: RunningHost, function: str, kind: str, body: Any, key: str = "the-system-key") -> int:
    answer = host.request(
        "POST", f"{WEBHOOK}{function}&code={key}", headers={"aeg-event-type": kind}, body=json.dumps(body)
    )
    return answer.status


def test_handshake_returns_the_code(blobs: RunningHost) -> None:
    answer = blobs.request(
        "POST",
        f"{WEBHOOK}on_reference&code=the-system-key",
        headers={"aeg-event-type": "SubscriptionValidation"},
        body=json.dumps([{"data": {"validationCode": "512d38b6"}}]),
    )
    assert (answer.status, answer.json()) == (200, {"validationResponse": "512d38b6"})


@pytest.mark.parametrize(
    ("function", "kind", "key", "body", "status"),
    [
        ("on_reference", "Notification", "the-function-key", [], 401),
        ("on_reference", "Notification", MASTER_KEY, [], 202),
        ("nobody", "Notification", "the-system-key", [event("uploads", "a/b")], 404),
        ("on_reference", "Something", "the-system-key", [], 400),
        ("on_reference", "Notification", "the-system-key", [{"data": {}}], 400),
        ("on_reference", "Notification", "the-system-key", "text", 400),
        ("on_reference", "SubscriptionValidation", "the-system-key", [{"data": {}}], 400),
        ("on_reference", "Unsubscribe", "the-system-key", [], 202),
    ],
)
def test_webhook_judges_what_it_is_sent(
    blobs: RunningHost, function: str, kind: str, key: str, body: Any, status: int
) -> None:
    assert post(blobs, function, kind, body, key) == status


def test_function_gets_a_reference(blobs: RunningHost, service: BlobServiceClient) -> None:
    service.get_container_client("uploads").upload_blob("alice/fi le.txt", b"x")
    assert post(blobs, "on_reference", "Notification", [event("uploads", "alice/fi le.txt")]) == 202
    blobs.wait_for_line("reference uploads/alice/fi le.txt by STORAGE")


def test_function_gets_the_content(blobs: RunningHost, service: BlobServiceClient) -> None:
    service.get_container_client("documents").upload_blob("a.txt", b"words", metadata={"kind": "note"})
    # The second one does not match the path, the third one is not there: both are no failures.
    events = [event("documents", name) for name in ("a.txt", "a.pdf", "gone.txt")]
    assert post(blobs, "on_content", "Notification", events) == 202
    blobs.wait_for_line("content documents/a.txt 5 {'kind': 'note'} words")
    blobs.wait_for_line("The blob documents/gone.txt is gone")
    assert "a.pdf" not in blobs.output


def test_failing_function_gets_five_tries_then_the_event_is_kept_as_poison(
    blobs: RunningHost, service: BlobServiceClient
) -> None:
    service.get_container_client("uploads").upload_blob("alice/poison", b"x")
    assert post(blobs, "on_reference", "Notification", [event("uploads", "alice/poison")]) == 202
    blobs.wait_for_line("webjobs-blobtrigger-poison")
    assert blobs.output.count("reference uploads/alice/poison") == 5
    (record,) = blobs.request("GET", f"/admin/host/poison?code={MASTER_KEY}").json()["items"]
    assert record["FunctionId"] == "Host.Functions.on_reference"
    assert (record["ContainerName"], record["BlobName"]) == ("uploads", "alice/poison")
    assert "cannot be worked on" in record["Reason"]


def test_container_without_events_is_scanned(blobs: RunningHost, service: BlobServiceClient) -> None:
    container = service.get_container_client("scanned")
    container.upload_blob("one", b"1")
    blobs.wait_for_line("scanned scanned/one")
    container.upload_blob("one", b"2", overwrite=True)
    blobs.wait_for_line("scanned scanned/one", times=2)


def test_blob_function_runs_by_hand(blobs: RunningHost, service: BlobServiceClient) -> None:
    service.get_container_client("documents").upload_blob("hand.txt", b"by hand")
    answer = blobs.request(
        "POST",
        "/admin/functions/on_content",
        headers={"x-functions-key": MASTER_KEY},
        body=b'{"input": "documents/hand.txt"}',
    )
    assert answer.status == 202
    blobs.wait_for_line("content documents/hand.txt 7 {} by hand")


def test_accepted_event_outlives_a_killed_host_and_an_absent_account(
    start_host: StartHost, storage: str, tmp_path: Path
) -> None:
    account = BlobServiceClient.from_connection_string(storage)
    account.get_container_client("documents").upload_blob("kept.txt", b"kept")
    away = storage.replace("http://127.0.0.1:", "http://127.0.0.1:1")
    environment = {"CONTAINER": "uploads"}
    data_dir = tmp_path / "data"
    first = start_host("blobs", "--data-dir", str(data_dir), STORAGE=away, **environment)
    assert post(first, "on_content", "Notification", [event("documents", "kept.txt")]) == 202
    first.process.kill()
    first.process.wait()
    second = start_host("blobs", "--data-dir", str(data_dir), STORAGE=storage, **environment)
    second.wait_for_line("content documents/kept.txt 4 {} kept")
    second.wait(lambda: not list((data_dir / "blob-trigger" / "messages").iterdir()), "the queue is empty")
    account.close()
