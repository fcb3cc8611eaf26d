"""Defects that were found once; each stays mended."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from shared.adapters.memory import MemoryClock
from shared.app import Application
from shared.errors import (
    DeadLetterError,
    DropbellError,
    InvalidRequestError,
    TargetNotAllowedError,
)
from shared.files import file as files
from shared.files.content_type import checked_content_type
from shared.files.file import FileStatus
from shared.files.name import checked_name
from shared.notifications import subscription as subscriptions
from shared.notifications.channels.target_policy import TargetPolicy, is_public_address
from shared.notifications.channels.webhook import outcome_of
from shared.notifications.delivery import LOOK_MARGIN_SECONDS
from shared.notifications.delivery_record import DeliveryStatus, take_turn
from shared.notifications.subscription import SubscriptionStatus
from shared.ports import HttpAnswer, Replace
from shared.settings import SettingsError, read_settings
from shared.web.content_disposition import file_name
from shared.web.health import KEPT_SECONDS, Health
from tests.faults.test_simulation import complaints
from tests.faults.world import World as FaultyWorld
from tests.unit.shared import sample
from tests.unit.shared.asgi import body_of, request
from tests.unit.shared.portal import Portal
from tests.unit.shared.sample import NOW, World
from tests.unit.shared.test_delivery import OvertakenWhilePosting, handle, queued
from tests.unit.shared.test_fan_out import BLOB, BreaksOnce, blob, stored

if TYPE_CHECKING:
    from collections.abc import Callable

# -- one request can stop the whole process ----------------------------------------------------------------


def seconds_to_judge(judge: Callable[[str], str], text: str) -> float:
    started = time.perf_counter()
    with suppress(DropbellError):
        judge(text)
    return time.perf_counter() - started


def test_a_content_type_is_judged_in_no_time() -> None:
    """Each ``; `` doubles the time: 23 of them take seconds, the 126 that fit take for ever."""
    assert seconds_to_judge(checked_content_type, "a/b" + "; " * 23 + "@") < 0.2


def test_a_content_disposition_is_judged_in_no_time() -> None:
    assert seconds_to_judge(file_name, 'attachment; "' + ";" * 60_000) < 0.2


# -- something is lost, or twice in the ledger --------------------------------------------------------------


async def test_a_worker_that_was_overtaken_does_not_let_go_of_the_message() -> None:
    """Who took over may hold the very same message, under a lock that has run out, and crash next.

    Then the overtaken worker's copy is the only one left: it must leave another behind.
    """
    world = await queued()
    world.sender = OvertakenWhilePosting(world, HttpAnswer(200))  # type: ignore[assignment]  # another sender
    await handle(world)
    assert world.sent.messages


async def test_deliveries_of_a_run_that_crashed_are_sent_whatever_became_of_their_subscriptions() -> None:
    """The second run wants none of those 100, so it meets no conflict, and never learns of their rows."""
    world = await stored(World(tables=lambda memory: BreaksOnce(memory, at_call=2, after=False)), 150)
    with pytest.raises(DropbellError):
        await world.fan_out().announce(BLOB)
    for (_, key), row in list(world.memory.rows.items()):
        if key.startswith("subscription|") and int(key.partition("|")[2], 16) < 100:
            disabled = replace(subscriptions.from_entity(row), status=SubscriptionStatus.DISABLED)
            await world.memory.apply([Replace(subscriptions.to_entity(disabled))])
    await world.fan_out().announce(BLOB)
    sent = {message.properties["delivery_id"] for message in world.sent.messages}
    assert sent == {delivery.id for delivery in await world.deliveries()}


async def test_a_file_with_deliveries_under_way_is_not_settled() -> None:
    """As above, with every subscription disabled since."""
    world = World()
    await sample.insert(world.memory, sample.file(), sample.delivery(1))
    await world.fan_out().announce(BLOB)
    file = await world.file()
    assert file is not None
    assert file.status is FileStatus.ANNOUNCED


def test_an_interrupted_last_attempt_is_counted_once() -> None:
    """A worker that took over to give up, and crashed before it had written so."""
    delivery = sample.delivery(status=DeliveryStatus.DELIVERING, attempt=3, lease_ends_at=NOW)
    for hours in (1, 2):
        claimed, _ = take_turn(
            delivery, attempt=3, now=NOW + timedelta(hours=hours), lease_seconds=25, max_attempts=3
        )
        delivery = claimed or delivery
    assert [attempt.number for attempt in delivery.attempts] == [3]


def test_an_outage_of_storage_dead_letters_nothing() -> None:
    """Each refused call abandons the message, which comes back at once: ten tries are over in seconds."""
    world = FaultyWorld(1, uploads=1, subscribers=2, bad_luck=0, failing=0, outage_seconds=120)
    world.run()
    assert complaints(world) == []


async def test_a_worker_whose_clock_is_behind_does_not_spin() -> None:
    """Seen by the queue's clock, the look is due; seen by the worker's, the lease runs: again, and again."""
    ends = NOW + timedelta(seconds=1)
    world = await queued(status=DeliveryStatus.DELIVERING, epoch=1, lease_ends_at=ends)
    await handle(world, sample.message(looks=1))
    (sent,) = world.sent.messages
    assert sent.not_before is not None
    assert sent.not_before > ends + timedelta(seconds=LOOK_MARGIN_SECONDS)


# -- what is not ours crashes us ----------------------------------------------------------------------------


def test_a_retry_after_with_an_absurd_zone_is_no_date() -> None:
    answer = HttpAnswer(503, "Mon, 01 Jan 2026 00:00:00 +99999999999999999")
    assert outcome_of(answer, now=NOW).retry_after_seconds is None


async def test_a_message_about_a_file_that_can_be_none_goes_to_the_dead_letters() -> None:
    with pytest.raises(DeadLetterError):
        await handle(World(), sample.message(file_id="nonsense"))


@pytest.mark.parametrize("traceparent", ["", "x", "no-trace"])
async def test_a_blob_with_a_trace_that_is_none_is_left_alone(traceparent: str) -> None:
    world = World()
    told = files.to_blob_metadata(
        "x", sha256="5" * 64, correlation_id="c", traceparent=traceparent, accepted_at=NOW, stored_at=NOW
    )
    await blob(world, BLOB, told)
    await world.fan_out().announce(BLOB)
    assert await world.file() is None


async def test_a_content_length_of_thousands_of_digits_is_a_bad_request() -> None:
    response = await Portal().upload(b"x", hangs_up=False, content_length="9" * 5000)
    assert response.status_code in {400, 413}


# -- names and targets --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        "attachment; filename=\"EURO rates\"; filename*=UTF-8''%e2%82%ac%20rates",
        "attachment; filename*=UTF-8''%e2%82%ac%20rates; filename=\"EURO rates\"",
    ],
)
def test_the_extended_name_wins_over_its_plain_fallback(header: str) -> None:
    """RFC 6266 §4.3: recipients SHOULD pick ``filename*`` and ignore ``filename``."""
    assert file_name(header) == "€ rates"


@pytest.mark.parametrize("name", ["\u200d", "\u200c\u200d\u200c"])
def test_a_name_of_joiners_only_cannot_be_seen(name: str) -> None:
    with pytest.raises(InvalidRequestError):
        checked_name(name)


@pytest.mark.parametrize(
    "address",
    [
        "168.63.129.16",  # Azure's own platform address, reachable from inside only
        "fec0::1",  # site-local (RFC 3879)
        "::127.0.0.1",  # IPv4-compatible (RFC 4291 §2.5.5.1)
        "::ffff:0:127.0.0.1",  # IPv4-translated (RFC 2765)
        "::2",
        "4000::1",  # not in 2000::/3, the only global unicast there is (RFC 4291 §2.4)
    ],
)
def test_an_address_that_is_not_global_unicast_is_not_public(address: str) -> None:
    assert not is_public_address(address)


@pytest.mark.parametrize(
    "url",
    [
        "https://127\u30020\u30020\u30021/",  # IDNA takes these full stops for dots (RFC 3490 §3.1)
        "https://127\uff0e0\uff0e0\uff0e1/",
        "https://127\uff610\uff610\uff611/",
        "https://127.0.0.%31/",
        "https://localhost/",
        "https://sub.localhost./",
        "https://hooks.example:0/",
        "https://hooks..example/",
        "https://[fec0::1]/",
    ],
)
def test_a_target_that_can_never_be_public_is_refused_when_it_is_named(url: str) -> None:
    with pytest.raises(TargetNotAllowedError):
        TargetPolicy().check_url(url)


# -- operators ----------------------------------------------------------------------------------------------


def test_every_missing_setting_is_named_in_one_error() -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings({})
    for name in ("DropbellStorage", "DropbellServiceBus", "DROPBELL_TOKEN_ISSUER", "DROPBELL_SECRETS_KEY"):
        assert f"  {name}: " in str(caught.value)


@pytest.mark.parametrize("url", ["https://", "https://[", "https:///path"])
def test_a_url_without_a_host_is_refused_by_name(url: str) -> None:
    good = {
        "DropbellStorage": "x",
        "DropbellServiceBus": "x",
        "DROPBELL_TOKEN_ISSUER": "https://login.example",
        "DROPBELL_TOKEN_AUDIENCES": "x",
        "DROPBELL_SECRETS_KEY": "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=",
    }
    with pytest.raises(SettingsError, match="  DROPBELL_PUBLIC_URL: "):
        read_settings(good | {"DROPBELL_PUBLIC_URL": url})


async def test_a_deep_check_that_fails_in_another_way_is_an_answer_too() -> None:
    async def broken() -> None:
        raise ValueError("planted: a connection string that is none")

    response = await Health({"blobs": broken}, MemoryClock()).answer(request(query="deep=1"))
    assert response.status_code == 503
    assert body_of(response)["checks"] == {"blobs": "no answer"}
    assert b"planted" not in bytes(response.body)


async def test_a_deep_check_without_settings_is_an_answer_too() -> None:
    response = await Application().health.answer(request(query="deep=1"))
    assert response.status_code == 503


async def test_a_deep_answer_is_not_kept_for_ever_when_the_clock_is_put_back() -> None:
    asked = 0

    async def check() -> None:
        nonlocal asked
        asked += 1

    clock = MemoryClock()
    health = Health({"blobs": check}, clock)
    await health.answer(request(query="deep=1"))
    clock.advance(-3600)
    await health.answer(request(query="deep=1"))
    clock.advance(KEPT_SECONDS + 1)
    await health.answer(request(query="deep=1"))
    assert asked >= 2
