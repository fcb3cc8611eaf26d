"""tus-js-client, the tus project's own client, against the whole stack."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.clients.node import run_node
from tests.end_to_end.running_stack import HTTP_TIMEOUT_SECONDS, RunningStack
from tests.end_to_end.sent_file import MEBIBYTE, SentFile

if TYPE_CHECKING:
    from pathlib import Path

CHUNK = ("--chunk-bytes", 2 * MEBIBYTE)
CHUNKS = 7


@dataclass(frozen=True)
class Client:
    """Sends one file as Alice."""

    stack: RunningStack
    file: SentFile
    storage: Path

    def run(self, *options: object, tokens: tuple[str, ...] = ()) -> dict[str, Any]:
        signed_in = [
            part for token in tokens or (self.stack.token(user="alice"),) for part in ("--token", token)
        ]
        where = ("--endpoint", self.stack.url("/uploads"), "--file", self.file.path)
        return run_node("tus.mjs", *where, *signed_in, *options)

    def run_with_storage(self, *options: object) -> dict[str, Any]:
        return self.run("--storage", self.storage, *options)

    def offset(self, url: str) -> requests.Response:
        headers = self.stack.headers(**{"tus-resumable": "1.0.0"})
        return requests.head(url, headers=headers, timeout=HTTP_TIMEOUT_SECONDS)

    def assert_arrived(self, told: dict[str, Any]) -> dict[str, Any]:
        assert told["outcome"] == "success", told
        return self.file.assert_arrived(self.stack, told["file_id"])


@pytest.fixture
def client(stack: RunningStack, tmp_path: Path) -> Client:
    return Client(stack, SentFile(tmp_path, name="Glöckchen ✓.bin"), tmp_path / "unfinished.json")


def requests_of(told: dict[str, Any], method: str) -> list[dict[str, Any]]:
    return [each for each in told["exchanges"] if each["method"] == method]


def statuses(told: dict[str, Any]) -> list[int]:
    return [each["status"] for each in told["exchanges"]]


@pytest.mark.parametrize(
    ("options", "patches"),
    [
        ((), 1),
        (CHUNK, CHUNKS),
        ((*CHUNK, "--data-during-creation"), CHUNKS - 1),
        ((*CHUNK, "--deferred-length"), CHUNKS),
        (("--protocol", "ietf-draft-03"), 1),
        (("--protocol", "ietf-draft-05"), 1),
        (("--protocol", "ietf-draft-05", *CHUNK), CHUNKS),
        (("--protocol", "ietf-draft-05", *CHUNK, "--data-during-creation"), CHUNKS - 1),
    ],
    ids=lambda value: " ".join(map(str, value)) or "whole" if isinstance(value, tuple) else None,
)
def test_each_way_of_sending(client: Client, options: tuple[object, ...], patches: int) -> None:
    told = client.run(*options, "--content-type", "audio/x-bell")

    file = client.assert_arrived(told)
    assert file["content_type"] == "audio/x-bell"
    assert len(requests_of(told, "PATCH")) == patches
    assert all(status in {200, 201, 204} for status in statuses(told))


def test_three_parts_at_a_time_become_one_file(client: Client) -> None:
    told = client.run("--parallel", 3, *CHUNK)

    client.assert_arrived(told)
    assert [each["status"] for each in requests_of(told, "POST")] == [201] * 4  # three parts and the whole


@pytest.mark.parametrize("ways", [1, 3])
def test_a_paused_upload_is_resumed_by_another_process(client: Client, ways: int) -> None:
    options = (*CHUNK, "--parallel", ways)
    paused = client.run_with_storage(*options, "--pause-after-bytes", 6 * MEBIBYTE)
    assert paused["outcome"] == "paused", paused

    resumed = client.run_with_storage(*options)

    client.assert_arrived(resumed)
    assert [each["status"] for each in requests_of(resumed, "HEAD")] == [200] * ways
    assert len(requests_of(resumed, "POST")) == (0 if ways == 1 else 1)  # nothing but the joining of parts
    kept = sum(int(each["offset"]) for each in requests_of(resumed, "HEAD"))
    assert kept >= sum(
        int(each["offset"]) - int(each["sent_offset"]) for each in requests_of(paused, "PATCH")
    )


def test_an_upload_that_its_owner_gave_up_is_gone(client: Client) -> None:
    told = client.run(*CHUNK, "--pause-after-bytes", 4 * MEBIBYTE, "--terminate")

    assert told["outcome"] == "paused", told
    assert requests_of(told, "DELETE")[0]["status"] == 204
    assert client.offset(told["url"]).status_code in {404, 410}


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_a_chunk_that_does_not_match_its_checksum_is_sent_again(client: Client, algorithm: str) -> None:
    told = client.run(*CHUNK, "--checksum", algorithm, "--wrong-checksum", 2, "--retry", 460)

    client.assert_arrived(told)
    refused = statuses(told).index(460)
    asked, again = told["exchanges"][refused + 1 : refused + 3]
    assert (asked["method"], asked["offset"]) == ("HEAD", str(4 * MEBIBYTE))
    assert (again["sent_offset"], again["offset"]) == (str(4 * MEBIBYTE), str(6 * MEBIBYTE))


def test_nothing_of_a_chunk_with_a_wrong_checksum_is_kept(client: Client) -> None:
    told = client.run(*CHUNK, "--checksum", "sha256", "--wrong-checksum", 1)

    assert (told["outcome"], told["status"]) == ("error", 460)
    assert client.offset(told["url"]).headers["Upload-Offset"] == str(2 * MEBIBYTE)


def test_a_new_token_in_the_middle_loses_no_byte(client: Client) -> None:
    good, expired = client.stack.token(user="alice"), client.stack.token(user="alice", flaw="expired")
    renewed = client.stack.token(user="alice", lifetime_seconds=1800)

    told = client.run(*(*CHUNK, "--requests-per-token", 4, "--retry", 401), tokens=(good, expired, renewed))

    client.assert_arrived(told)
    assert 401 in statuses(told)
    accepted = [each for each in requests_of(told, "PATCH") if each["status"] == 204]
    assert all(after["sent_offset"] == before["offset"] for before, after in pairwise(accepted))
