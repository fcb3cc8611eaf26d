from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.event_grid.log_tail import CHUNK_BYTES, GUARD_BYTES, LogTail


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def read_all(tail: LogTail) -> list[bytes]:
    """Read until a second look brings nothing, as a poll would."""
    lines: list[bytes] = []
    quiet = 0
    while quiet < 3:
        fresh = tail.read()
        quiet = 0 if fresh else quiet + 1
        lines += fresh
    return lines


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "azurite.log"


def test_a_file_that_comes_later_is_read_from_its_start(log: Path) -> None:
    with LogTail(log) as tail:
        assert read_all(tail) == []
        append(log, b"one\ntwo\n")
        assert read_all(tail) == [b"one", b"two"]
        assert read_all(tail) == []


def test_a_line_is_read_when_it_is_complete(log: Path) -> None:
    with LogTail(log) as tail:
        append(log, b"one\ntw")
        assert read_all(tail) == [b"one"]
        append(log, b"o\n")
        assert read_all(tail) == [b"two"]


def test_a_later_process_goes_on_where_the_position_was_kept(log: Path) -> None:
    append(log, b"one\ntw")
    with LogTail(log) as tail:
        read_all(tail)
        kept = tail.position
    append(log, b"o\nthree\n")
    with LogTail(log, kept) as tail:
        assert read_all(tail) == [b"two", b"three"]


@pytest.mark.parametrize("fresh", [b"new\n", b"new line, longer than all that was there before\n" * 10])
def test_a_truncated_file_is_read_from_its_start(log: Path, fresh: bytes) -> None:
    append(log, b"an old line\n" * 5)
    with LogTail(log) as tail:
        read_all(tail)
        kept = tail.position
        log.write_bytes(fresh)
        assert read_all(tail) == fresh.splitlines()
    with LogTail(log, kept) as tail:
        assert read_all(tail) == fresh.splitlines()


def test_a_hole_left_by_a_truncation_is_passed_over(log: Path) -> None:
    with LogTail(log) as tail:
        append(log, b"old\n")
        read_all(tail)
        log.write_bytes(b"\0" * (2 * CHUNK_BYTES + 5) + b"new\n")
        assert read_all(tail) == [b"new"]


def test_a_replaced_file_is_read_after_the_rest_of_the_old_one(log: Path) -> None:
    append(log, b"one\n")
    with LogTail(log) as tail:
        assert read_all(tail) == [b"one"]
        old = log.rename(log.with_suffix(".1"))
        append(old, b"two\n")
        append(log, b"")
        assert read_all(tail) == [b"two"]
        append(old, b"three\n")
        assert read_all(tail) == [b"three"]
        append(log, b"four\n")
        assert read_all(tail) == [b"four"]


def test_a_line_beyond_all_measure_is_skipped_and_the_next_is_read(log: Path) -> None:
    with LogTail(log) as tail:
        append(log, b"one\n" + b"x" * (3 * CHUNK_BYTES + 7))
        assert read_all(tail) == [b"one"]
        append(log, b"still the same line\ntwo\n")
        assert read_all(tail) == [b"two"]


def test_a_position_stays_small(log: Path) -> None:
    with LogTail(log) as tail:
        append(log, b"some line\n" * 1000)
        read_all(tail)
        assert (tail.position.offset_bytes, len(tail.position.guard)) == (10_000, GUARD_BYTES)


@settings(max_examples=50, deadline=None)
@given(
    lines=st.lists(st.binary(max_size=40).map(lambda b: b.translate(None, b"\r\n\0")), max_size=20),
    cuts=st.lists(st.integers(0, 1000), max_size=10),
    restart=st.booleans(),
)
def test_however_the_bytes_arrive_each_line_is_read_once(
    lines: list[bytes], cuts: list[int], restart: bool
) -> None:
    content = b"".join(each + b"\n" for each in lines)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        tail = LogTail(log)
        read: list[bytes] = []
        start = 0
        for end in [*sorted(min(cut, len(content)) for cut in cuts), len(content)]:
            append(log, content[start:end])
            start = end
            with tail:
                read += read_all(tail)
            tail = LogTail(log, tail.position) if restart else tail
        assert read == lines
