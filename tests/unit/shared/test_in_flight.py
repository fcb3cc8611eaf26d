"""Blocks on their way: few at once, none of them left behind."""

from __future__ import annotations

import asyncio

import pytest

from shared.errors import TooLargeError, UnavailableError
from shared.files.in_flight import BLOCKS_IN_FLIGHT, BlocksInFlight


class Storage:
    """Takes blocks, each after a while; counts those that it is at."""

    def __init__(self) -> None:
        self.under_way = self.most_under_way = 0
        self.arrived: list[int] = []

    async def take(self, number: int, *, fails: bool = False) -> None:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            for _ in range(5):
                await asyncio.sleep(0)
            if fails:
                raise UnavailableError("gone")
            self.arrived.append(number)
        finally:
            self.under_way -= 1


async def test_no_more_than_a_few_are_sent_at_once_and_all_arrive() -> None:
    storage = Storage()
    async with BlocksInFlight() as in_flight:
        for number in range(10):
            await in_flight.send(storage.take(number))
    assert (storage.most_under_way, storage.arrived) == (BLOCKS_IN_FLIGHT, list(range(10)))


async def test_after_a_refusal_nothing_arrives_any_more() -> None:
    storage = Storage()

    async def send_some() -> None:
        async with BlocksInFlight() as in_flight:
            for number in range(2):
                await in_flight.send(storage.take(number))
            raise TooLargeError("refused")

    with pytest.raises(TooLargeError):
        await send_some()
    assert (storage.under_way, storage.arrived) == (0, [0, 1])


@pytest.mark.parametrize("failing", range(6))
async def test_a_block_that_fails_ends_the_others(failing: int) -> None:
    storage = Storage()

    async def send_all() -> None:
        async with BlocksInFlight() as in_flight:
            for number in range(6):
                await in_flight.send(storage.take(number, fails=number == failing))

    with pytest.raises(UnavailableError):
        await send_all()
    assert storage.under_way == 0


async def test_who_is_cancelled_does_not_wait() -> None:
    storage = Storage()

    async def send_all() -> None:
        async with BlocksInFlight() as in_flight:
            for number in range(6):
                await in_flight.send(storage.take(number))

    sending = asyncio.create_task(send_all())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    sending.cancel()
    await asyncio.wait([sending])
    assert (sending.cancelled(), storage.under_way, storage.arrived) == (True, 0, [])
