"""Timer functions and retries, by the real command."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.conformance.functions_host.running_host import APPS, MASTER_KEY, RunningHost

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conformance.functions_host.conftest import StartHost

TICKS = {"TICKS": "* * * * * *"}


@pytest.fixture(scope="module")
def timers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHost]:
    with RunningHost(APPS / "timers", tmp_path_factory.mktemp("timers"), TICKS) as host:
        yield host


def test_timer_fires_on_the_second_and_once_per_second(timers: RunningHost) -> None:
    timers.wait_for_line("tick at", times=3)
    ticks = [float(each) for each in re.findall(r"tick at ([\d.]+) past_due=False", timers.output)][:3]
    assert all(tick % 1 < 0.3 for tick in ticks)
    assert [round(tick - ticks[0]) for tick in ticks] == [0, 1, 2]


def test_failed_function_is_tried_again_with_its_context(timers: RunningHost) -> None:
    timers.wait_for_line("try 2 of 2")
    tries = [line for line in timers.lines if line.startswith("try ")]
    assert tries == [
        "try 0 of 2 after None",
        "try 1 of 2 after RuntimeError: failure 0",
        "try 2 of 2 after RuntimeError: failure 1",
    ]


def test_timer_runs_by_hand(timers: RunningHost) -> None:
    def post(path: str, body: bytes, key: str) -> int:
        return timers.request("POST", path, headers={"x-functions-key": key}, body=body).status

    assert post("/admin/functions/by_hand", b'{"input": ""}', "the-function-key") == 401
    assert post("/admin/functions/nobody", b"{}", MASTER_KEY) == 404
    assert post("/admin/functions/by_hand", b"no JSON", MASTER_KEY) == 400
    assert "run by hand" not in timers.output
    assert post("/admin/functions/by_hand", b'{"input": ""}', MASTER_KEY) == 202
    timers.wait_for_line("run by hand")


def test_missed_time_is_past_due_after_a_restart(start_host: StartHost, tmp_path: Path) -> None:
    status_file = tmp_path / "data" / "timers" / "by_hand.json"
    status_file.parent.mkdir(parents=True)
    missed = {"last": "2026-01-01T03:00:00+00:00", "next": "2026-01-01T03:00:01+00:00"}
    status_file.write_text(json.dumps(missed))
    host = start_host("timers", "--data-dir", str(tmp_path / "data"), TICKS="0 0 3 1 1 *")
    host.wait_for_line("run by hand")
    host.wait(
        lambda: json.loads(status_file.read_text())["next"].endswith("-01-01T03:00:00+00:00"), "it is noted"
    )
