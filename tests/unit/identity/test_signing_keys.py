from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from shared.errors import UnavailableError
from shared.identity.signing_keys import KeyCacheTimes, SigningKeys, usable_keys
from tests.unit.identity.forge import DISCOVERY_URL, ISSUER, KID, WEAK, FakeClock, FakeIssuer, ec_jwk, jwk

TIMES = KeyCacheTimes(
    refresh_after_seconds=1000,
    expire_after_seconds=2000,
    unknown_kid_cooldown_seconds=30,
    retry_after_seconds=5,
)


class Cache:
    """A key cache with its issuer and its clock."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.issuer = FakeIssuer(*keys)
        self.clock = FakeClock()
        self.keys = SigningKeys(
            self.issuer, self.clock, issuers=frozenset({ISSUER}), discovery_url=DISCOVERY_URL, times=TIMES
        )

    async def knows(self, kid: str = KID) -> bool:
        return await self.keys.find(kid) is not None


async def background_work() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_keys_are_fetched_once() -> None:
    cache = Cache()
    assert await cache.knows()
    cache.clock.advance(999)
    assert await cache.knows()
    assert cache.issuer.key_fetches == 1


async def test_fifty_waiting_requests_share_one_fetch() -> None:
    cache = Cache()
    cache.issuer.gate = asyncio.Event()
    waiting = [asyncio.create_task(cache.knows()) for _ in range(50)]
    await background_work()
    cache.issuer.gate.set()
    assert all(await asyncio.gather(*waiting))
    assert cache.issuer.key_fetches == 1


async def test_a_cancelled_request_does_not_take_the_fetch_with_it() -> None:
    cache = Cache()
    cache.issuer.gate = asyncio.Event()
    first, second = asyncio.create_task(cache.knows()), asyncio.create_task(cache.knows())
    await background_work()
    first.cancel()
    await background_work()
    cache.issuer.gate.set()
    assert await second
    assert cache.issuer.key_fetches == 1


async def test_ageing_keys_are_refreshed_without_waiting() -> None:
    cache = Cache()
    await cache.knows()
    cache.clock.advance(1000)
    cache.issuer.gate = asyncio.Event()
    assert await asyncio.wait_for(cache.knows(), timeout=1)
    cache.issuer.gate.set()
    await background_work()
    assert cache.issuer.key_fetches == 2


async def test_expired_keys_are_refreshed_before_they_are_used() -> None:
    cache = Cache()
    await cache.knows()
    cache.issuer.key_set = {"keys": [jwk("key-2")]}
    cache.clock.advance(2000)
    assert not await cache.knows(KID)
    assert await cache.knows("key-2")
    assert cache.issuer.key_fetches == 2, "keys just fetched are not fetched again for an unknown id"


async def test_a_rollover_is_noticed_by_the_unknown_key_id() -> None:
    cache = Cache()
    await cache.knows()
    cache.issuer.key_set = {"keys": [jwk("key-2"), jwk()]}
    assert await cache.knows("key-2")
    assert await cache.knows(KID)
    assert cache.issuer.key_fetches == 2


async def test_a_withdrawn_key_is_gone_with_the_next_refresh() -> None:
    cache = Cache()
    await cache.knows()
    cache.issuer.key_set = {"keys": [jwk("key-2")]}
    assert await cache.knows("key-2")
    assert not await cache.knows(KID)


async def test_fifty_unknown_key_ids_at_once_share_one_fetch() -> None:
    cache = Cache()
    await cache.knows()
    cache.issuer.key_set = {"keys": [jwk("key-2")]}
    cache.issuer.gate = asyncio.Event()
    waiting = [asyncio.create_task(cache.knows("key-2")) for _ in range(50)]
    await background_work()
    cache.issuer.gate.set()
    assert all(await asyncio.gather(*waiting))
    assert cache.issuer.key_fetches == 2


async def test_a_known_key_does_not_wait_for_the_search_for_an_unknown_one() -> None:
    cache = Cache()
    await cache.knows()
    cache.issuer.gate = asyncio.Event()
    searching = asyncio.create_task(cache.knows("made-up"))
    await background_work()
    assert await asyncio.wait_for(cache.knows(), timeout=1)
    cache.issuer.gate.set()
    assert not await searching


async def test_the_last_good_keys_serve_while_the_issuer_is_down(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "dropbell")
    cache = Cache()
    await cache.knows()
    assert not caplog.messages
    cache.issuer.down = True
    cache.clock.advance(10 * 24 * 3600)
    assert await cache.knows()
    (warning,) = (json.loads(message) for message in caplog.messages)
    assert warning == {
        "event": "dropbell.signing_keys.stale",
        "discovery_url": DISCOVERY_URL,
        "age_seconds": 10 * 24 * 3600,
        "reason": "down",
    }
    asked = cache.issuer.asked
    assert await cache.knows()
    assert not await cache.knows("made-up")
    assert cache.issuer.asked == asked, "a failing issuer is left alone for a while"

    cache.issuer.down = False
    cache.issuer.key_set = {"keys": [jwk("key-2")]}
    cache.clock.advance(5)
    assert await cache.knows("key-2")


async def test_an_issuer_that_fails_slowly_holds_up_nobody() -> None:
    cache = Cache()
    await cache.knows()
    cache.issuer.down = True
    cache.clock.advance(1000)
    await cache.knows()
    await background_work()
    cache.issuer.gate = asyncio.Event()
    cache.clock.advance(10_000)
    assert await asyncio.wait_for(cache.knows(), timeout=1)

    cache.issuer.down = False
    cache.issuer.gate.set()
    await background_work()
    assert cache.issuer.key_fetches == 2
    cache.issuer.key_set = {"keys": [jwk("key-2")]}
    cache.clock.advance(2000)
    assert not await cache.knows(), "once the issuer is back, expired keys are waited for again"


async def test_without_any_keys_the_service_is_unavailable_and_recovers() -> None:
    cache = Cache()
    cache.issuer.down = True
    for _ in range(3):
        with pytest.raises(UnavailableError):
            await cache.knows()
    assert cache.issuer.asked == 1
    cache.issuer.down = False
    cache.clock.advance(5)
    assert await cache.knows()


@pytest.mark.parametrize(
    "discovery",
    [
        None,
        [],
        {},
        {"issuer": [ISSUER], "jwks_uri": "https://login.example/keys"},
        {"jwks_uri": "https://login.example/keys"},
        {"issuer": "https://attacker.example", "jwks_uri": "https://login.example/keys"},
        {"issuer": ISSUER},
        {"issuer": ISSUER, "jwks_uri": 1},
        {"issuer": ISSUER, "jwks_uri": "http://login.example/keys"},
        {"issuer": ISSUER, "jwks_uri": "file:///etc/passwd"},
    ],
)
async def test_a_discovery_document_that_leads_astray_is_not_followed(discovery: object) -> None:
    cache = Cache()
    cache.issuer.discovery = discovery
    with pytest.raises(UnavailableError):
        await cache.knows()
    assert cache.issuer.key_fetches == 0


@pytest.mark.parametrize("document", [None, [], "keys", {}, {"keys": None}, {"keys": {}}, {"keys": []}])
async def test_a_broken_key_set_does_not_replace_good_keys(document: object) -> None:
    cache = Cache()
    await cache.knows()
    cache.issuer.key_set = document
    cache.clock.advance(2000)
    assert await cache.knows()


@pytest.mark.parametrize(
    "broken",
    [
        None,
        "key",
        [],
        {},
        jwk("other", kty="EC"),
        jwk("other", kty=["RSA"]),
        {"kty": "oct", "kid": "other", "k": "c2VjcmV0"},
        jwk("other", use="enc"),
        jwk("other", alg="RS512"),
        jwk("other", alg="HS256"),
        jwk("other", kid=None),
        jwk("other", kid=7),
        jwk("other", kid=""),
        jwk("other", kid="k" * 129),
        jwk("other", n=None),
        jwk("other", n=7),
        jwk("other", n="!"),
        jwk("other", n=""),
        jwk("other", e=None),
        jwk("other", e="AA"),
        jwk("other", e="Ag"),
        jwk(WEAK),
        jwk("other", issuer=7),
        jwk("other", alg="ES256"),
        ec_jwk(crv="P-384"),
        ec_jwk(crv=None),
        ec_jwk(alg="RS256"),
        ec_jwk(y=None),
        ec_jwk(y="AAAA"),
        ec_jwk(use="enc"),
    ],
)
def test_a_broken_key_is_left_out_and_the_others_stay(broken: object) -> None:
    assert usable_keys({"keys": [broken, jwk()]}).keys() == {KID}


def test_of_two_keys_with_one_id_the_first_counts() -> None:
    first, second = jwk(), jwk("other", kid=KID)
    keys = usable_keys({"keys": [first, second]})
    assert (
        keys[KID].by_algorithm["RS256"].key == usable_keys({"keys": [first]})[KID].by_algorithm["RS256"].key
    )


@pytest.mark.parametrize(
    ("key", "algorithms"),
    [
        (jwk(use=None), {"RS256", "PS256"}),
        (jwk(alg="RS256"), {"RS256"}),
        (jwk(alg="PS256"), {"PS256"}),
        (ec_jwk(), {"ES256"}),
        (ec_jwk(alg="ES256"), {"ES256"}),
    ],
)
def test_a_key_is_for_the_algorithms_of_its_type_or_for_its_own(
    key: dict[str, Any], algorithms: set[str]
) -> None:
    (found,) = usable_keys({"keys": [key]}).values()
    assert found.by_algorithm.keys() == algorithms


def test_private_members_and_certificates_are_not_looked_at() -> None:
    odd = jwk(d="AQAB", p="AQ", x5c=["garbage"], x5t=7)
    assert usable_keys({"keys": [odd]}).keys() == {KID}


@pytest.mark.parametrize(
    "times",
    [
        {"refresh_after_seconds": 0},
        {"refresh_after_seconds": 2, "expire_after_seconds": 1},
        {"unknown_kid_cooldown_seconds": -1},
        {"retry_after_seconds": -1},
    ],
)
def test_times_that_make_no_sense_are_refused(times: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"refreshed before|negative"):
        KeyCacheTimes(**times)
