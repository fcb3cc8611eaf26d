from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from local.functions_host.blob_queue import BlobMessage, BlobQueue

if TYPE_CHECKING:
    from pathlib import Path

MESSAGE = BlobMessage("f", "c", "a/b c.txt", '"1"')


async def test_settled_message_is_gone_after_a_restart(tmp_path: Path) -> None:
    queue = BlobQueue(tmp_path)
    queue.put(MESSAGE)
    queue.done(await queue.take())
    assert BlobQueue(tmp_path).unsettled_count == 0


async def test_message_in_work_comes_again_after_a_restart_and_keeps_its_count(tmp_path: Path) -> None:
    queue = BlobQueue(tmp_path)
    queue.put(MESSAGE)
    assert (await queue.take()).message.dequeue_count == 1
    again = await BlobQueue(tmp_path).take()
    assert again.message.name == "a/b c.txt"
    assert again.message.dequeue_count == 2


async def test_order_outlives_a_restart(tmp_path: Path) -> None:
    queue = BlobQueue(tmp_path)
    for number in range(20):
        queue.put(BlobMessage("f", "c", str(number), ""))
    queue = BlobQueue(tmp_path)
    assert [(await queue.take()).message.name for _ in range(20)] == [str(number) for number in range(20)]


async def test_message_that_is_given_up_is_on_record(tmp_path: Path) -> None:
    queue = BlobQueue(tmp_path)
    queue.put(MESSAGE)
    queue.give_up(await queue.take(), "it failed")
    for each in (queue, BlobQueue(tmp_path)):
        (record,) = each.poison()
        assert (record["BlobName"], record["Reason"], record["DequeueCount"]) == ("a/b c.txt", "it failed", 1)
        assert each.unsettled_count == 0


async def test_half_a_line_of_the_record_is_left_out(tmp_path: Path) -> None:
    queue = BlobQueue(tmp_path)
    queue.put(MESSAGE)
    queue.give_up(await queue.take(), "it failed")
    with (tmp_path / "poison.jsonl").open("a") as file:
        file.write('{"Type": "Bl')
    assert len(BlobQueue(tmp_path).poison()) == 1


async def test_unreadable_file_does_not_stop_the_others(tmp_path: Path) -> None:
    queue = BlobQueue(tmp_path)
    queue.put(MESSAGE)
    (tmp_path / "messages" / "0.json").write_text("{")
    assert (await BlobQueue(tmp_path).take()).message.name == "a/b c.txt"


async def test_queue_without_directory_lives_in_memory() -> None:
    queue = BlobQueue()
    queue.put(MESSAGE)
    taken = await queue.take()
    queue.put_back(taken)
    assert (await asyncio.wait_for(queue.take(), 1)).message.dequeue_count == 2
