"""What signed URLs let anybody do, tried with plain HTTP requests against the storage emulator."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError
from azure.storage.blob import UserDelegationKey
from yarl import URL

from local.azurite import ACCOUNT_KEY, ACCOUNT_NAME
from shared.adapters.delegation_key import LONGEST, DelegationKeys
from shared.adapters.memory import MemoryClock, MemoryUrlSigner
from shared.adapters.url_signer import AccountKeyUrlSigner, BlobAddresses, UserDelegationUrlSigner
from shared.errors import UnavailableError
from tests.conformance.adapters.backends import CONTAINER, AzureBackend, put

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from local.azurite import StoragePorts
    from shared.ports import UrlSigner

SOON = timedelta(minutes=15)
DISPOSITION = "attachment; filename=\"a b.txt\"; filename*=UTF-8''%C3%A9.txt"


@pytest.fixture
def signer(storage: StoragePorts) -> AccountKeyUrlSigner:
    return AccountKeyUrlSigner.connect(CONTAINER, connection_string=storage.connection_string)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    headers: dict[str, str]


async def request(
    http: aiohttp.ClientSession, method: str, url: str, body: bytes | None = None, **headers: str
) -> Answer:
    target = URL(url, encoded=True)
    if method == "PUT" and "comp" not in target.query:
        headers["x-ms-blob-type"] = "BlockBlob"
    async with http.request(method, target, data=body, headers=headers) as answer:
        return Answer(answer.status, await answer.read(), dict(answer.headers))


async def upload_url(signer: UrlSigner, name: str, lifetime: timedelta = SOON) -> str:
    return await signer.upload_url(name, expires_at=datetime.now(UTC) + lifetime)


async def download_url(signer: UrlSigner, name: str, lifetime: timedelta = SOON) -> str:
    return await signer.download_url(
        name,
        expires_at=datetime.now(UTC) + lifetime,
        content_type="text/plain",
        content_disposition=DISPOSITION,
    )


async def test_an_upload_url_creates_the_blob_in_one_request(
    signer: AccountKeyUrlSigner, http: aiohttp.ClientSession, azure_backend: AzureBackend, name: str
) -> None:
    answer = await request(http, "PUT", await upload_url(signer, name), b"content")
    assert answer.status == 201
    assert await azure_backend.content(name) == b"content"


async def test_an_upload_url_creates_the_blob_of_blocks(
    signer: AccountKeyUrlSigner, http: aiohttp.ClientSession, azure_backend: AzureBackend, name: str
) -> None:
    url = await upload_url(signer, name)
    assert (await request(http, "PUT", f"{url}&comp=block&blockid=MDAx", b"content")).status == 201
    block_list = b"<BlockList><Latest>MDAx</Latest></BlockList>"
    assert (await request(http, "PUT", f"{url}&comp=blocklist", block_list)).status == 201
    assert await azure_backend.content(name) == b"content"


async def test_an_upload_url_writes_again_and_changes_the_etag(
    signer: AccountKeyUrlSigner, http: aiohttp.ClientSession, azure_backend: AzureBackend, name: str
) -> None:
    """Therefore whatever was checked of an uploaded blob counts for one ETag only."""
    before = await put(azure_backend.store, name, b"first")
    assert (await request(http, "PUT", await upload_url(signer, name), b"second")).status == 201
    after = await azure_backend.store.properties(name)
    assert after is not None
    assert after.etag != before.etag


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
async def test_an_upload_url_only_writes(
    signer: AccountKeyUrlSigner,
    http: aiohttp.ClientSession,
    azure_backend: AzureBackend,
    name: str,
    method: str,
) -> None:
    await put(azure_backend.store, name, b"secret")
    answer = await request(http, method, await upload_url(signer, name))
    assert answer.status == 403
    assert b"secret" not in answer.body
    assert await azure_backend.content(name) == b"secret"


async def test_an_upload_url_lists_nothing(
    signer: AccountKeyUrlSigner, http: aiohttp.ClientSession, name: str
) -> None:
    parts = urlsplit(await upload_url(signer, name))
    container = parts._replace(
        path=f"/{ACCOUNT_NAME}/{CONTAINER}", query=f"{parts.query}&restype=container&comp=list"
    )
    assert (await request(http, "GET", container.geturl())).status == 403


@pytest.mark.parametrize("ending", ["x", "/x", "%2F..%2Fx"])
async def test_an_upload_url_is_for_one_name(
    signer: AccountKeyUrlSigner, http: aiohttp.ClientSession, name: str, ending: str
) -> None:
    parts = urlsplit(await upload_url(signer, name))
    other = parts._replace(path=parts.path + ending).geturl()
    assert (await request(http, "PUT", other, b"content")).status == 403


@pytest.mark.parametrize("make", [upload_url, download_url])
async def test_an_expired_url_does_nothing(
    signer: AccountKeyUrlSigner,
    http: aiohttp.ClientSession,
    azure_backend: AzureBackend,
    name: str,
    make: Callable[[UrlSigner, str, timedelta], Awaitable[str]],
) -> None:
    await put(azure_backend.store, name, b"content")
    url = await make(signer, name, -timedelta(seconds=2))
    assert (await request(http, "PUT", url, b"late")).status == 403
    assert (await request(http, "GET", url)).status == 403


async def test_an_url_does_not_outlive_what_was_signed(
    signer: AccountKeyUrlSigner, http: aiohttp.ClientSession, name: str
) -> None:
    url = await upload_url(signer, name)
    (expiry,) = parse_qs(urlsplit(url).query)["se"]
    later = url.replace(expiry.replace(":", "%3A"), expiry.replace(":", "%3A").replace("20", "21", 1))
    assert later != url
    assert (await request(http, "PUT", later, b"content")).status == 403


async def test_a_download_url_brings_the_content_with_the_fields_asked_for(
    signer: AccountKeyUrlSigner, http: aiohttp.ClientSession, azure_backend: AzureBackend, name: str
) -> None:
    await put(azure_backend.store, name, b"content")
    url = await download_url(signer, name)
    answer = await request(http, "GET", url)
    assert (answer.status, answer.body) == (200, b"content")
    assert answer.headers["Content-Type"] == "text/plain"
    assert answer.headers["Content-Disposition"] == DISPOSITION
    part = await request(http, "GET", url, Range="bytes=1-3")
    assert (part.status, part.body) == (206, b"ont")


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_a_download_url_only_reads(
    signer: AccountKeyUrlSigner,
    http: aiohttp.ClientSession,
    azure_backend: AzureBackend,
    name: str,
    method: str,
) -> None:
    await put(azure_backend.store, name, b"content")
    assert (await request(http, method, await download_url(signer, name), b"other")).status == 403
    assert await azure_backend.content(name) == b"content"


@pytest.mark.parametrize("base", ["https://files.example.net", "https://files.example.net/"])
async def test_only_downloads_go_by_the_content_network(storage: StoragePorts, name: str, base: str) -> None:
    signer = AccountKeyUrlSigner.connect(
        CONTAINER, connection_string=storage.connection_string, content_base_url=base
    )
    by_network = await download_url(signer, name)
    assert by_network.startswith(f"https://files.example.net/{ACCOUNT_NAME}/{CONTAINER}/{name}?")
    assert (await upload_url(signer, name)).startswith(f"{storage.blob_endpoint}/{CONTAINER}/{name}?")


def test_a_connection_string_without_a_key_cannot_sign() -> None:
    with pytest.raises(ValueError, match="account key"):
        AccountKeyUrlSigner.connect(
            CONTAINER,
            connection_string="BlobEndpoint=https://a.blob.core.windows.net;SharedAccessSignature=sv=1&sig=x",
        )


def addresses(account_url: str = "https://account.blob.core.windows.net") -> BlobAddresses:
    return BlobAddresses("account", account_url, CONTAINER)


@pytest.mark.parametrize("url", ["http://10.0.0.7:10000/a", "http://localhost.example.net/a", "ftp://x", "x"])
def test_urls_in_the_clear_are_made_for_loopback_only(url: str) -> None:
    with pytest.raises(ValueError, match="https"):
        addresses(url)


@dataclass
class Keys:
    """Hands out user delegation keys, as the service does for a token."""

    failure: Exception | None = None
    asked: list[tuple[datetime, datetime]] = field(default_factory=list)

    async def get_user_delegation_key(
        self, key_start_time: datetime, key_expiry_time: datetime
    ) -> UserDelegationKey:
        self.asked.append((key_start_time, key_expiry_time))
        await asyncio.sleep(0.01)
        if self.failure is not None:
            raise self.failure
        key = UserDelegationKey()  # type: ignore[no-untyped-call]  # the SDK left the annotation out
        key.signed_oid, key.signed_tid, key.signed_service, key.signed_version = (
            "oid",
            "tid",
            "b",
            "2026-10-06",
        )
        key.signed_start, key.signed_expiry = key_start_time.isoformat(), key_expiry_time.isoformat()
        key.value = ACCOUNT_KEY
        return key


@dataclass
class Delegation:
    clock: MemoryClock = field(default_factory=MemoryClock)
    keys: Keys = field(default_factory=Keys)

    def __post_init__(self) -> None:
        self.signer = UserDelegationUrlSigner(addresses(), DelegationKeys(self.keys, self.clock))

    async def url(self, lifetime: timedelta = SOON) -> str:
        return await self.signer.upload_url("a/b", expires_at=self.clock.now() + lifetime)


@pytest.fixture
def delegation() -> Delegation:
    return Delegation()


def signed_until(url: str) -> str:
    (expiry,) = parse_qs(urlsplit(url).query)["ske"]
    return expiry


async def test_a_delegated_url_says_who_may_do_what_and_for_how_long(delegation: Delegation) -> None:
    parts = urlsplit(await delegation.url())
    assert parts._replace(query="").geturl() == f"https://account.blob.core.windows.net/{CONTAINER}/a/b"
    query = {name: value for name, (value,) in parse_qs(parts.query).items()}
    assert query.pop("sig")
    assert query.pop("sv")
    assert query == {
        "se": "2026-01-01T00:15:00Z",
        "sp": "cw",
        "spr": "https",
        "sr": "b",
        "skoid": "oid",
        "sktid": "tid",
        "skt": "2025-12-31T23:55:00+00:00",
        "ske": "2026-01-01T06:15:00+00:00",
        "sks": "b",
        "skv": "2026-10-06",
    }


async def test_a_delegated_download_url_has_the_fields_of_the_answer(delegation: Delegation) -> None:
    url = await delegation.signer.download_url(
        "a/b", expires_at=delegation.clock.now(), content_type="a/b", content_disposition=DISPOSITION
    )
    query = parse_qs(urlsplit(url).query)
    assert (query["sp"], query["rsct"], query["rscd"]) == (["r"], ["a/b"], [DISPOSITION])


async def test_many_callers_at_once_fetch_one_key(delegation: Delegation) -> None:
    urls = await asyncio.gather(*(delegation.url() for _ in range(20)))
    assert len(set(urls)) == 1
    assert len(delegation.keys.asked) == 1


async def test_a_key_is_renewed_ahead_while_nobody_waits(delegation: Delegation) -> None:
    await delegation.url()
    delegation.clock.advance(5 * 3600)
    first = await delegation.url()
    assert len(delegation.keys.asked) == 1
    delegation.clock.advance(1)
    assert signed_until(await delegation.url()) == signed_until(first)
    assert signed_until(await delegation.url()) == signed_until(first)
    await asyncio.sleep(0.1)
    assert signed_until(await delegation.url()) > signed_until(first)
    assert len(delegation.keys.asked) == 2


async def test_a_key_that_could_not_be_renewed_ahead_serves_to_its_end(delegation: Delegation) -> None:
    held = signed_until(await delegation.url())
    delegation.keys.failure = ServiceRequestError("no connection")
    delegation.clock.advance(6 * 3600)
    assert signed_until(await delegation.url()) == held
    delegation.clock.advance(1)
    with pytest.raises(UnavailableError):
        await delegation.url()
    delegation.keys.failure = None
    assert signed_until(await delegation.url()) > held


async def test_the_longest_key_is_not_fetched_again_and_again(delegation: Delegation) -> None:
    for _ in range(5):
        await delegation.url(timedelta(days=6, hours=23))
        await asyncio.sleep(0.02)
        delegation.clock.advance(60)
    assert len(delegation.keys.asked) == 1


async def test_urls_of_several_days_do_not_fetch_a_key_each(delegation: Delegation) -> None:
    for _ in range(5):
        await delegation.url(timedelta(days=3))
        delegation.clock.advance(60)
    assert len(delegation.keys.asked) == 1


async def test_who_needs_more_than_the_key_being_fetched_gets_another(
    delegation: Delegation,
) -> None:
    await asyncio.gather(delegation.url(), delegation.url(timedelta(days=3)), delegation.url())
    assert len(delegation.keys.asked) == 2
    await delegation.url(timedelta(days=3))
    assert len(delegation.keys.asked) == 2


async def test_no_key_is_asked_for_beyond_seven_days(delegation: Delegation) -> None:
    with pytest.raises(ValueError, match="outlive"):
        await delegation.url(timedelta(days=7, seconds=1))
    await delegation.url(timedelta(days=6, hours=23))
    ((start, expiry),) = delegation.keys.asked
    assert expiry - start <= LONGEST


async def test_a_caller_who_leaves_does_not_take_the_fetch_along(delegation: Delegation) -> None:
    first = asyncio.create_task(delegation.url())
    second = asyncio.create_task(delegation.url())
    await asyncio.sleep(0)
    first.cancel()
    assert "sig=" in await second
    assert first.cancelled()
    assert len(delegation.keys.asked) == 1


async def test_a_failed_fetch_is_told_to_all_who_wait_and_tried_again_by_the_next(
    delegation: Delegation,
) -> None:
    delegation.keys.failure = ClientAuthenticationError("no token")
    results = await asyncio.gather(*(delegation.url() for _ in range(20)), return_exceptions=True)
    assert {type(result) for result in results} == {UnavailableError}
    assert len(delegation.keys.asked) == 1
    delegation.keys.failure = None
    assert "sig=" in await delegation.url()


async def test_a_key_that_is_held_serves_while_no_other_can_be_had(delegation: Delegation) -> None:
    held = await delegation.url()
    delegation.keys.failure = ServiceRequestError("no connection")
    assert await delegation.url() == held


SIGNERS: dict[str, Callable[[], UrlSigner]] = {
    "memory": MemoryUrlSigner,
    "account key": lambda: AccountKeyUrlSigner(addresses(), ACCOUNT_KEY),
    "user delegation": lambda: Delegation().signer,
}


@pytest.fixture(params=list(SIGNERS))
def any_signer(request: pytest.FixtureRequest) -> UrlSigner:
    return SIGNERS[request.param]()


START = MemoryClock().now()


async def test_an_empty_name_is_refused(any_signer: UrlSigner) -> None:
    with pytest.raises(ValueError, match="name"):
        await any_signer.upload_url("", expires_at=START)
    with pytest.raises(ValueError, match="name"):
        await any_signer.download_url("", expires_at=START, content_type="a/b", content_disposition="inline")


@pytest.mark.parametrize("value", ["a/b\r\nX-Evil: 1", "a/b\n", "\u00e9", "\0"])
async def test_what_is_no_header_field_value_is_refused(any_signer: UrlSigner, value: str) -> None:
    with pytest.raises(ValueError, match="header field"):
        await any_signer.download_url("n", expires_at=START, content_type=value, content_disposition="inline")
    with pytest.raises(ValueError, match="header field"):
        await any_signer.download_url("n", expires_at=START, content_type="a/b", content_disposition=value)


async def test_a_name_is_quoted_in_the_url(any_signer: UrlSigner) -> None:
    url = await any_signer.upload_url("o w/\u00e9?#%", expires_at=START)
    assert urlsplit(url).path.endswith("/o%20w/%C3%A9%3F%23%25")
